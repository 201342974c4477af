// What a server above answers, from messages to values. Bounded; takes nothing on trust.
//
// Threads: none.
#pragma once

#include "identity/server/upstream_peer.h"
#include "spire/api/server/svid/v1/svid.pb.h"
#include "spire/api/types/bundle.pb.h"

namespace signet::identity {

// All fail with kUpstreamUnusable, naming what is wrong.

// At least one X.509 authority, of this trust domain.
Result<UpstreamTrust> ReadUpstreamTrust(const spire::api::types::Bundle& proto,
                                        const TrustDomain& trust_domain);
Result<std::vector<JwtBundleAuthority>> ReadUpstreamKeys(
    const google::protobuf::RepeatedPtrField<spire::api::types::JWTKey>& protos);
// A chain and a root at least. That the chain leads to it is for others to check.
Result<UpstreamPeer::Grant> ReadUpstreamGrant(
    const spire::api::server::svid::v1::NewDownstreamX509CAResponse& answer);

}  // namespace signet::identity
