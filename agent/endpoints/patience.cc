#include "agent/endpoints/patience.h"

namespace signet::agent {

Patience::Verdict Patience::Judge(AnswerKind kind, bool incomplete, bool sent, SteadyTime now) {
  incomplete = incomplete && kind == AnswerKind::kSend && !sent;
  const bool waits = kind == AnswerKind::kNotReady || kind == AnswerKind::kWait || incomplete;
  if (waits && !waiting_) since_ = now;
  waiting_ = waits;
  const Duration waited = now - since_;
  switch (kind) {
    case AnswerKind::kEnd:
      return Verdict::kEnd;
    case AnswerKind::kNotReady:
      return sent || waited >= times_.not_ready ? Verdict::kEnd : Verdict::kWait;
    case AnswerKind::kWait:
      return waited >= times_.nothing ? Verdict::kEnd : Verdict::kWait;
    case AnswerKind::kSilent:
      return Verdict::kWait;
    case AnswerKind::kSend:
      if (incomplete && waited < times_.incomplete) return Verdict::kWait;
      waiting_ = false;
      return Verdict::kSend;
  }
  return Verdict::kEnd;
}

}  // namespace signet::agent
