// How much each caller may ask of the server: calls draw on units that come back with time, one for
// each call and one more for each 64 KiB of its answer. Who has none left is refused before its
// request is read, is asked to stay away for a while, and when it goes on all the same its
// connection is not read for a time.
//
// Only callers with an SVID draw on units: who they are is certain. Addresses are the business of
// the front and of the limits on attestation; the admin socket is free.
//
// Threads: safe from any thread.
#pragma once

#include <mutex>
#include <optional>

#include "base/clock.h"
#include "base/random.h"
#include "identity/api/caller.h"
#include "identity/api/caller_rows.h"

namespace signet::identity {

struct CallGateSettings {
  double calls_per_second = 600;  // 0: no limit
  double burst = 600;
  // Of calls that claim to renew what is about to end, those that go ahead of others' calls.
  double renewals_per_second = 2;
  double renewal_burst = 20;
  // The pause a refused caller is asked for: uniform between zero and the first, which doubles with
  // each refusal that comes within the last one's time, up to the second (full jitter).
  std::chrono::milliseconds first_pause{500};
  std::chrono::milliseconds longest_pause{30'000};
};

class CallGate {
 public:
  CallGate(const CallGateSettings& settings, const Clock& clock, Random& random)
      : settings_(settings), clock_(clock), random_(random) {}

  enum class Entry {
    kRefused,  // the caller has no unit left
    kInTurn,   // it has used many of late: its work takes turns with that of others
    kAtOnce,
  };
  // A call begins.
  Entry Admit(const Caller& caller);
  // What an admitted call was answered.
  void Charge(const Caller& caller, std::size_t answer_bytes);
  // Whether a call that claims to renew goes ahead of others: so many of each caller's do.
  bool TakeRenewal(const Caller& caller);

  struct Refusal {
    std::chrono::milliseconds retry_after{0};
    // It was refused again and again within a second: nothing more is to be read from it until
    // then.
    std::optional<SteadyTime> hold_until;
  };
  // A call of this caller's is refused, for want of units or of room further in.
  Refusal Refuse(const Caller& caller);

 private:
  static constexpr std::size_t kMostCallers = 65'536;
  struct Row {
    TokenBucket units, renewals;
    unsigned refusals = 0;  // in a row
    SteadyTime last_refusal{};
    TokenBucket patience;
    bool IsIdle(SteadyTime now) const;
  };
  Row MakeRow(SteadyTime now) const;

  const CallGateSettings settings_;
  const Clock& clock_;
  Random& random_;
  std::mutex mutex_;
  CallerRows<Row> rows_{kMostCallers, [this](SteadyTime now) { return MakeRow(now); }};
};

}  // namespace signet::identity
