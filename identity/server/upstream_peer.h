// The server above a nested one, as SPIRE's API has it: our identity comes from an agent of that
// server on this host, the server must prove that it is one of the trust domain.
//
// Threads: safe from any thread; calls run one after the other, each within a time limit.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "identity/server/upstream.h"
#include "identity/server/upstream_config.h"

namespace signet::identity {

inline constexpr Reason kUpstreamAnswered{"the server above answered with an error"};

class UpstreamPeer {
 public:
  virtual ~UpstreamPeer() = default;

  // All of these fail with kUpstreamUnusable when its answer is unusable, kUpstreamAnswered, or as
  // FetchWorkloadIdentity() and TlsDialer::Dial().
  virtual Result<UpstreamTrust> FetchTrust() = 0;
  struct Grant {
    ca::Chain chain;  // the new authority first
    std::vector<ca::Certificate> roots;
  };
  virtual Result<Grant> NewDownstreamCa(const Bytes& request, std::chrono::seconds ttl) = 0;
  // Answers all keys that stand for the trust domain.
  virtual Result<std::vector<JwtBundleAuthority>> PublishJwt(
      const JwtBundleAuthority& authority) = 0;
  // `authorities` of ours are held by everybody below us. Ok also when the server above knows no
  // such call: SPIRE's waits for nobody below.
  virtual Status ReportHeld(const std::vector<std::string>& authorities) = 0;
  // Ends the call in progress, and every later one at once.
  virtual void Stop() = 0;
};

// A connection is kept until half of the identity's life is over, until a call fails, or until the
// roots that the server was verified against change.
Result<std::unique_ptr<UpstreamPeer>> DialUpstreamPeer(const SignetUpstreamConfig& config,
                                                       const TrustDomain& trust_domain,
                                                       const Clock& clock, Random& random);

}  // namespace signet::identity
