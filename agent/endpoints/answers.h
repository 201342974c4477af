// What a caller is told: a WorkloadView as messages of the SPIFFE Workload API. Pure.
#pragma once

#include <grpcpp/support/status.h>

#include <string>
#include <vector>

#include "agent/cache/workload_view.h"
#include "spiffe/workload.pb.h"

namespace signet::agent {

enum class AnswerKind {
  kEnd,       // the stream ends with `status`
  kNotReady,  // the agent cannot say yet
  kWait,      // entitled, but there is nothing to give yet
  kSend,
};

template <class Response>
struct Answer {
  AnswerKind kind = AnswerKind::kEnd;
  grpc::Status status;
  Response response;
  ca::Sha256Digest fingerprint{};    // equal for equal content
  std::vector<std::string> missing;  // ids of entries whose SVIDs are wanted; with kSend: left out
};

Answer<X509SVIDResponse> AnswerX509Svid(const WorkloadView& view);
Answer<X509BundlesResponse> AnswerX509Bundles(const WorkloadView& view);

}  // namespace signet::agent
