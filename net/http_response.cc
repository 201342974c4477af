#include "net/http_response.h"

#include <algorithm>
#include <charconv>

#include "net/http_grammar.h"

namespace signet::net {
namespace {

constexpr std::size_t kMaxLine = 4096;  // of a chunk's size or a trailer

std::optional<std::size_t> Number(std::string_view text, int base) {
  std::size_t value = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value, base);
  if (text.empty() || error != std::errc() || at != end) return std::nullopt;
  return value;
}

// "HTTP/1.1 200 OK"; 0 when it is none.
int StatusOf(std::string_view line) {
  if (!line.starts_with("HTTP/1.1 ") && !line.starts_with("HTTP/1.0 ")) return 0;
  const std::string_view digits = line.substr(9, 3);
  const bool ends = line.size() == 12 || (line.size() > 12 && line[12] == ' ');
  const auto status = Number(digits, 10);
  return ends && digits.size() == 3 && status && *status >= 200 && *status <= 599
             ? static_cast<int>(*status)
             : 0;
}

}  // namespace

ResponseStatus HttpResponseReader::Add(std::string_view bytes) {
  pending_.erase(0, at_);
  at_ = 0;
  pending_ += bytes;
  return Go();
}

ResponseStatus HttpResponseReader::End() {
  return part_ == Part::kToEnd ? ResponseStatus::kComplete : ResponseStatus::kMalformed;
}

ResponseStatus HttpResponseReader::Go() {
  while (true) {
    const Part before = part_;
    const std::size_t at = at_;
    ResponseStatus status = ResponseStatus::kIncomplete;
    switch (part_) {
      case Part::kHead:
        status = ReadHead();
        break;
      case Part::kLength:
        status = TakeCounted(Part::kHead);
        break;
      case Part::kToEnd:
        if (pending_.size() - at_ > max_body_ - body_.size()) return ResponseStatus::kTooLarge;
        body_.append(pending_, at_);
        at_ = pending_.size();
        return ResponseStatus::kIncomplete;
      case Part::kChunkSize:
        status = ReadChunkSize();
        break;
      case Part::kChunk:
        status = TakeCounted(Part::kChunkEnd);
        break;
      case Part::kChunkEnd: {
        const auto line = NextLine();
        if (line && !line->empty()) return ResponseStatus::kMalformed;
        if (line) part_ = Part::kChunkSize;
        break;
      }
      case Part::kTrailers:
        status = ReadTrailer();
        break;
    }
    if (status != ResponseStatus::kIncomplete) return status;
    if (part_ == before && at_ == at)  // nothing more can be done with what is there
      return pending_.size() - at_ > kMaxResponseHead ? ResponseStatus::kTooLarge : status;
  }
}

ResponseStatus HttpResponseReader::ReadHead() {
  const auto end = pending_.find("\r\n\r\n");
  if (end == pending_.npos || end > kMaxResponseHead)
    return pending_.size() > kMaxResponseHead ? ResponseStatus::kTooLarge
                                              : ResponseStatus::kIncomplete;
  std::string_view head = std::string_view(pending_).substr(0, end + 2);
  at_ = end + 4;
  for (bool first = true; !head.empty(); first = false) {
    const auto line_end = head.find("\r\n");
    const std::string_view line = head.substr(0, line_end);
    head.remove_prefix(line_end + 2);
    if (first) status_ = StatusOf(line);
    if (first ? status_ == 0 : !ReadField(line)) return ResponseStatus::kMalformed;
  }
  return BeginBody();
}

bool HttpResponseReader::ReadField(std::string_view line) {
  std::string_view name, value;
  if (!SplitField(line, &name, &value)) return false;
  if (EqualIgnoringCase(name, "content-length")) {
    const auto length = Number(value, 10);
    if (!length || length_) return false;
    length_ = length;
  } else if (EqualIgnoringCase(name, "transfer-encoding")) {
    if (chunked_ || !EqualIgnoringCase(value, "chunked")) return false;
    chunked_ = true;
  } else if (EqualIgnoringCase(name, "content-encoding")) {
    return EqualIgnoringCase(value, "identity");
  } else if (EqualIgnoringCase(name, "etag")) {
    etag_ = value;
  }
  return true;
}

// RFC 9112, 6.3.
ResponseStatus HttpResponseReader::BeginBody() {
  if (status_ == 204 || status_ == 304) return ResponseStatus::kComplete;
  if (chunked_ && length_) return ResponseStatus::kMalformed;
  if (length_ && *length_ > max_body_) return ResponseStatus::kTooLarge;
  left_ = length_.value_or(0);
  part_ = chunked_ ? Part::kChunkSize : length_ ? Part::kLength : Part::kToEnd;
  return part_ == Part::kLength && left_ == 0 ? ResponseStatus::kComplete
                                              : ResponseStatus::kIncomplete;
}

ResponseStatus HttpResponseReader::TakeCounted(Part next) {
  const std::size_t taken = std::min(left_, pending_.size() - at_);
  body_.append(pending_, at_, taken);
  at_ += taken;
  left_ -= taken;
  if (left_ > 0) return ResponseStatus::kIncomplete;
  if (part_ == Part::kLength) return ResponseStatus::kComplete;
  part_ = next;
  return ResponseStatus::kIncomplete;
}

ResponseStatus HttpResponseReader::ReadChunkSize() {
  const auto line = NextLine();
  if (!line) return ResponseStatus::kIncomplete;
  const auto size = Number(Trim(line->substr(0, line->find(';'))), 16);
  if (!size || !IsFieldValue(*line)) return ResponseStatus::kMalformed;
  if (*size > max_body_ - body_.size()) return ResponseStatus::kTooLarge;
  left_ = *size;
  part_ = left_ == 0 ? Part::kTrailers : Part::kChunk;
  return ResponseStatus::kIncomplete;
}

ResponseStatus HttpResponseReader::ReadTrailer() {
  const auto line = NextLine();
  if (!line) return ResponseStatus::kIncomplete;
  if (line->empty()) return ResponseStatus::kComplete;
  trailer_bytes_ += line->size();
  std::string_view name, value;
  if (!SplitField(*line, &name, &value)) return ResponseStatus::kMalformed;
  return trailer_bytes_ > kMaxResponseHead ? ResponseStatus::kTooLarge
                                           : ResponseStatus::kIncomplete;
}

std::optional<std::string_view> HttpResponseReader::NextLine() {
  const auto end = pending_.find("\r\n", at_);
  if (end == pending_.npos || end - at_ > kMaxLine) return std::nullopt;
  const std::string_view line = std::string_view(pending_).substr(at_, end - at_);
  at_ = end + 2;
  return line;
}

}  // namespace signet::net
