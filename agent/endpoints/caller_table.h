// Who is connected to a socket, and how many connections and streams each user has: the kernel's
// word on the caller is noted as it is accepted, belongs to its connection, and goes with it.
//
// Threads: safe from any thread. It outlives what it hands out.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_set>
#include <utility>
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

  // One connection, counted until destroyed. Its caller may outlive it: a call that is being
  // attested holds it.
  class Place {
   public:
    Place(Place&& other) noexcept
        : table_(std::exchange(other.table_, nullptr)), caller_(std::move(other.caller_)) {}
    Place& operator=(Place&&) = delete;
    ~Place();
    const CallerPtr& caller() const { return caller_; }

   private:
    friend class CallerTable;
    Place(CallerTable* table, CallerPtr caller) : table_(table), caller_(std::move(caller)) {}
    CallerTable* table_;
    CallerPtr caller_;
  };
  // Fails with kTooManyConnections.
  Result<Place> Admit(net::PeerCredentials credentials);
  std::size_t connections() const;
  // With the most streams first.
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
  const CallerLimits limits_;
  mutable std::mutex mutex_;
  std::unordered_set<const Caller*> connected_;
  std::map<uid_t, std::size_t> connections_of_;
  std::map<uid_t, std::size_t> streams_of_;
};

}  // namespace signet::agent
