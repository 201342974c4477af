// Keeps the trust domain's authorities: makes the first, prepares, activates, prunes; publishes
// each in the own bundle before it signs; survives a crash at any write (the journal is
// AuthorityRows). Decisions are ca/authority/authority_slots.h's; this only carries them out.
//
// Threads: safe from any thread. Tick() is called every few seconds by the server's housekeeping
// thread.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/log.h"
#include "ca/keys/key_store.h"
#include "identity/registry/registry.h"
#include "identity/server/authority_publication.h"
#include "identity/server/issuer.h"
#include "identity/server/jwt_issuer.h"
#include "identity/server/upstream.h"

namespace signet::identity {

inline constexpr Reason kAuthorityUnpublished{"authority is not in the trust bundle"};
inline constexpr Reason kAuthorityIdMissing{"no authority ID provided"};
inline constexpr Reason kAuthorityIdUnexpected{"unexpected authority ID"};
inline constexpr Reason kAuthorityStateWrong{"authority is in another state"};
inline constexpr Reason kAuthorityTainted{"authority is tainted already"};
inline constexpr Reason kAuthorityUntainted{"an authority is tainted before it is revoked"};
inline constexpr Reason kAuthorityBelow{
    "a local authority cannot be tainted or revoked below an upstream authority"};
inline constexpr Reason kNoUpstream{"upstream authority is not configured"};
inline constexpr Reason kUpstreamIdWrong{"provided subject key id is not valid"};
inline constexpr Reason kUpstreamHolds{"the authority above still publishes this root"};

struct AuthoritySettings {
  std::chrono::seconds ca_ttl{24 * 3600};
  ca::KeyType ca_key_type = ca::KeyType::kEcP256;
  ca::KeyType jwt_key_type = ca::KeyType::kEcP256;
  std::vector<ca::NameAttribute> ca_subject;  // empty: C=US, O=SPIFFE
  std::chrono::seconds backdate{10};
  bool keep_jwt =
      true;  // false: no JWT authority is made; what the journal has of them ends as due
  UpstreamAuthority* upstream = nullptr;  // certifies the X.509 authorities; null: they are roots
};

// Whether every live agent holds a bundle with the authority `id`; and who is waited for (bounded).
struct Acknowledgement {
  bool all = false;
  std::size_t acknowledged = 0;
  std::size_t live = 0;
  std::vector<std::string> waiting_for;
};
using AcknowledgementSource =
    std::function<Acknowledgement(const std::string& authority_id, Revision published_at)>;

class AuthorityKeeper final : public ActiveAuthority, public ActiveJwtAuthority {
 public:
  // Restores from the journal, or makes the first authorities (X.509 and JWT) on an empty one. A
  // key that is missing or foreign makes its authority old, said in the log, and another is made at
  // once; a key that is there but cannot be read (kKeyStoreUnusable, kFilePermissionsLax) fails the
  // start and nothing is replaced. All references outlive the keeper.
  static Result<std::unique_ptr<AuthorityKeeper>> Start(Store& store, Registry& registry,
                                                        ca::KeyStore& keys,
                                                        const AuthoritySettings& settings,
                                                        const Clock& clock, Random& random,
                                                        const Logger& log, Metrics& metrics);
  ~AuthorityKeeper() override;

  std::shared_ptr<const ca::X509Authority> Active() const override;
  std::shared_ptr<const ca::JwtAuthority> ActiveJwt() const override;
  // Without one, an authority counts as acknowledged when there are no live agents. `source` is
  // called from Tick() and Slots() without locks that Active() needs.
  void SetAcknowledgementSource(AcknowledgementSource source);
  // Prepares, activates, prunes as due; all steps are attempted, the first error is answered. An
  // error is logged, counted (signet_server_authority_errors_total) and retried at the next tick.
  Status Tick();

  struct SlotStatus {
    ca::AuthoritySlot slot;
    std::string type;  // "x509" or "jwt"
    Acknowledgement acknowledgement;
  };
  std::vector<SlotStatus> Slots() const;
  // Whether the X.509 authorities are certified by one above them.
  bool HasUpstream() const;

  // An operator's steps, as SPIRE's localauthority.v1 has them; `type` is "x509" or "jwt". Each
  // takes effect before it answers.
  SlotView Show(std::string_view type) const;
  // Makes the next authority and publishes it, in place of one that is prepared already: that one
  // stays in the bundle until its end.
  Result<ca::AuthoritySlot> PrepareNext(std::string_view type, const Actor& by = {});
  // Takes the prepared authority into use at once, also when live agents do not hold it yet: they
  // are named in the log. Fails with kAuthorityIdMissing, kAuthorityIdUnexpected or
  // kAuthorityStateWrong.
  Result<ca::AuthoritySlot> ActivatePrepared(std::string_view type, const std::string& id,
                                             const Actor& by = {});
  // Marks the old authority in the bundle: whoever holds an SVID by it renews. Fails as
  // ActivatePrepared() does, with kAuthorityTainted or kAuthorityUnpublished.
  Result<ca::AuthoritySlot> TaintOld(std::string_view type, const std::string& id,
                                     const Actor& by = {});
  // Takes a tainted authority out of the bundle; one in use or prepared is refused. Fails as above,
  // and with kAuthorityUntainted.
  Status Revoke(std::string_view type, const std::string& id, const Actor& by = {});

  // Of the root above, by its subject key identifier in lower-case hex; empty when the authority
  // `id` of ours is a root.
  std::string UpstreamId(std::string_view type, const std::string& id) const;
  // A JWT authority of a server below ours, on its way to who verifies above; nothing when there is
  // no one above. Fails as UpstreamAuthority::PublishJwt().
  Status PublishAbove(const JwtBundleAuthority& authority);
  // The same two steps for a root above that only the old authority of ours is below. Fail with
  // kNoUpstream, kUpstreamIdWrong, kAuthorityUnpublished, kAuthorityTainted or kAuthorityUntainted;
  // what is revoked while it is published above would be back: kUpstreamHolds.
  Status TaintUpstream(const std::string& key_id, const Actor& by = {});
  Status RevokeUpstream(const std::string& key_id, const Actor& by = {});

  struct State;  // authority_keeper_state.h

 private:
  explicit AuthorityKeeper(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace signet::identity
