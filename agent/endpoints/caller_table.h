// Who is on the other end of each connection of the public socket, by descriptor: the kernel's
// word, noted before gRPC gets the descriptor. gRPC names a connection only by its number ("fd:17")
// and tells nobody when it closes one, so a row counts only while the descriptor is still the same
// socket (its inode), and rows of closed ones are reaped from time to time.
//
// Threads: safe from any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "net/peer_credentials.h"

namespace signet::agent {

inline constexpr Reason kTooManyConnections{"too many connections"};
inline constexpr Reason kTooManyStreams{"too many streams"};

struct CallerLimits {
  std::size_t connections = 8000;
  std::size_t connections_per_uid = 4000;
  std::size_t streams_per_uid = 8000;
  // A connection that was silent so long is asked for a sign of life, and hung up on when none
  // comes in the second of these.
  std::chrono::milliseconds keepalive{30'000};
  std::chrono::milliseconds keepalive_timeout{10'000};
};

struct Caller {
  explicit Caller(net::PeerCredentials c) : credentials(std::move(c)) {}
  const net::PeerCredentials credentials;
  mutable std::atomic<std::uint32_t> streams{0};  // open over this connection
};
using CallerPtr = std::shared_ptr<const Caller>;

// One process, with all its connections.
struct ConnectedCaller {
  pid_t pid = -1;
  uid_t uid = static_cast<uid_t>(-1);
  gid_t gid = static_cast<gid_t>(-1);
  std::size_t connections = 0;
  std::size_t streams = 0;
};

class CallerTable {
 public:
  explicit CallerTable(const CallerLimits& limits) : limits_(limits) {}
  const CallerLimits& limits() const { return limits_; }

  // Fails with kTooManyConnections, noting nothing; the descriptor stays the caller's to close.
  Status Admit(int fd, net::PeerCredentials credentials);
  // `peer` as ServerContext::peer() gives it. Null when there is no such row, or the number means
  // another socket by now.
  CallerPtr Find(std::string_view peer) const;
  // Forgets closed connections.
  void Reap();
  // Hangs up on everybody: what waits to be read by them fails. gRPC closes the descriptors.
  void HangUp();
  std::size_t connections() const;
  // Those that are open now, with the most streams first.
  std::vector<ConnectedCaller> Connected() const;

  // One stream of a caller, counted until destroyed.
  class StreamSlot {
   public:
    StreamSlot(StreamSlot&& other) noexcept
        : table_(std::exchange(other.table_, nullptr)), caller_(std::move(other.caller_)) {}
    StreamSlot& operator=(StreamSlot&&) = delete;
    ~StreamSlot();

   private:
    friend class CallerTable;
    StreamSlot(CallerTable* table, CallerPtr caller) : table_(table), caller_(std::move(caller)) {}
    CallerTable* table_;
    CallerPtr caller_;
  };
  // Absent at the limit of the caller's user.
  std::optional<StreamSlot> TakeStream(CallerPtr caller);
  std::size_t streams() const;

 private:
  struct Row {
    std::uint64_t inode;
    CallerPtr caller;
  };
  void Forget(std::map<int, Row>::iterator row);
  void ReapLocked();

  const CallerLimits limits_;
  mutable std::mutex mutex_;
  std::map<int, Row> rows_;
  std::map<uid_t, std::size_t> connections_of_;
  std::map<uid_t, std::size_t> streams_of_;
};

}  // namespace signet::agent
