#include "proxy/telemetry/access_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "base/bytes.h"
#include "proxy/telemetry/json_members.h"

namespace signet::proxy {
namespace {

constexpr std::size_t kWriteAt = 64 * 1024;

Result<UniqueFd> OpenFile(const std::string& path) {
  UniqueFd fd(path == "-" ? ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)
                          : ::open(path.c_str(),
                                   O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640));
  if (fd.valid()) return fd;
  return Fail(Code::kFailedPrecondition, kAccessLogUnusable,
              fmt::format("{}: {}", path, ErrnoText(errno)));
}

std::string MillisecondTime(WallTime time) {
  std::string text = FormatTime(time);  // whole seconds
  const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(
      time.time_since_epoch() - std::chrono::seconds(UnixSeconds(time)));
  text.pop_back();
  return fmt::format("{}.{:03}Z", text, since.count());
}

}  // namespace

std::string AccessLogLine(const Record& record) {
  const Record::Figures& figures = record.figures;
  std::string line;
  line.reserve(512);
  JsonMembers members(&line);
  members.Text("time", MillisecondTime(figures.ended));
  members.Text("kind", RecordKindName(figures.kind));
  members.Text("direction", DirectionName(figures.direction));
  members.Text("listener", record.listener);
  members.Text("route", record.route);
  members.Text("caller", record.caller);
  members.Text("callee", record.callee);
  members.Text("remote", record.remote);
  members.Text("protocol", record.protocol);
  members.Text("method", record.method);
  members.Text("host", record.host);
  members.Text("path", record.path);
  if (figures.status > 0) members.Number("status", static_cast<std::uint64_t>(figures.status));
  if (figures.grpc_status >= 0)
    members.Number("grpc_status", static_cast<std::uint64_t>(figures.grpc_status));
  members.Text("end", record.end);
  members.Text("rule", record.rule);
  members.Text("id", record.id);
  members.Text("detail", record.detail);
  members.Number("received", figures.received);
  members.Number("sent", figures.sent);
  members.Seconds("seconds", figures.duration);
  if (figures.kind == RecordKind::kRequest) {
    if (figures.upstream_wait > Duration(0))
      members.Seconds("upstream_seconds", figures.upstream_wait);
    if (figures.first_byte > Duration(0)) members.Seconds("first_byte_seconds", figures.first_byte);
    if (figures.trace.known()) members.Text("trace_id", EncodeHex(figures.trace.trace));
    if (figures.trace.continued()) members.Text("span_id", EncodeHex(figures.trace.span));
    if (figures.trace.known()) members.Raw("sampled", figures.trace.sampled ? "true" : "false");
  }
  members.End();
  return line + "\n";
}

Result<std::unique_ptr<AccessLog>> AccessLog::Open(const std::string& path) {
  SIGNET_TRY(UniqueFd fd, OpenFile(path));
  return std::unique_ptr<AccessLog>(new AccessLog(path, std::move(fd)));
}

void AccessLog::Take(const Record& record) {
  if (!record.figures.logged) return;
  pending_ += AccessLogLine(record);
  ++pending_lines_;
  if (pending_.size() >= kWriteAt) Write();
}

void AccessLog::Flush() {
  if (!pending_.empty()) Write();
}

std::vector<RecordSink::Count> AccessLog::counts() const {
  return {{"signet_proxy_access_log_lines", "Lines written to the access log.",
           lines_.load(std::memory_order_relaxed)},
          {"signet_proxy_access_log_lost", "Lines that the access log's file did not take.",
           lost_.load(std::memory_order_relaxed)}};
}

void AccessLog::Write() {
  if (reopen_.exchange(false, std::memory_order_relaxed) && path_ != "-")
    if (auto opened = OpenFile(path_)) {
      fd_ = *std::move(opened);
      torn_ = false;
    }
  if (torn_) pending_.insert(pending_.begin(), '\n');
  std::size_t done = 0;
  while (done < pending_.size()) {
    const ssize_t put = ::write(fd_.get(), pending_.data() + done, pending_.size() - done);
    if (put > 0)
      done += static_cast<std::size_t>(put);
    else if (put == 0 || errno != EINTR)
      break;
  }
  if (done == pending_.size()) {
    lines_.fetch_add(pending_lines_, std::memory_order_relaxed);
    torn_ = false;
  } else {
    // Which lines went before is not worth the counting: all of this batch are said to be lost.
    lost_.fetch_add(pending_lines_, std::memory_order_relaxed);
    if (done > 0) torn_ = pending_[done - 1] != '\n';
  }
  pending_.clear();
  pending_lines_ = 0;
}

}  // namespace signet::proxy
