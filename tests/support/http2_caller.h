// HTTP/2 frames by hand, for tests that must be able to send anything: no library decides what is
// legal. Only the decoding of header blocks is nghttp2's.
#pragma once

#include <nghttp2/nghttp2.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/stream_client.h"

namespace signet::test {

namespace h2 {
inline constexpr int kData = 0, kHeaders = 1, kPriority = 2, kReset = 3, kSettings = 4, kPing = 6,
                     kGoAway = 7, kWindowUpdate = 8, kContinuation = 9;
inline constexpr int kEndStream = 1, kAck = 1, kEndHeaders = 4;
inline constexpr std::uint32_t kNoError = 0, kProtocolError = 1, kRefused = 7, kCancel = 8,
                               kEnhanceYourCalm = 11;
inline constexpr const char* kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
using List = std::vector<std::pair<std::string, std::string>>;

inline std::string Number(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i) text.push_back(static_cast<char>(value >> (8 * i)));
  return text;
}
inline std::uint32_t ReadNumber(std::string_view text) {
  std::uint32_t value = 0;
  for (const char c : text) value = value << 8U | static_cast<std::uint8_t>(c);
  return value;
}
inline std::string Frame(int type, int flags, std::uint32_t stream,
                         const std::string& payload = "") {
  return Number(static_cast<std::uint32_t>(payload.size()), 3) +
         Number(static_cast<std::uint32_t>(type), 1) +
         Number(static_cast<std::uint32_t>(flags), 1) + Number(stream, 4) + payload;
}
// RFC 7541, 5.1 with a prefix of seven bits, and 6.2.2: a literal that is not indexed.
inline std::string Length(std::size_t size) {
  std::string text;
  if (size < 127) return {static_cast<char>(size)};
  text.push_back(127);
  for (size -= 127; size >= 128; size /= 128) text.push_back(static_cast<char>(size % 128 + 128));
  text.push_back(static_cast<char>(size));
  return text;
}
inline std::string Literal(const std::string& name, const std::string& value) {
  return std::string(1, '\0') + Length(name.size()) + name + Length(value.size()) + value;
}
inline std::string Block(const List& fields) {
  std::string block;
  for (const auto& [name, value] : fields) block += Literal(name, value);
  return block;
}
inline List Get(const std::string& path = "/") {
  return {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", path}};
}
inline List Post(const std::string& path = "/") {
  return {{":method", "POST"}, {":scheme", "http"}, {":authority", "a"}, {":path", path}};
}
}  // namespace h2

// What a server says, frame by frame and by stream.
class Http2Reader {
 public:
  struct Received {
    int type = 0, flags = 0;
    std::uint32_t stream = 0;
    std::string payload;
  };
  // What came of one stream.
  struct Answer {
    std::vector<std::map<std::string, std::string>> heads;  // interim ones, the final one, trailers
    std::string body;
    bool ended = false;
    std::optional<std::uint32_t> reset;
    std::string Status() const {
      for (const auto& head : heads)
        if (const auto at = head.find(":status"); at != head.end() && at->second[0] != '1')
          return at->second;
      return {};
    }
  };

  Http2Reader() { nghttp2_hd_inflate_new(&inflater_); }
  ~Http2Reader() { nghttp2_hd_inflate_del(inflater_); }
  Http2Reader(const Http2Reader&) = delete;

  // Takes the next whole frame from the front of `bytes`; absent when there is none.
  static std::optional<Received> TakeFrame(std::string* bytes) {
    const std::size_t size = bytes->size() < 9 ? 0 : h2::ReadNumber(bytes->substr(0, 3));
    if (bytes->size() < 9 + size) return std::nullopt;
    Received frame;
    frame.type = (*bytes)[3];
    frame.flags = static_cast<std::uint8_t>((*bytes)[4]);
    frame.stream = h2::ReadNumber(bytes->substr(5, 4)) & 0x7fffffffU;
    frame.payload = bytes->substr(9, size);
    bytes->erase(0, 9 + size);
    return frame;
  }
  // Answers what a peaceful caller sends in return: windows and acknowledgements.
  std::string Note(const Received& frame) {
    std::string reply;
    Answer& answer = answers_[frame.stream];
    const bool end = (frame.flags & h2::kEndStream) != 0;
    switch (frame.type) {
      case h2::kHeaders:
        answer.heads.push_back(Inflate(frame.payload));
        answer.ended = answer.ended || end;
        break;
      case h2::kData:
        answer.body += frame.payload;
        answer.ended = answer.ended || end;
        if (windows_ && !frame.payload.empty()) {
          const auto size = h2::Number(static_cast<std::uint32_t>(frame.payload.size()), 4);
          reply += h2::Frame(h2::kWindowUpdate, 0, 0, size);
          if (!end) reply += h2::Frame(h2::kWindowUpdate, 0, frame.stream, size);
        }
        break;
      case h2::kReset:
        answer.reset = h2::ReadNumber(frame.payload);
        break;
      case h2::kSettings:
        if ((frame.flags & h2::kAck) == 0) reply += h2::Frame(h2::kSettings, h2::kAck, 0);
        break;
      case h2::kPing:
        if ((frame.flags & h2::kAck) == 0)
          reply += h2::Frame(h2::kPing, h2::kAck, 0, frame.payload);
        break;
      case h2::kGoAway:
        goaway_ = h2::ReadNumber(std::string_view(frame.payload).substr(4, 4));
        break;
      case h2::kWindowUpdate:
        window_updates_[frame.stream] += h2::ReadNumber(frame.payload);
        break;
      default:
        break;
    }
    return reply;
  }
  void AnswerWindows(bool yes) { windows_ = yes; }
  std::map<std::uint32_t, Answer>& answers() { return answers_; }
  // By how much the windows of streams, and of the connection (0), grew.
  std::map<std::uint32_t, std::uint32_t>& windows() { return window_updates_; }
  // The code of the last GOAWAY.
  const std::optional<std::uint32_t>& goaway() const { return goaway_; }

 private:
  std::map<std::string, std::string> Inflate(const std::string& block) {
    std::map<std::string, std::string> fields;
    auto* at = reinterpret_cast<std::uint8_t*>(const_cast<char*>(block.data()));
    std::size_t left = block.size();
    for (;;) {
      nghttp2_nv field;
      int flags = 0;
      const ssize_t used = nghttp2_hd_inflate_hd2(inflater_, &field, &flags, at, left, 1);
      if (used < 0) break;
      at += used;
      left -= static_cast<std::size_t>(used);
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0)
        fields[std::string(reinterpret_cast<char*>(field.name), field.namelen)] =
            std::string(reinterpret_cast<char*>(field.value), field.valuelen);
      if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
    }
    nghttp2_hd_inflate_end_headers(inflater_);
    return fields;
  }
  nghttp2_hd_inflater* inflater_ = nullptr;
  std::map<std::uint32_t, Answer> answers_;
  std::optional<std::uint32_t> goaway_;
  std::map<std::uint32_t, std::uint32_t> window_updates_;
  bool windows_ = true;
};

// A caller that speaks HTTP/2 frame by frame.
class Http2Caller {
 public:
  using Received = Http2Reader::Received;
  using Answer = Http2Reader::Answer;

  explicit Http2Caller(StreamClient stream, const std::string& settings = "")
      : stream_(std::move(stream)) {
    stream_.Send(h2::kPreface + h2::Frame(h2::kSettings, 0, 0, settings));
  }

  bool Send(const std::string& frames) { return stream_.Send(frames); }
  bool Headers(std::uint32_t id, const h2::List& fields, bool end = true) {
    return Send(h2::Frame(h2::kHeaders, h2::kEndHeaders | (end ? h2::kEndStream : 0), id,
                          h2::Block(fields)));
  }
  bool Data(std::uint32_t id, const std::string& bytes, bool end = true) {
    return Send(h2::Frame(h2::kData, end ? h2::kEndStream : 0, id, bytes));
  }

  // The next frame; absent at the end.
  std::optional<Received> Next() {
    for (;;) {
      if (auto frame = Http2Reader::TakeFrame(&held_)) return frame;
      const std::string more = stream_.ReceiveSome(65536);
      if (more.empty()) return std::nullopt;
      held_ += more;
    }
  }
  // Takes frames until the stream is over or the connection is; answers windows and settings.
  Answer Await(std::uint32_t id) {
    for (;;) {
      Answer& answer = reader_.answers()[id];
      if (answer.ended || answer.reset || IsCut()) return answer;
      const auto frame = Next();
      if (!frame) return answer;
      Send(reader_.Note(*frame));
    }
  }
  // Takes frames until a GOAWAY or the end; answers its error code.
  std::optional<std::uint32_t> AwaitGoAway() {
    while (!reader_.goaway()) {
      const auto frame = Next();
      if (!frame) break;
      Send(reader_.Note(*frame));
    }
    return reader_.goaway();
  }
  void AnswerWindows(bool yes) { reader_.AnswerWindows(yes); }
  StreamClient& stream() { return stream_; }
  std::map<std::uint32_t, Answer>& answers() { return reader_.answers(); }

 private:
  bool IsCut() const { return reader_.goaway().value_or(h2::kNoError) != h2::kNoError; }

  StreamClient stream_;
  Http2Reader reader_;
  std::string held_;
};

}  // namespace signet::test
