// What HTTP/1.1 and HTTP/2 have in common: fields, request and response heads, how a body ends, and
// what was wrong with a message that is refused.
//
// Threads: values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace signet::proxy {

struct HttpLimits {
  std::size_t head_bytes = 64 * 1024;    // of a head: start line and fields
  std::size_t target_bytes = 16 * 1024;  // of the request target: more is 414
  std::size_t fields = 128;              // entries of a head, or of trailers
  std::size_t trailer_bytes = 16 * 1024;
  std::size_t chunk_extension_bytes = 4 * 1024;  // of one message, in all
};

// Field lines in the order they came, names with the case they came in. One block of memory.
class Fields {
 public:
  struct Field {
    std::string_view name, value;  // valid until the list changes
  };

  void Add(std::string_view name, std::string_view value);
  std::size_t size() const { return places_.size(); }
  bool empty() const { return places_.empty(); }
  Field operator[](std::size_t i) const {
    const Place& at = places_[i];
    const char* text = text_.data() + at.begin;
    return {{text, at.name_bytes}, {text + at.name_bytes, at.value_bytes}};
  }
  bool Has(std::string_view name) const { return Count(name) > 0; }
  std::size_t Count(std::string_view name) const;
  // The first value of `name`; empty when there is none or it is empty.
  std::string_view First(std::string_view name) const;
  // Drops the fields `should` says yes to; answers how many.
  template <class Should>
  std::size_t RemoveIf(Should should) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < places_.size(); ++i)
      if (!should((*this)[i])) places_[kept++] = places_[i];
    const std::size_t removed = places_.size() - kept;
    places_.resize(kept);
    return removed;
  }
  void Clear() {
    text_.clear();
    places_.clear();
  }

 private:
  struct Place {
    std::uint32_t begin, name_bytes, value_bytes;
  };
  std::string text_;
  std::vector<Place> places_;
};

enum class HttpVersion { kHttp10, kHttp11, kHttp2 };

// How the receiver finds a body's end (RFC 9112, 6.3).
enum class BodyKind {
  kNone,
  kLength,    // content_length bytes
  kChunked,   // ends with the last chunk and trailers
  kUntilEnd,  // a response: until the connection ends
  kFramed,    // HTTP/2: the frames say it
};

struct BodyFraming {
  BodyKind kind = BodyKind::kNone;
  std::uint64_t content_length = 0;  // of kLength
};

// A request as it will be forwarded: what the policy judges.
struct RequestHead {
  std::string method;
  std::string path;       // origin-form with the query, or "*"; empty for CONNECT
  std::string authority;  // as sent in Host, the absolute-form or :authority; may be empty
  std::string upgrade;    // the one protocol asked for by Upgrade, as sent; empty: none
  HttpVersion version = HttpVersion::kHttp11;
  Fields fields;  // without Host, and without what concerns one connection only
  BodyFraming body;
  bool keep_alive = true;  // HTTP/1: the sender goes on after this message
  bool expects_continue = false;
  bool takes_trailers = false;  // TE: trailers
};

struct ResponseHead {
  int status = 0;
  std::string reason;  // HTTP/1 only
  HttpVersion version = HttpVersion::kHttp11;
  Fields fields;
  BodyFraming body;
  bool keep_alive = true;
  std::string upgrade;  // of a 101
  bool informational() const { return status >= 100 && status < 200 && status != 101; }
};

// Why a message is refused. A closed set: it labels a metric.
enum class HttpFault {
  kNone,
  kNotHttp,        // the bytes are another protocol's
  kStartLine,      // malformed request or status line
  kVersion,        // neither HTTP/1.0 nor HTTP/1.1
  kLineEnding,     // a bare CR or LF, or a NUL
  kField,          // malformed field line, obs-fold, blank before the colon
  kHost,           // missing, repeated, malformed, or not the target's
  kTarget,         // malformed request target
  kFraming,        // ambiguous Content-Length or Transfer-Encoding
  kChunk,          // malformed chunked coding
  kTrailer,        // a field that must not be a trailer
  kExpectation,    // an Expect other than 100-continue
  kMethod,         // CONNECT where it is not allowed
  kHeadTooLarge,   // HttpLimits.head_bytes or fields
  kTargetTooLong,  // HttpLimits.target_bytes
  kTrailersTooLarge,
  kTruncated,  // the connection ended inside a message
};
std::string_view FaultName(HttpFault fault);
// The status to refuse a request with.
int StatusOfFault(HttpFault fault);
// A reason phrase (RFC 9110, 15); empty for codes without one.
std::string_view ReasonPhrase(int status);

}  // namespace signet::proxy
