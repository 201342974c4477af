// The denials this agent holds: what the server's stream brought. They are kept sealed on disk, so
// that an agent which restarts while the server is away still denies.
//
// Threads: safe from any thread; Apply() belongs to the thread that follows the server.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "agent/attest/sealed_file.h"
#include "base/log.h"
#include "identity/svid/denial.h"

namespace signet::agent {

// One change of the denials, whole.
struct DenialDelta {
  std::uint64_t revision = 0;
  bool full = false;  // replaces everything; `removed` is empty then
  std::vector<identity::DenialPtr> upserts;
  std::vector<std::string> removed;
};

class DenialBoard {
 public:
  // What is held, and since which revision of the server; 0: it never said any.
  struct State {
    identity::DenialSetPtr denials = identity::DenialSet::Create({});
    std::uint64_t revision = 0;
  };

  DenialBoard(SealedFile file, const Logger& log);

  // What was kept from before a restart; nothing when there is no file. Fails as SealedFile does,
  // or with kRecordMalformed; then nothing is held.
  Status Restore();
  // Counts at once and is kept then; a failure to keep it is logged, since to deny now matters
  // more. Fails with identity::kDenialMalformed when more than identity::kMaxDenials would be held;
  // then what was held stays.
  Status Apply(DenialDelta delta);
  State Current() const;
  // Called after each change, without the lock, on the changing thread. Call before other threads
  // use the board.
  void Observe(std::function<void()> observer) { observers_.push_back(std::move(observer)); }

 private:
  void Set(State next);

  const SealedFile file_;
  const Logger& log_;
  std::vector<std::function<void()>> observers_;
  mutable std::mutex mutex_;
  State state_;
};

}  // namespace signet::agent
