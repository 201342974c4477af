// What the log says of a change of the registry: one record for each thing that was made, changed
// or removed, with what an auditor asks for later (why was it granted?).
//
// Threads: a value; one thread at a time.
#pragma once

#include <string_view>
#include <vector>

#include "identity/audit/audit_record.h"
#include "identity/bundle/bundle.h"
#include "identity/federation/relationship.h"
#include "identity/registry/entry.h"
#include "identity/registry/node.h"
#include "identity/svid/denial.h"

namespace signet::identity {

class ChangeRecords {
 public:
  ChangeRecords(Actor by, std::int64_t now) : by_(std::move(by)), now_(now) {}

  // As it is; actor and time are filled in.
  void Add(AuditRecord record);
  void EntryPut(const Entry& entry, bool created);
  void EntryRemoved(const Entry& entry);
  // `before` null: it is new.
  void NodePut(const Node& node, const Node* before);
  void NodeRemoved(const Node& node);
  void BundlePut(const Bundle& bundle, const Bundle* before);
  void BundleRemoved(const TrustDomain& trust_domain);
  void RelationshipPut(const FederationRelationship& relationship);
  void RelationshipRemoved(const TrustDomain& trust_domain);
  void DenialPut(const Denial& denial);
  void DenialRemoved(const Denial& denial);
  std::vector<AuditRecord> Take() && { return std::move(records_); }

 private:
  AuditRecord& Append(std::string_view event);

  const Actor by_;
  const std::int64_t now_;
  std::vector<AuditRecord> records_;
};

}  // namespace signet::identity
