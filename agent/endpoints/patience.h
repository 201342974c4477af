// How long a call waits for an answer that cannot be given yet, or not whole. Pure but for what it
// remembers.
#pragma once

#include "agent/endpoints/answer.h"
#include "base/clock.h"

namespace signet::agent {

struct WaitTimes {
  Duration not_ready = std::chrono::seconds(2);   // then UNAVAILABLE
  Duration nothing = std::chrono::seconds(30);    // without any SVID to give: UNAVAILABLE
  Duration incomplete = std::chrono::seconds(3);  // the first message waits for missing SVIDs
};

class Patience {
 public:
  enum class Verdict { kEnd, kWait, kSend };
  explicit Patience(WaitTimes times = {}) : times_(times) {}

  // `sent`: the call has had an answer before.
  Verdict Judge(AnswerKind kind, bool incomplete, bool sent, SteadyTime now);
  // Has a deadline to keep: wants to be asked again each second.
  bool waiting() const { return waiting_; }

 private:
  const WaitTimes times_;
  bool waiting_ = false;
  SteadyTime since_;
};

}  // namespace signet::agent
