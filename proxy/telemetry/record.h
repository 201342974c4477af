// What is told of a request or connection that ended: everything an access log line, a span or a
// live view shows, and nothing of a body. Paths come without their query, which may hold what is
// nobody else's.
//
// Threads: values; the views are good only while the call that hands a record over runs.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "proxy/telemetry/outcome.h"
#include "proxy/telemetry/trace_context.h"

namespace signet::proxy {

enum class RecordKind : std::uint8_t { kRequest, kConnection, kRefusal };
std::string_view RecordKindName(RecordKind kind);

struct Record {
  // The part that is copied as it is.
  struct Figures {
    RecordKind kind = RecordKind::kRequest;
    Direction direction = Direction::kInbound;
    bool failed = false;  // refused, broken off, or answered by a failure
    bool logged = false;  // in the access log's sample
    int status = 0;       // sent to the caller; 0: none
    int grpc_status = -1;
    std::uint64_t received = 0;  // bytes of the body, or of the connection, from the caller
    std::uint64_t sent = 0;
    WallTime ended;
    Duration duration{};
    Duration upstream_wait{};  // until the upstream connection stood
    Duration first_byte{};     // until the answer's head came
    RequestTrace trace;
  } figures;

  std::string_view listener;
  std::string_view route;   // empty: the listener's one target
  std::string_view caller;  // SPIFFE ID of who calls; empty: it proved none
  std::string_view callee;  // … of who is called, as it was proved to the caller; likewise
  std::string_view remote;
  std::string_view protocol;  // "HTTP/1.1"; of connections the listener's
  std::string_view method;
  std::string_view host;
  std::string_view path;
  std::string_view end;     // "answered", "not_allowed", "reset", …: a word of a closed set
  std::string_view rule;    // that allowed it
  std::string_view id;      // of a refusal, for `signet policy explain`
  std::string_view detail;  // for people
};

// Takes records on the telemetry thread.
class RecordSink {
 public:
  // A counter of it: the name without "_total".
  struct Count {
    std::string_view name, help;
    std::uint64_t value = 0;
  };
  virtual ~RecordSink() = default;
  // Safe from any thread.
  virtual std::vector<Count> counts() const = 0;
  virtual void Take(const Record& record) = 0;
  // Nothing more is at hand now.
  virtual void Flush() = 0;
};

}  // namespace signet::proxy
