// What the keeper's parts share: the journal in memory and the steps of a turn. Private to
// authority_keeper.cc (turns) and authority_commands.cc (an operator's steps).
//
// Locks: tick_mutex (one turn or command at a time) before mutex (held for moments).
#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "identity/server/authority_keeper.h"
#include "identity/server/authority_publication.h"
#include "identity/server/upstream_trust.h"

namespace signet::identity {

struct AuthorityKeeper::State {
  // An authority with its key: one of the two.
  struct Usable {
    std::shared_ptr<const ca::X509Authority> x509;
    std::shared_ptr<const ca::JwtAuthority> jwt;
    bool IsOf(std::string_view type) const {
      return type == kX509Authority ? x509 != nullptr : jwt != nullptr;
    }
  };

  Store& store;
  Registry& registry;
  ca::KeyStore& keys;
  const AuthoritySettings settings;
  const std::vector<std::string_view> types;  // that are kept
  const Clock& clock;
  Random& random;
  const Logger& log;
  Counter& errors;
  std::map<std::string_view, Counter*> activations;
  std::map<std::string_view, Gauge*> ends;
  std::map<std::string_view, Gauge*> waiting_for;

  // Held through Tick(): whoever has it may read `records` and is the only one to change them.
  std::mutex tick_mutex;
  // Held for moments, for readers.
  mutable std::mutex mutex;
  std::vector<AuthorityRecord> records;
  std::map<std::string, Revision> published_at;  // by authority id
  std::shared_ptr<const ca::X509Authority> active;
  std::shared_ptr<const ca::JwtAuthority> active_jwt;
  AcknowledgementSource source;

  // Of turns; tick_mutex.
  std::set<std::string> wait_logged;  // ids of prepared authorities
  UpstreamHistory seen_above;
  std::map<Bytes, Revision> root_published_at;  // by the DER of a root above
  std::optional<SteadyTime> leaving_since;      // a root above that is tainted or withdrawn

  State(Store& s, Registry& r, ca::KeyStore& k, AuthoritySettings set, const Clock& c, Random& rnd,
        const Logger& l, Metrics& metrics);

  Status Load();
  Status Tick();
  Status Restore(const AuthorityRecord& record, std::shared_ptr<const ca::Signer> signer);
  Status Demote(AuthorityRecord record, const std::string& why);
  Status DemoteUnpublished();
  // Answers the new authority's id.
  Result<std::string> Prepare(std::string_view type, WallTime now, const Actor& by = {});
  Result<AuthorityRecord> MakeX509(const std::string& key_id, WallTime now, Usable* made);
  Result<AuthorityRecord> MakeJwt(const std::string& key_id, WallTime now, Usable* made);
  Status PublishPrepared();
  // Of the authority above, where there is one (authority_above.cc).
  Status FollowAbove(WallTime now);
  Status AddFromAbove(const Bundle& added);
  Result<bool> LeaveRoots(std::span<const ca::Certificate> roots, WallTime now);
  Status DistrustAsAbove(const TrustSteps& steps);
  Status PublishJwtAbove(WallTime now);
  Status CheckKnownAbove(const AuthorityRecord& next, WallTime now) const;
  bool IsMissingAbove(const AuthorityRecord& record, const UpstreamTrust& above,
                      WallTime now) const;
  Result<ca::Chain> CertifyAbove(const std::shared_ptr<const ca::Signer>& signer, WallTime now);
  Revision PublishedAt(const AuthorityRecord& record) const;
  Status Advance(std::string_view type, WallTime now);
  Status Activate(const AuthorityRecord& next, const Actor& by = {});
  void SetActive(std::string_view type, const Usable& usable);
  Status Prune(WallTime now);
  Status Write(std::vector<AuthorityRecord> changed, const Actor& by = {});
  AuditRecord MakeRecord(std::string_view event, const AuthorityRecord& of, const Actor& by) const;
  std::vector<AuditRecord> RecordsOf(const std::vector<AuthorityRecord>& changed,
                                     const Actor& by) const;
  Acknowledgement Acknowledged(const std::string& id, WallTime now) const;
  bool MayActivate(const AuthorityRecord& prepared, WallTime now);
  const AuthorityRecord* FindActive(std::string_view type) const;
  const AuthorityRecord* FindPrepared(std::string_view type, WallTime now) const;
  std::vector<ca::AuthoritySlot> SlotsOf(std::string_view type) const;
  void SetEnds();

  // Under tick_mutex.
  SlotView View(std::string_view type) const { return ViewSlots(type, records); }

  // Authorities ready to sign, by id: the active and the prepared one. tick_mutex.
  std::map<std::string, Usable> ready;
};

}  // namespace signet::identity
