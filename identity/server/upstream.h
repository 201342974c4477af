// An authority above ours: what certifies our X.509 authorities in place of themselves, so that the
// trust domain's roots are its, not ours.
//
// Threads: safe from any thread. A grant may wait for files, a token or a network.
#pragma once

#include <memory>
#include <vector>

#include "ca/authority/x509_authority.h"

namespace signet::identity {

inline constexpr Reason kUpstreamUnusable{"upstream authority cannot be used"};

class UpstreamAuthority {
 public:
  virtual ~UpstreamAuthority() = default;

  struct Request {
    std::shared_ptr<const ca::Signer> signer;  // whose key is certified
    std::string uri_san;                       // "spiffe://td"
    WallTime not_before;
    WallTime not_after;  // cut to the upstream's own end
  };
  // Answers the new certificate first, then what leads to a root. `record` makes durable what is
  // about to be signed here, and refuses it otherwise. Fails with kUpstreamUnusable, as
  // X509Authority::PrepareDownstream() does, or as `record`.
  virtual Result<ca::Chain> Certify(const Request& request,
                                    const ca::X509Authority::RecordIntent& record) = 0;
  // The roots that stand for the trust domain now; what is published stays until it ends.
  virtual std::vector<ca::Certificate> Roots() = 0;
};

}  // namespace signet::identity
