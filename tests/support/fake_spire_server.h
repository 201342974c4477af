// A server for agents, in this process and in the clear: attestation by join token, renewal, SVIDs,
// bundle, and either Signet's push stream or SPIRE's polling. What it serves and whom it refuses,
// tests say.
//
// Threads: safe from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "spire/api/types/bundle.pb.h"
#include "spire/api/types/entry.pb.h"
#include "spire/api/types/permission_denied_details.pb.h"
#include "tests/support/signing_authority.h"

namespace signet::test {

struct FakeServerOptions {
  bool push = true;  // false: Subscribe is UNIMPLEMENTED, as on SPIRE's server
  Duration agent_ttl = std::chrono::hours(1);
  Duration svid_ttl = std::chrono::hours(1);
};

class FakeSpireServer {
 public:
  static constexpr const char* kToken = "good-token";
  static constexpr const char* kAgentPath = "/spire/agent/join_token/fake";

  FakeSpireServer(const SigningAuthority& authority, const Clock& clock,
                  FakeServerOptions options = {});
  ~FakeSpireServer();

  // One end of a new connection.
  UniqueFd Connect();
  // Connect() fails, and what is connected breaks.
  void GoAway();
  void ComeBack();

  // Entries: pushed, or seen by the next poll.
  void Put(const std::string& id, const std::string& path,
           const std::vector<std::string>& selectors);
  void Remove(const std::string& id);
  // Bundles other than the own one, as it is.
  void PutBundle(const identity::Bundle& bundle);
  void SetOwnBundle(const identity::Bundle& bundle);
  // A Digest message that tells the truth about the entries, or does not.
  void PushDigest(bool truthful);
  // From now on each authorized call fails so, and push streams get Denied.
  void Deny(spire::api::types::PermissionDeniedDetails::Reason reason);
  // The next push stream gets a revision, Denied and its end at once, so that the acknowledgement
  // crosses them.
  void DenyBehindBatch(spire::api::types::PermissionDeniedDetails::Reason reason);
  // BatchNewX509SVID fails with INTERNAL.
  void RefuseToMint(bool refuse);
  // BatchNewX509SVID fails with RESOURCE_EXHAUSTED and asks for this pause; zero: no more.
  void AskForPause(std::chrono::milliseconds pause);

  std::uint64_t revision() const;
  std::uint64_t acknowledged() const;  // the highest revision applied
  int subscriptions() const;
  // Of those, the ones that asked for everything.
  int full_subscriptions() const;
  int mints() const;  // calls
  int renewals() const;
  // Waits until `holds`, looked at after each call; false after ten seconds.
  bool WaitUntil(const std::function<bool()>& holds) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace signet::test
