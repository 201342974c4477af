// Values to put into stores and registries: each field set, each told apart by its number.
#pragma once

#include "base/check.h"
#include "identity/store/store.h"

namespace signet::test {

inline identity::TrustDomain Domain(std::string_view name = "example.org") {
  auto parsed = identity::TrustDomain::Parse(name);
  CHECK_TRUE(parsed.has_value());
  return *parsed;
}

inline identity::SpiffeId Id(std::string_view path) {
  auto parsed = identity::SpiffeId::FromPath(Domain(), path);
  CHECK_TRUE(parsed.has_value());
  return *parsed;
}

// An ordinary entry: selector unix:uid:<number>, ID /w<number>, parent /parent.
inline identity::Entry MakeEntry(int number, std::string_view parent = "/parent") {
  identity::Entry entry;
  entry.id = "entry-" + std::to_string(number);
  entry.spiffe_id = Id("/w" + std::to_string(number));
  entry.parent_id = Id(parent);
  entry.selectors = {{"unix", "uid:" + std::to_string(number)}};
  return entry;
}

inline identity::Entry MakeFullEntry(int number) {
  identity::Entry entry = MakeEntry(number);
  entry.selectors = {{"unix", "gid:7"}, {"unix", "uid:" + std::to_string(number)}};
  entry.x509_svid_ttl = 60;
  entry.jwt_svid_ttl = 61;
  entry.federates_with = {Domain("one.test"), Domain("two.test")};
  entry.admin = true;
  entry.downstream = true;
  entry.expires_at = 1900000000;
  entry.dns_names = {"web.example.org", "a.example.org"};
  entry.revision_number = 4;
  entry.store_svid = true;
  entry.hint = "internal \"hint\" \xc3\xa9";
  entry.created_at = 1767225600;
  entry.disable_x509_svid_prefetch = true;
  entry.jwt_svid_include_jti = true;
  return entry;
}

inline identity::Node MakeNode(int number) {
  identity::Node node;
  node.id = Id("/spire/agent/join_token/n" + std::to_string(number));
  node.attestation_type = "join_token";
  node.serial = "123456789012345678901234567890";
  node.serial_expires_at = 1767229200;
  node.new_serial = "42";
  node.new_serial_expires_at = 1767232800;
  node.selectors = {{"spiffe_id", node.id.ToString()}, {"zone", "a"}};
  node.can_reattest = true;
  node.agent_version = "0.1.0";
  return node;
}

inline identity::AuditRecord MakeIssuance(int number) {
  return {.event = std::string(identity::event::kIssued),
          .recorded_at = 1767225600,
          .actor = "spiffe://example.org/spire/agent/join_token/n1",
          .subject = "spiffe://example.org/w" + std::to_string(number % 2),
          .object = "entry-" + std::to_string(number),
          .revision = number,
          .serial = "0a" + std::to_string(number),
          .purpose = "workload",
          .authority_id = "ab12",
          .not_before = 1767225590,
          .not_after = 1767229200,
          .detail = {}};
}

// The log's records of issuances, newest first: all, or those of a serial number or SPIFFE ID.
inline std::vector<identity::AuditRecord> LoadIssuances(identity::Store& store,
                                                        const std::string& serial_or_id,
                                                        std::size_t limit) {
  identity::LogFilter filter{
      .event = std::string(identity::event::kIssued), .newest_first = true, .limit = limit};
  (serial_or_id.starts_with("spiffe:") ? filter.subject : filter.serial) = serial_or_id;
  std::vector<identity::AuditRecord> records;
  auto log = store.LoadLog(filter).value();
  for (auto& logged : log) records.push_back(std::move(logged.record));
  return records;
}

}  // namespace signet::test
