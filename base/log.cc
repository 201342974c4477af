#include "base/log.h"

#include <limits.h>
#include <poll.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>

namespace signet {
namespace {

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kTrace:
      return spdlog::level::trace;
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kOff:
      return spdlog::level::off;
  }
  return spdlog::level::off;
}

std::string_view LevelName(LogLevel level) {
  static constexpr std::string_view kNames[] = {"trace", "debug", "info", "warn", "error", "off"};
  return kNames[static_cast<std::size_t>(level)];
}

bool NeedsQuotes(std::string_view value) {
  return value.empty() || value.find_first_of(" =\"") != std::string_view::npos;
}

// Writes lines to stderr as long as whoever reads it takes them, and never waits: event loops write
// here. What is left out is counted and told with the next line that is taken.
class StderrSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit StderrSink(LogFormat format) : format_(format) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    if (left_out_ > 0 && !TellLoss(message)) {
      ++left_out_;
      return;
    }
    if (!WriteLine(message)) ++left_out_;
  }
  void flush_() override {}

 private:
  bool TellLoss(const spdlog::details::log_msg& after) {
    constexpr std::string_view kText = "lines left out: stderr was not read";
    const std::string text = format_ == LogFormat::kJson
                                 ? fmt::format(R"("message":"{}","count":"{}")", kText, left_out_)
                                 : fmt::format("{} count={}", kText, left_out_);
    if (!WriteLine({after.logger_name, spdlog::level::warn, text})) return false;
    left_out_ = 0;
    return true;
  }

  bool WriteLine(const spdlog::details::log_msg& message) {
    spdlog::memory_buf_t line;
    if (cut_) line.push_back('\n');  // the last one broke off
    formatter_->format(message, line);
    return WriteAll({line.data(), line.size()});
  }

  // A pipe that is ready takes PIPE_BUF bytes at once.
  bool WriteAll(std::string_view rest) {
    const std::size_t size = rest.size();
    while (!rest.empty()) {
      pollfd polled{STDERR_FILENO, POLLOUT, 0};
      const bool ready = ::poll(&polled, 1, 0) == 1 && polled.revents == POLLOUT;
      const ssize_t put =
          ready ? ::write(STDERR_FILENO, rest.data(), std::min<std::size_t>(rest.size(), PIPE_BUF))
                : -1;
      if (put < 0 && ready && errno == EINTR) continue;
      if (put < 0) {
        cut_ = cut_ || rest.size() < size;
        return false;
      }
      rest.remove_prefix(static_cast<std::size_t>(put));
      cut_ = !rest.empty();
    }
    return true;
  }

  const LogFormat format_;
  std::uint64_t left_out_ = 0;
  bool cut_ = false;
};

constexpr char32_t kReplacement = 0xfffd;

struct CodePoint {
  char32_t code = kReplacement;
  std::size_t length = 1;
};

// The code point `text` (not empty) begins with; a byte that begins none is kReplacement by itself.
// Well formed as RFC 3629, section 4 has it: no longer form than needed, no surrogate.
CodePoint ReadUtf8(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {first, 1};
  const std::size_t length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (length == 0 || first > 0xf4 || text.size() < length) return {};
  char32_t code = first & (0x7fU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    code = (code << 6) | (byte(i) & 0x3fU);
  }
  const bool too_long = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  if (too_long || (code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff) return {};
  return {code, length};
}

// What would move a terminal's cursor, end a line, reorder what is shown, or is no text.
bool IsUnprintable(char32_t code) {
  return code < 0x20 || (code >= 0x7f && code <= 0x9f) || code == 0x2028 || code == 0x2029 ||
         (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) ||
         code == kReplacement;
}

}  // namespace

bool ParseLogLevel(std::string_view text, LogLevel* level) {
  for (const LogLevel candidate : {LogLevel::kTrace, LogLevel::kDebug, LogLevel::kInfo,
                                   LogLevel::kWarn, LogLevel::kError, LogLevel::kOff}) {
    if (text == LevelName(candidate)) {
      *level = candidate;
      return true;
    }
  }
  return false;
}

std::string EscapeForLog(std::string_view text, std::size_t limit) {
  std::string out;
  out.reserve(std::min(text.size(), limit) + 8);
  std::size_t at = 0;
  while (at < text.size()) {
    const auto [code, length] = ReadUtf8(text.substr(at));
    if (at + length > limit) {
      out += "...";
      break;
    }
    if (code == '"' || code == '\\') {
      out += '\\';
      out += text[at];
    } else if (IsUnprintable(code)) {
      out += fmt::format("\\u{:04x}", static_cast<std::uint32_t>(code));
    } else {
      out += text.substr(at, length);
    }
    at += length;
  }
  return out;
}

Logger::Logger(std::string program, LogLevel level, LogFormat format) : format_(format) {
  auto sink = std::make_shared<StderrSink>(format);
  logger_ = std::make_shared<spdlog::logger>(program, sink);
  logger_->set_pattern(format == LogFormat::kJson
                           ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","program":"%n",%v})"
                           : "%Y-%m-%dT%H:%M:%S.%eZ %-7l %n: %v",
                       spdlog::pattern_time_type::utc);
  SetLevel(level);
}

Logger::~Logger() = default;
Logger::Logger(Logger&&) noexcept = default;

Logger Logger::Null() {
  Logger logger("null", LogLevel::kOff, LogFormat::kText);
  return logger;
}

LogLevel Logger::level() const {
  for (const LogLevel level :
       {LogLevel::kTrace, LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarn, LogLevel::kError})
    if (ToSpdlog(level) == logger_->level()) return level;
  return LogLevel::kOff;
}

void Logger::SetLevel(LogLevel level) const { logger_->set_level(ToSpdlog(level)); }

void Logger::Write(LogLevel level, std::string_view message, LogFields fields) const {
  if (!logger_->should_log(ToSpdlog(level))) return;
  std::string line;
  if (format_ == LogFormat::kJson) {
    line = fmt::format(R"("message":"{}")", EscapeForLog(message));
    for (const LogField& field : fields)
      line += fmt::format(R"(,"{}":"{}")", field.key, EscapeForLog(field.value, 4096));
  } else {
    line = EscapeForLog(message);
    for (const LogField& field : fields) {
      const std::string value = EscapeForLog(field.value, 4096);
      line += NeedsQuotes(value) ? fmt::format(" {}=\"{}\"", field.key, value)
                                 : fmt::format(" {}={}", field.key, value);
    }
  }
  logger_->log(ToSpdlog(level), "{}", line);
}

}  // namespace signet
