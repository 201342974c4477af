// The turn of an RpcServer's loop: what came in is handled first, then everybody's answers leave
// together, and who has ended is removed where nobody is in the middle of using it.
//
// Threads: the loop's.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "net/front_service.h"

namespace signet::net {

// What the connections of one loop share: buffers for the time of a call, and who has something to
// say or has ended. Connections are flushed and removed when the outermost turn ends.
class RpcTurn {
 public:
  static constexpr std::size_t kBytes = 64 * 1024;
  struct Ways {
    std::function<void(std::uint64_t)> flush;
    std::function<void(std::uint64_t, ConnectionEnd)> remove;
    std::function<void()> settled;  // nothing is left to do
  };
  explicit RpcTurn(Ways ways) : ways_(std::move(ways)) {}

  class Scope {
   public:
    explicit Scope(RpcTurn& turn) : turn_(turn) { ++turn_.depth_; }
    ~Scope() {
      if (turn_.depth_ == 1) turn_.Settle();
      --turn_.depth_;
    }
    Scope(const Scope&) = delete;

   private:
    RpcTurn& turn_;
  };
  // Inside a Scope.
  void AddDirty(std::uint64_t id) { dirty_.push_back(id); }
  void AddEnded(std::uint64_t id, ConnectionEnd how) { ended_.emplace_back(id, how); }
  Bytes& in() { return in_; }
  std::string& out() { return out_; }

 private:
  void Settle();

  const Ways ways_;
  int depth_ = 0;
  std::vector<std::uint64_t> dirty_;
  std::vector<std::pair<std::uint64_t, ConnectionEnd>> ended_;
  Bytes in_ = Bytes(kBytes);
  std::string out_;
};

}  // namespace signet::net
