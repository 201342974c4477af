// HTTP/1.1 heads (RFC 9112), strictly: every line ends with CRLF, nothing is folded, nothing is
// guessed. Two steps: HeadScanner finds where a head ends while its bytes arrive, then one pass
// reads it. What two servers might read in two ways is refused.
//
// Threads: values and pure functions.
#pragma once

#include "proxy/http/message.h"

namespace signet::proxy {

// Looks for the empty line at the end of a head (or of trailers), a byte once.
class HeadScanner {
 public:
  enum class Found { kMore, kHead, kFault };
  // `bytes` begins where the head does, and only grows from call to call.
  Found Scan(std::string_view bytes, std::size_t limit);
  std::size_t head_bytes() const { return end_; }  // after kHead: the empty line included
  HttpFault fault() const { return fault_; }       // after kFault
  void Reset() { *this = HeadScanner(); }

 private:
  Found Fail(HttpFault fault) {
    fault_ = fault;
    return Found::kFault;
  }
  std::size_t scanned_ = 0;
  std::size_t line_begin_ = 0;
  std::size_t end_ = 0;
  HttpFault fault_ = HttpFault::kNone;
};

// Whether `bytes`, the first of a connection, can still become an HTTP/1 request: so that another
// protocol is told at its first byte and not after a timeout.
bool MayBeHttp1(std::string_view bytes);

// Reads a whole head as HeadScanner found it. kNone, or why it is refused.
HttpFault ParseRequestHead(std::string_view head, const HttpLimits& limits, RequestHead* request);
// `method` is the request's.
HttpFault ParseResponseHead(std::string_view head, const HttpLimits& limits,
                            std::string_view method, ResponseHead* response);
// The lines after the last chunk with the empty line that ends them.
HttpFault ParseTrailers(std::string_view lines, const HttpLimits& limits, Fields* trailers);

// A target in origin-form, or absolute-form turned into one with its authority (RFC 9112, 3.2).
HttpFault ParseTarget(std::string_view target, RequestHead* request);

}  // namespace signet::proxy
