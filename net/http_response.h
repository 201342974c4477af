// Reading one HTTP/1.1 response (RFC 9112) as it arrives, for a client that asks for documents:
// head and body bounded, framing strict. Internal to net/.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace signet::net {

inline constexpr std::size_t kMaxResponseHead = 16 * 1024;

enum class ResponseStatus { kIncomplete, kComplete, kMalformed, kTooLarge };

// Takes a body by Content-Length, by chunks (their extensions and trailers are skipped), or to the
// end of the connection. A response that says its length twice, or in two ways, is malformed; so is
// one with a content encoding, since none is asked for, and an interim one (1xx).
class HttpResponseReader {
 public:
  explicit HttpResponseReader(std::size_t max_body) : max_body_(max_body) {}

  // What came next. Not to be called again once the answer is not kIncomplete.
  ResponseStatus Add(std::string_view bytes);
  // The peer closed the connection in order.
  ResponseStatus End();

  int status() const { return status_; }  // 200; 0 while unknown
  const std::string& etag() const { return etag_; }
  std::string TakeBody() { return std::move(body_); }

 private:
  enum class Part { kHead, kLength, kToEnd, kChunkSize, kChunk, kChunkEnd, kTrailers };
  ResponseStatus Go();
  ResponseStatus ReadHead();
  bool ReadField(std::string_view line);
  ResponseStatus BeginBody();
  ResponseStatus TakeCounted(Part next);
  ResponseStatus ReadChunkSize();
  ResponseStatus ReadTrailer();
  // The next line of `pending_` without its end; absent while it is incomplete.
  std::optional<std::string_view> NextLine();

  const std::size_t max_body_;
  Part part_ = Part::kHead;
  std::string pending_;  // received and not yet judged
  std::size_t at_ = 0;   // of pending_, what was judged already
  std::string body_;
  std::size_t left_ = 0;  // of the body or of the chunk
  std::size_t trailer_bytes_ = 0;
  int status_ = 0;
  std::string etag_;
  std::optional<std::size_t> length_;
  bool chunked_ = false;
};

}  // namespace signet::net
