// An authority above ours: what certifies our X.509 authorities in place of themselves, so that the
// trust domain's roots are its, not ours.
//
// Threads: safe from any thread. A grant may wait for files, a token or a network.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ca/authority/x509_authority.h"
#include "identity/bundle/bundle.h"

namespace signet::identity {

inline constexpr Reason kUpstreamUnusable{"upstream authority cannot be used"};

// What stands for the trust domain above.
struct UpstreamTrust {
  std::vector<X509BundleAuthority> x509;
  std::vector<JwtBundleAuthority> jwt;
  // It keeps the whole bundle: what it had and has no longer, it has withdrawn. False also while it
  // has not been heard yet.
  bool is_whole = false;
};

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
  // As it was last heard; what is published stays until it ends, or is withdrawn above.
  virtual UpstreamTrust Trust() = 0;

  // Whether our JWT authorities are published above, for verifiers there.
  virtual bool TakesJwtAuthorities() const = 0;
  // Fails with kUpstreamUnusable.
  virtual Status PublishJwt(const JwtBundleAuthority& authority) = 0;
  // Whom a rotation above waits for: asked now and then for the authorities that everybody below us
  // holds, as HeldAuthorities::List() has them. To be set once; what it needs lives until the
  // upstream is stopped. Files wait for nobody.
  using HeldSource = std::function<std::vector<std::string>()>;
  virtual void SetHeldSource(HeldSource) {}
  // No call to what was set after it.
  virtual void Stop() {}
  // What health should say of it.
  virtual std::vector<std::string> Problems() const = 0;
};

}  // namespace signet::identity
