#include "identity/server/upstream_open.h"

#include "identity/server/upstream_disk.h"

namespace signet::identity {

Result<std::unique_ptr<UpstreamAuthority>> OpenUpstream(const UpstreamConfig& config,
                                                        const TrustDomain& trust_domain,
                                                        const UpstreamParts& parts) {
  if (const auto* files = std::get_if<DiskUpstreamConfig>(&config))
    return DiskUpstream::Open(*files, parts.clock, parts.random, parts.log);
  const auto& above = std::get<SignetUpstreamConfig>(config);
  SIGNET_TRY(auto peer, DialUpstreamPeer(above, trust_domain, parts.clock, parts.random));
  return SignetUpstream::Start(std::move(peer), above.server.ToString(), trust_domain, {}, parts);
}

}  // namespace signet::identity
