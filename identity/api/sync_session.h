// One agent's stream of signet.sync.v1: what it has been sent, what it has said it applied, and the
// next batch as the difference to what it should hold now. Changes that come while a batch is on
// its way are not queued: they are in the next difference. So what is pending is never more than
// the agent's own entries.
//
// Threads: safe from any thread. Pump() is called by the hub's thread only.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ca/crypto/digest.h"
#include "identity/api/acknowledgements.h"
#include "identity/api/router.h"
#include "identity/registry/registry.h"
#include "signet/sync/v1/sync.pb.h"

namespace signet::identity {

class SyncHub;

// The digest of entries as sync.proto defines it; `entries` in ascending order of their ids.
ca::Sha256Digest EntriesDigest(std::span<const EntryPtr> entries);

class SyncSession final : public StreamHandler, public std::enable_shared_from_this<SyncSession> {
 public:
  SyncSession(SyncHub& hub, std::shared_ptr<StreamCall> call) : hub_(hub), call_(std::move(call)) {}

  const Caller& caller() const { return *call_->caller(); }

  // StreamHandler.
  void OnMessage(const std::string& message) override;
  void OnHalfClose() override { call_->End(grpc::Status::OK); }
  void OnSent() override;
  void OnOver() override;

  // Something of this agent's may have changed.
  void MarkDirty();
  bool Holds(const std::string& entry_id) const;
  // Tells the agent to erase what it holds, and ends the stream.
  void Deny(AgentDenial denial, const std::string& reason);
  void End(grpc::Status status) { call_->End(std::move(status)); }
  // Whether it is time to look at the agent again, and for a digest: every 15 seconds, and not of
  // all streams at once. The hub's thread only.
  bool IsDue(SteadyTime now);
  // Sends what is next, if nothing is on its way. `last_bundle_removal`: up to here the agent may
  // hold a bundle that is gone. False: nothing was to be sent.
  bool Pump(Revision last_bundle_removal, SteadyTime now);

 private:
  using Digest = ca::Sha256Digest;
  // A revision on its way, part by part.
  struct Outgoing {
    Revision revision = 0;
    bool full = false;
    std::vector<EntryPtr> upserts;
    std::vector<std::string> removed_entries;
    std::vector<BundlePtr> bundles;
    std::vector<std::string> removed_bundles;
    std::size_t next_upsert = 0;
    std::size_t next_removed = 0;
  };
  // Denials on their way, part by part.
  struct OutgoingDenials {
    Revision revision = 0;
    bool full = false;
    std::vector<DenialPtr> upserts;
    std::vector<std::string> removed;
    std::size_t next_upsert = 0;
    std::size_t next_removed = 0;
  };
  struct Target {
    std::vector<EntryPtr> entries;  // by ascending id
    std::map<TrustDomain, BundlePtr> bundles;
  };

  void OnHello(const signet::sync::v1::Hello& hello);
  void OnApplied(const signet::sync::v1::Applied& applied);
  Target ReadTarget() const;
  bool MayContinue(const Target& target, Revision now, Revision last_bundle_removal) const;
  void Build(Revision last_bundle_removal);
  Outgoing Difference(const Target& target) const;
  void SendPart();
  // In sync_denials.cc.
  void BuildDenials();
  void SendDenialsPart();
  void StateDenials(signet::sync::v1::Digest* digest) const;
  void SendDigest(SteadyTime now);

  SyncHub& hub_;
  const std::shared_ptr<StreamCall> call_;

  mutable std::mutex mutex_;
  std::optional<signet::sync::v1::Hello> hello_;
  bool began_ = false;  // the first revision was built
  bool dirty_ = false;
  bool full_wanted_ = false;
  bool in_flight_ = false;
  bool denied_ = false;
  std::optional<Outgoing> outgoing_;
  Target sent_;  // what the agent holds once it has applied what was sent
  Revision sent_revision_ = 0;
  DenialSetPtr sent_denials_;  // null: none was looked at yet
  std::optional<OutgoingDenials> outgoing_denials_;
  std::deque<std::pair<Revision, Digest>> recent_;  // digests of the last revisions sent
  SteadyTime next_digest_{};
  SteadyTime next_look_{};  // the hub's thread only
};

}  // namespace signet::identity
