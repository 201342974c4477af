#include "tools/ctl/convert.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/config.h"
#include "identity/spiffe/selector.h"
#include "identity/spiffe/spiffe_id.h"

namespace signet::ctl {
namespace {

constexpr Reason kOptionMalformed{"malformed option"};

template <class Range, class F>
std::vector<std::string> Texts(const Range& range, F text) {
  std::vector<std::string> texts;
  for (const auto& item : range) texts.push_back(text(item));
  return texts;
}

std::vector<std::string> SelectorTexts(
    const google::protobuf::RepeatedPtrField<spire::api::types::Selector>& selectors) {
  return Texts(selectors, [](const auto& s) { return s.type() + ":" + s.value(); });
}

std::string Flags(const spire::api::types::Entry& entry) {
  std::vector<std::string> flags;
  if (entry.admin()) flags.emplace_back("admin");
  if (entry.downstream()) flags.emplace_back("downstream");
  if (entry.store_svid()) flags.emplace_back("store-svid");
  return fmt::format("{}", fmt::join(flags, ", "));
}

std::string TtlText(std::int32_t seconds) {
  return seconds == 0 ? "default" : FormatDuration(std::chrono::seconds(seconds));
}

}  // namespace

Status SetId(const std::string& text, spire::api::types::SPIFFEID* id) {
  SIGNET_TRY(const identity::SpiffeId parsed, identity::SpiffeId::Parse(text));
  id->set_trust_domain(parsed.trust_domain().name());
  id->set_path(parsed.path());
  return {};
}

std::string IdText(const spire::api::types::SPIFFEID& id) {
  return id.trust_domain().empty() ? std::string()
                                   : fmt::format("spiffe://{}{}", id.trust_domain(), id.path());
}

Result<std::int32_t> Seconds(const std::string& text, std::string_view option) {
  const auto duration = ParseDuration(text);
  const auto seconds = duration ? std::chrono::floor<std::chrono::seconds>(*duration).count() : -1;
  if (seconds < 0 || seconds > INT32_MAX)
    return Fail(Code::kInvalidArgument, kOptionMalformed,
                fmt::format("{} is '{}', not a duration such as 90s, 30m or 1h30m", option, text));
  return static_cast<std::int32_t>(seconds);
}

Status FillEntry(const EntryOptions& options, std::int64_t now, spire::api::types::Entry* entry,
                 spire::api::types::EntryMask* mask) {
  spire::api::types::EntryMask unused;
  if (mask == nullptr) mask = &unused;
  entry->set_id(options.id);
  if (!options.spiffe_id.empty()) {
    SIGNET_RETURN_IF_ERROR(SetId(options.spiffe_id, entry->mutable_spiffe_id()));
    mask->set_spiffe_id(true);
  }
  if (!options.parent_id.empty()) {
    SIGNET_RETURN_IF_ERROR(SetId(options.parent_id, entry->mutable_parent_id()));
    mask->set_parent_id(true);
  }
  for (const std::string& text : options.selectors) {
    SIGNET_TRY(const identity::Selector selector, identity::Selector::Parse(text));
    auto* added = entry->add_selectors();
    added->set_type(selector.type);
    added->set_value(selector.value);
    mask->set_selectors(true);
  }
  for (const std::string& name : options.dns_names) entry->add_dns_names(name);
  mask->set_dns_names(!options.dns_names.empty());
  for (const std::string& text : options.federates_with) {
    SIGNET_TRY(const identity::TrustDomain domain, identity::TrustDomain::FromNameOrId(text));
    entry->add_federates_with(domain.name());
    mask->set_federates_with(true);
  }
  if (options.x509_ttl) {
    SIGNET_TRY(const std::int32_t ttl, Seconds(*options.x509_ttl, "--ttl"));
    entry->set_x509_svid_ttl(ttl);
    mask->set_x509_svid_ttl(true);
  }
  if (options.jwt_ttl) {
    SIGNET_TRY(const std::int32_t ttl, Seconds(*options.jwt_ttl, "--jwt-ttl"));
    entry->set_jwt_svid_ttl(ttl);
    mask->set_jwt_svid_ttl(true);
  }
  if (options.hint) {
    entry->set_hint(*options.hint);
    mask->set_hint(true);
  }
  if (options.expires_in) {
    SIGNET_TRY(const std::int32_t seconds, Seconds(*options.expires_in, "--expires-in"));
    entry->set_expires_at(seconds == 0 ? 0 : now + seconds);
    mask->set_expires_at(true);
  }
  entry->set_admin(options.admin);
  mask->set_admin(options.admin);
  entry->set_downstream(options.downstream);
  mask->set_downstream(options.downstream);
  return {};
}

nlohmann::ordered_json ToJson(const spire::api::types::Entry& entry) {
  return {{"id", entry.id()},
          {"spiffe_id", IdText(entry.spiffe_id())},
          {"parent_id", IdText(entry.parent_id())},
          {"selectors", SelectorTexts(entry.selectors())},
          {"x509_svid_ttl", entry.x509_svid_ttl()},
          {"jwt_svid_ttl", entry.jwt_svid_ttl()},
          {"federates_with", Texts(entry.federates_with(), [](const auto& name) { return name; })},
          {"dns_names", Texts(entry.dns_names(), [](const auto& name) { return name; })},
          {"hint", entry.hint()},
          {"admin", entry.admin()},
          {"downstream", entry.downstream()},
          {"store_svid", entry.store_svid()},
          {"expires_at", entry.expires_at()},
          {"created_at", entry.created_at()},
          {"revision_number", entry.revision_number()}};
}

nlohmann::ordered_json ToJson(const spire::api::types::Agent& agent) {
  return {{"id", IdText(agent.id())},
          {"attestation_type", agent.attestation_type()},
          {"x509_svid_serial_number", agent.x509svid_serial_number()},
          {"x509_svid_expires_at", agent.x509svid_expires_at()},
          {"selectors", SelectorTexts(agent.selectors())},
          {"banned", agent.banned()},
          {"can_reattest", agent.can_reattest()},
          {"agent_version", agent.agent_version()}};
}

std::string ToText(const spire::api::types::Entry& entry, std::int64_t now) {
  return Details(
      {{"Entry ID", entry.id()},
       {"SPIFFE ID", IdText(entry.spiffe_id())},
       {"Parent ID", IdText(entry.parent_id())},
       {"Selectors", fmt::format("{}", fmt::join(SelectorTexts(entry.selectors()), ", "))},
       {"X.509 TTL", TtlText(entry.x509_svid_ttl())},
       {"JWT TTL", TtlText(entry.jwt_svid_ttl())},
       {"Federates with", fmt::format("{}", fmt::join(entry.federates_with(), ", "))},
       {"DNS names", fmt::format("{}", fmt::join(entry.dns_names(), ", "))},
       {"Hint", entry.hint()},
       {"Grants", Flags(entry)},
       {"Expires", entry.expires_at() == 0 ? std::string() : Relative(entry.expires_at(), now)},
       {"Revision", std::to_string(entry.revision_number())}});
}

}  // namespace signet::ctl
