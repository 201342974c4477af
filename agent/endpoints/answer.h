// One answer to a caller, as far as it can be given now.
#pragma once

#include <grpcpp/support/status.h>

#include <optional>
#include <string>
#include <vector>

#include "ca/crypto/digest.h"

namespace signet::agent {

enum class AnswerKind {
  kEnd,       // the call ends with `status`
  kNotReady,  // the agent cannot say yet
  kWait,      // entitled, but there is nothing to give yet
  kSilent,    // nothing is to be said, and nothing is owed
  kSend,
};

template <class Response>
struct Answer {
  AnswerKind kind = AnswerKind::kEnd;
  grpc::Status status;
  Response response;
  // Equal for equal content, which is not sent again; absent: to be sent whatever was sent before.
  std::optional<ca::Sha256Digest> fingerprint;
  std::vector<std::string> missing;  // ids of entries whose SVIDs are wanted; with kSend: left out
};

}  // namespace signet::agent
