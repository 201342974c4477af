// The authority above is another server, Signet's or SPIRE's: it certifies our authorities, its
// bundle is ours, our JWT authorities are published there. It is asked for its bundle every few
// seconds; while it is away what it said last stays, and this server goes on with the authority it
// has.
//
// Threads: one of its own that asks; safe from any thread.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/random.h"
#include "identity/server/upstream_peer.h"

namespace signet::identity {

struct UpstreamParts {
  const Clock& clock;
  Random& random;
  const Logger& log;
  Metrics& metrics;
};

class SignetUpstream final : public UpstreamAuthority {
 public:
  struct Timing {
    Duration poll = std::chrono::seconds(5);  // as SPIRE's; a tenth of it is jitter
    BackoffPolicy retry{.first = std::chrono::seconds(1), .most = std::chrono::seconds(30)};
  };
  // Asks once before it returns, and answers also when that failed.
  static std::unique_ptr<SignetUpstream> Start(std::unique_ptr<UpstreamPeer> peer, std::string name,
                                               const TrustDomain& trust_domain,
                                               const Timing& timing, const UpstreamParts& parts);
  ~SignetUpstream() override;

  // Checked before it is answered: the key is ours, it may sign certificates, and what it signs for
  // this trust domain leads to one of the roots.
  Result<ca::Chain> Certify(const Request& request,
                            const ca::X509Authority::RecordIntent& record) override;
  UpstreamTrust Trust() override;
  bool TakesJwtAuthorities() const override { return true; }
  Status PublishJwt(const JwtBundleAuthority& authority) override;
  void SetHeldSource(HeldSource source) override;
  void Stop() override;
  std::vector<std::string> Problems() const override;

 private:
  SignetUpstream(std::unique_ptr<UpstreamPeer> peer, std::string name,
                 const TrustDomain& trust_domain, const Timing& timing, const UpstreamParts& parts);
  void Run();
  // Answers how long to wait for the next turn.
  Duration Ask();
  void Report(const std::vector<std::string>& held);
  Duration NoteAnswer(const Result<UpstreamTrust>& answer);
  Status CheckGrant(const UpstreamPeer::Grant& grant, const Request& request,
                    const ca::X509Authority::RecordIntent& record) const;

  const std::unique_ptr<UpstreamPeer> peer_;
  const std::string name_;
  const TrustDomain trust_domain_;
  const Timing timing_;
  const UpstreamParts parts_;
  Counter& answers_;
  Counter& failures_;
  Counter& grants_;
  Gauge& answered_at_;

  bool told_ = true;  // the last report was taken; of who asks only

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  UpstreamTrust trust_;
  HeldSource held_;
  std::optional<Error> trouble_;  // of the last turn
  WallTime trouble_since_;
  unsigned failed_turns_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace signet::identity
