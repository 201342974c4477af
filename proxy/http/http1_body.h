// Takes the body of one HTTP/1.1 message out of its connection's bytes (RFC 9112, 6 and 7): by
// length, by chunks, or until the end. Holds no body bytes.
//
// Threads: one worker's.
#pragma once

#include "proxy/http/http1_head.h"

namespace signet::proxy {

class Http1Body {
 public:
  enum class Step {
    kData,   // `data` is a part of the body
    kMore,   // all that can be taken is taken: offer the rest again with more behind it
    kEnd,    // the message is whole; trailers() are read
    kFault,  // fault() says why
  };

  Http1Body() = default;
  Http1Body(const BodyFraming& framing, const HttpLimits& limits);

  // Takes from the front of `input`. What it leaves there is at most a line of a chunk, or trailers
  // that are not whole.
  Step Next(std::string_view* input, std::string_view* data);
  // The connection ended. True when that is this body's orderly end.
  bool EndOfInput();

  bool whole() const { return state_ == State::kWhole; }
  const Fields& trailers() const { return trailers_; }
  HttpFault fault() const { return fault_; }

 private:
  enum class State {
    kWhole,
    kLength,
    kUntilEnd,
    kChunkSize,
    kChunkData,
    kChunkEnd,
    kTrailers,
    kFault
  };

  Step TakeBytes(std::string_view* input, std::string_view* data);
  // True when a whole line was taken.
  bool TakeChunkSize(std::string_view* input);
  bool TakeChunkEnd(std::string_view* input);
  bool TakeTrailers(std::string_view* input);
  bool Fault(HttpFault fault);

  State state_ = State::kWhole;
  std::uint64_t left_ = 0;  // of the body, or of the chunk
  HttpLimits limits_;
  std::size_t extension_bytes_ = 0;
  HeadScanner scanner_;
  Fields trailers_;
  HttpFault fault_ = HttpFault::kNone;
};

}  // namespace signet::proxy
