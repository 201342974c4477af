// Issuing SVIDs: profile -> lint of the exact to-be-signed bytes -> durable journal row -> sign ->
// reply. Nothing is signed that was not checked and recorded.
//
// Threads: safe from any thread; a call blocks for the journal, except IssueLater().
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "base/clock.h"
#include "base/metrics.h"
#include "ca/authority/x509_authority.h"
#include "identity/registry/entry.h"
#include "identity/server/journal.h"

namespace signet::identity {

inline constexpr Reason kNoActiveAuthority{"no active authority"};

struct IssueRequest {
  ca::PublicKey public_key;
  SpiffeId id;
  ca::Purpose purpose = ca::Purpose::kWorkload;
  std::vector<std::string> dns_names;
  Bytes subject;                // DER Name; empty: the default
  std::chrono::seconds ttl{0};  // 0: the default for the purpose
  std::string entry_id;
  std::int64_t entry_revision = 0;
  std::string requested_by;
};

struct IssuedSvid {
  ca::Certificate leaf;
  ca::Chain chain;  // leaf first, then upstream intermediates; no root
};

// Checked and laid out, to be recorded and signed.
struct PreparedSvid {
  std::shared_ptr<const ca::X509Authority> authority;
  ca::PreparedCertificate certificate;
  AuditRecord record;
};

struct IssuerSettings {
  std::chrono::seconds default_x509_svid_ttl{3600};
  std::chrono::seconds agent_ttl{3600};
  std::chrono::seconds backdate{10};
  std::chrono::seconds ca_ttl{24 * 3600};  // of an authority below ours, unless asked otherwise
  ca::DownstreamLimits downstream{};
  // Of keys that others bring, ca::SubjectKeyNames(); empty: all of them.
  std::vector<std::string> csr_key_types{};
};

// The journal row of what is about to be signed, as requested by the server itself.
AuditRecord MakeIssuanceRecord(const ca::IssuanceIntent& intent, WallTime now);

// Answers the authority in use now; null while there is none.
class ActiveAuthority {
 public:
  virtual ~ActiveAuthority() = default;
  virtual std::shared_ptr<const ca::X509Authority> Active() const = 0;
};

class Issuer {
 public:
  Issuer(const ActiveAuthority& authority, const Journal& journal, const IssuerSettings& settings,
         const Clock& clock, Random& random, Metrics& metrics);
  // One journal write for the whole batch. Element i answers request i. When the journal fails
  // nothing is signed and every element carries that error. Others fail as X509Authority::Prepare()
  // does, with ca::kKeyTypeRefused for a key that the settings do not allow, or with
  // kNoActiveAuthority. An SVID that would outlive its authority is cut, and counted
  // in signet_server_svids_shortened_total.
  std::vector<Result<IssuedSvid>> Issue(std::span<const IssueRequest> requests) const;
  // The same without waiting for the journal: `done` is called once, from a signer's thread or
  // before this returns.
  using Done = std::function<void(std::vector<Result<IssuedSvid>>)>;
  void IssueLater(std::span<const IssueRequest> requests, Done done) const;
  Result<IssuedSvid> IssueOne(const IssueRequest& request) const;
  // IssueOne() in its parts, for who makes the record durable together with something else: from
  // within a Commit() of the store, Record() joins it. Sign() only what was recorded.
  Result<PreparedSvid> PrepareOne(const IssueRequest& request) const;
  Status Record(const PreparedSvid& prepared) const { return journal_.Append({prepared.record}); }
  Result<IssuedSvid> Sign(const PreparedSvid& prepared) const;
  // The certificate of an authority below ours (a nested server's), named `request.id`, the trust
  // domain's own. DNS names and subject of the request are not taken. Fails as Issue() does.
  Result<IssuedSvid> IssueDownstream(const IssueRequest& request) const;

 private:
  // Checked, and not recorded yet.
  struct Prepared {
    std::shared_ptr<const ca::X509Authority> authority;
    std::vector<Result<ca::PreparedCertificate>> certificates;
    std::vector<AuditRecord> records;  // of those that are to be signed
  };
  Prepared Prepare(std::span<const IssueRequest> requests) const;
  Status CheckKey(const IssueRequest& request) const;
  std::vector<Result<IssuedSvid>> Sign(const Prepared& prepared, const Status& recorded) const;
  Result<IssuedSvid> SignOne(const ca::X509Authority* authority,
                             const Result<ca::PreparedCertificate>& prepared) const;

  const ActiveAuthority& authority_;
  const Journal& journal_;
  const IssuerSettings settings_;
  const Clock& clock_;
  Random& random_;
  Counter& issued_;
  Counter& refused_;
  Counter& shortened_;
};

}  // namespace signet::identity
