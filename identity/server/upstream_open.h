// The authority above that the configuration names, ready to be asked.
#pragma once

#include "identity/server/upstream_config.h"
#include "identity/server/upstream_signet.h"

namespace signet::identity {

// Files are read, and fail here; a server that is away does not.
Result<std::unique_ptr<UpstreamAuthority>> OpenUpstream(const UpstreamConfig& config,
                                                        const TrustDomain& trust_domain,
                                                        const UpstreamParts& parts);

}  // namespace signet::identity
