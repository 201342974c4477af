// Who is on the other end of each connection of the public socket, by descriptor: the kernel's
// word, noted before gRPC gets the descriptor. gRPC names a connection only by its number ("fd:17")
// and tells nobody when it closes one, so a row counts only while the descriptor is still the same
// socket (its inode), and rows of closed ones are reaped from time to time.
//
// Threads: safe from any thread.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>

#include "net/peer_credentials.h"

namespace signet::agent {

inline constexpr Reason kTooManyConnections{"too many connections"};
inline constexpr Reason kTooManyStreams{"too many streams"};

struct CallerLimits {
  std::size_t connections = 8000;
  std::size_t connections_per_uid = 4000;
  std::size_t streams_per_uid = 8000;
};

struct Caller {
  net::PeerCredentials credentials;
};
using CallerPtr = std::shared_ptr<const Caller>;

class CallerTable {
 public:
  explicit CallerTable(const CallerLimits& limits) : limits_(limits) {}

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

  // One stream of a user, counted until destroyed.
  class StreamSlot {
   public:
    StreamSlot(StreamSlot&& other) noexcept
        : table_(std::exchange(other.table_, nullptr)), uid_(other.uid_) {}
    StreamSlot& operator=(StreamSlot&&) = delete;
    ~StreamSlot();

   private:
    friend class CallerTable;
    StreamSlot(CallerTable* table, uid_t uid) : table_(table), uid_(uid) {}
    CallerTable* table_;
    uid_t uid_;
  };
  // Absent at the limit.
  std::optional<StreamSlot> TakeStream(uid_t uid);
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
