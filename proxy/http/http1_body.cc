#include "proxy/http/http1_body.h"

#include <algorithm>
#include <utility>

#include "proxy/http/syntax.h"

namespace signet::proxy {
namespace {

constexpr std::size_t kMaxChunkLine = 256;
constexpr std::size_t kMaxSizeDigits = 15;  // fits 63 bits

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = LowerAscii(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace

Http1Body::Http1Body(const BodyFraming& framing, const HttpLimits& limits) : limits_(limits) {
  switch (framing.kind) {
    case BodyKind::kNone:
    case BodyKind::kFramed:
      state_ = State::kWhole;
      break;
    case BodyKind::kLength:
      left_ = framing.content_length;
      state_ = left_ == 0 ? State::kWhole : State::kLength;
      break;
    case BodyKind::kChunked:
      state_ = State::kChunkSize;
      break;
    case BodyKind::kUntilEnd:
      state_ = State::kUntilEnd;
      break;
  }
}

bool Http1Body::Fault(HttpFault fault) {
  fault_ = fault;
  state_ = State::kFault;
  return true;
}

bool Http1Body::EndOfInput() {
  if (state_ == State::kUntilEnd) state_ = State::kWhole;
  if (state_ == State::kWhole) return true;
  if (state_ != State::kFault) Fault(HttpFault::kTruncated);
  return false;
}

Http1Body::Step Http1Body::Next(std::string_view* input, std::string_view* data) {
  for (;;) {
    switch (state_) {
      case State::kWhole:
        return Step::kEnd;
      case State::kFault:
        return Step::kFault;
      case State::kUntilEnd:
        if (input->empty()) return Step::kMore;
        *data = std::exchange(*input, {});
        return Step::kData;
      case State::kLength:
      case State::kChunkData:
        return TakeBytes(input, data);
      case State::kChunkSize:
        if (!TakeChunkSize(input)) return Step::kMore;
        break;
      case State::kChunkEnd:
        if (!TakeChunkEnd(input)) return Step::kMore;
        break;
      case State::kTrailers:
        if (!TakeTrailers(input)) return Step::kMore;
        break;
    }
  }
}

Http1Body::Step Http1Body::TakeBytes(std::string_view* input, std::string_view* data) {
  if (input->empty()) return Step::kMore;
  const std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(left_, input->size()));
  *data = input->substr(0, count);
  input->remove_prefix(count);
  left_ -= count;
  if (left_ == 0) state_ = state_ == State::kLength ? State::kWhole : State::kChunkEnd;
  return Step::kData;
}

// RFC 9112, 7.1: chunk-size [chunk-ext] CRLF. Extensions are dropped, and bounded (7.1.1). Blanks
// between size and ";" are in the grammar as bad whitespace; nobody sends them, some misread them.
bool Http1Body::TakeChunkSize(std::string_view* input) {
  const std::size_t end = input->substr(0, kMaxChunkLine).find('\n');
  const std::string_view so_far = input->substr(0, std::min(end, kMaxChunkLine));
  std::size_t digits = 0;
  std::uint64_t size = 0;
  while (digits < so_far.size() && digits <= kMaxSizeDigits && HexValue(so_far[digits]) >= 0)
    size = size * 16 + static_cast<std::uint64_t>(HexValue(so_far[digits++]));
  // Whatever comes, it must begin with a size: told at once, not when the line is whole.
  if (digits > kMaxSizeDigits || (digits == 0 && !so_far.empty())) return Fault(HttpFault::kChunk);
  if (end == std::string_view::npos)
    return input->size() >= kMaxChunkLine ? Fault(HttpFault::kChunk) : false;
  if (digits == 0 || end == 0 || (*input)[end - 1] != '\r') return Fault(HttpFault::kChunk);
  const std::string_view extension = so_far.substr(digits, end - 1 - digits);
  extension_bytes_ += extension.size();
  if ((!extension.empty() && (extension.front() != ';' || !IsFieldValue(extension))) ||
      extension_bytes_ > limits_.chunk_extension_bytes)
    return Fault(HttpFault::kChunk);
  input->remove_prefix(end + 1);
  left_ = size;
  state_ = size == 0 ? State::kTrailers : State::kChunkData;
  return true;
}

bool Http1Body::TakeChunkEnd(std::string_view* input) {
  if (!std::string_view("\r\n").starts_with(input->substr(0, 2))) return Fault(HttpFault::kChunk);
  if (input->size() < 2) return false;
  input->remove_prefix(2);
  state_ = State::kChunkSize;
  return true;
}

bool Http1Body::TakeTrailers(std::string_view* input) {
  switch (scanner_.Scan(*input, limits_.trailer_bytes)) {
    case HeadScanner::Found::kMore:
      return false;
    case HeadScanner::Found::kFault:
      return Fault(scanner_.fault() == HttpFault::kHeadTooLarge ? HttpFault::kTrailersTooLarge
                                                                : scanner_.fault());
    case HeadScanner::Found::kHead:
      break;
  }
  const HttpFault fault =
      ParseTrailers(input->substr(0, scanner_.head_bytes()), limits_, &trailers_);
  if (fault != HttpFault::kNone) return Fault(fault);
  input->remove_prefix(scanner_.head_bytes());
  state_ = State::kWhole;
  return true;
}

}  // namespace signet::proxy
