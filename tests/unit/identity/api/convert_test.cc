#include "identity/api/convert.h"

#include <catch2/catch.hpp>

namespace signet::identity {
namespace {

namespace types = spire::api::types;

const TrustDomain& Domain() {
  static const TrustDomain domain = *TrustDomain::Parse("example.org");
  return domain;
}

types::SPIFFEID Id(const std::string& domain, const std::string& path) {
  types::SPIFFEID id;
  id.set_trust_domain(domain);
  id.set_path(path);
  return id;
}

types::Entry FullEntry() {
  types::Entry entry;
  entry.set_id("full");
  *entry.mutable_spiffe_id() = Id("example.org", "/w");
  *entry.mutable_parent_id() = Id("example.org", "/parent");
  auto* selector = entry.add_selectors();
  selector->set_type("unix");
  selector->set_value("uid:1000");
  entry.set_x509_svid_ttl(600);
  entry.set_jwt_svid_ttl(120);
  entry.add_federates_with("two.test");
  entry.add_federates_with("spiffe://one.test");
  entry.set_admin(true);
  entry.set_downstream(true);
  entry.set_expires_at(99);
  entry.add_dns_names("b.example");
  entry.add_dns_names("a.example");
  entry.set_store_svid(true);
  entry.set_hint("h");
  entry.mutable_additional_attributes()->set_jwt_svid_include_jti(true);
  entry.mutable_additional_attributes()->set_disable_x509_svid_prefetch(true);
  return entry;
}

TEST_CASE("an entry survives the way in and out") {
  const auto read = ReadEntry(FullEntry(), {}, Domain());
  REQUIRE(read);
  const Entry& entry = *read;
  CHECK(entry.spiffe_id.ToString() == "spiffe://example.org/w");
  CHECK(entry.dns_names == std::vector<std::string>{"b.example", "a.example"});
  CHECK(entry.federates_with.back().name() == "one.test");
  types::Entry written;
  WriteEntry(entry, {}, &written);
  auto expected = FullEntry();
  expected.set_federates_with(1, "one.test");
  CHECK(written.SerializeAsString() == expected.SerializeAsString());
}

TEST_CASE("an entry's mask takes each field alone, and the id always") {
  const auto read = ReadEntry(FullEntry(), {}, Domain());
  REQUIRE(read);
  types::EntryMask none;
  types::Entry written;
  WriteEntry(*read, MaskFromProto(&none), &written);
  types::Entry only_id;
  only_id.set_id("full");
  CHECK(written.SerializeAsString() == only_id.SerializeAsString());
  const auto* fields = types::EntryMask::descriptor();
  for (int i = 0; i < fields->field_count(); ++i) {
    types::EntryMask mask;
    types::EntryMask::GetReflection()->SetBool(&mask, fields->field(i), true);
    types::Entry one;
    WriteEntry(*read, MaskFromProto(&mask), &one);
    const auto* field = types::Entry::descriptor()->FindFieldByName(fields->field(i)->name());
    std::vector<const google::protobuf::FieldDescriptor*> set;
    types::Entry::GetReflection()->ListFields(one, &set);
    INFO(field->name());
    // revision_number and created_at are zero here, and so not on the wire.
    if (field->name() == "revision_number" || field->name() == "created_at") {
      CHECK(set.size() == 1);
    } else {
      REQUIRE(set.size() == 2);
      CHECK((set[0] == field || set[1] == field));
    }
  }
}

TEST_CASE("a masked read leaves what it does not take, and does not require it") {
  types::Entry proto;
  proto.set_id("x");
  proto.set_hint("new");
  proto.set_x509_svid_ttl(77);
  types::EntryMask mask;
  mask.set_hint(true);
  const auto read = ReadEntry(proto, MaskFromProto(&mask), Domain());
  REQUIRE(read);
  CHECK(read->hint == "new");
  CHECK(read->x509_svid_ttl == 0);
  CHECK(read->selectors.empty());
}

TEST_CASE("what an entry lacks or misstates is refused by the field's name") {
  const auto refused = [](auto change, std::string_view field) {
    auto proto = FullEntry();
    change(proto);
    const auto read = ReadEntry(proto, {}, Domain());
    REQUIRE_FALSE(read);
    CHECK(read.error().code == Code::kInvalidArgument);
    INFO(read.error().Message());
    CHECK(read.error().Message().find(field) != std::string::npos);
  };
  refused([](types::Entry& e) { e.clear_spiffe_id(); }, "spiffe ID");
  refused([](types::Entry& e) { e.clear_parent_id(); }, "parent ID");
  refused([](types::Entry& e) { e.mutable_spiffe_id()->clear_trust_domain(); }, "spiffe ID");
  refused([](types::Entry& e) { e.mutable_spiffe_id()->set_trust_domain("other.org"); },
          "other.org");
  refused([](types::Entry& e) { e.mutable_spiffe_id()->set_path(""); }, "empty");
  refused([](types::Entry& e) { e.mutable_spiffe_id()->set_path("/spire/agent/x"); }, "reserved");
  refused([](types::Entry& e) { e.mutable_spiffe_id()->set_path("/spire"); }, "reserved");
  refused([](types::Entry& e) { e.mutable_parent_id()->set_path("//x"); }, "parent ID");
  refused([](types::Entry& e) { e.clear_selectors(); }, "selector");
  refused([](types::Entry& e) { e.mutable_selectors(0)->clear_type(); }, "selector type");
  refused([](types::Entry& e) { e.mutable_selectors(0)->clear_value(); }, "selector value");
  refused([](types::Entry& e) { e.mutable_selectors(0)->set_type("a:b"); }, "':'");
  refused([](types::Entry& e) { e.add_federates_with("ONE.test"); }, "federates_with");
  refused([](types::Entry& e) { e.add_federates_with(""); }, "federates_with");
}

TEST_CASE("what is given twice reaches the registry twice, which refuses it") {
  auto proto = FullEntry();
  *proto.add_selectors() = proto.selectors(0);
  proto.add_dns_names("a.example");
  const auto read = ReadEntry(proto, {}, Domain());
  REQUIRE(read);
  CHECK(read->selectors.size() == 2);
  CHECK(read->dns_names.size() == 3);
}

TEST_CASE("agent IDs are those below /spire/agent") {
  CHECK(AgentIdFromProto(Id("example.org", "/spire/agent/join_token/x"), Domain(), "id"));
  for (const char* path : {"", "/w", "/spire/server", "/spire/agent", "//"})
    CHECK_FALSE(AgentIdFromProto(Id("example.org", path), Domain(), "id"));
  CHECK_FALSE(AgentIdFromProto(Id("other.org", "/spire/agent/x/y"), Domain(), "id"));
}

TEST_CASE("an entry filter with a malformed part is refused whole") {
  using Filter = spire::api::server::entry::v1::ListEntriesRequest::Filter;
  Filter filter;
  CHECK(FilterFromProto(filter, Domain()));
  filter.mutable_by_selectors();
  CHECK_FALSE(FilterFromProto(filter, Domain()));
  filter.Clear();
  *filter.mutable_by_spiffe_id() = Id("example.org", "/spire/server");
  CHECK_FALSE(FilterFromProto(filter, Domain()));
  filter.Clear();
  *filter.mutable_by_parent_id() = Id("example.org", "/spire/server");
  CHECK(FilterFromProto(filter, Domain()));
  filter.Clear();
  filter.mutable_by_federates_with();
  CHECK_FALSE(FilterFromProto(filter, Domain()));
  filter.Clear();
  auto* selector = filter.mutable_by_selectors()->add_selectors();
  selector->set_type("t");
  selector->set_value("1");
  filter.mutable_by_selectors()->set_match(static_cast<types::SelectorMatch::MatchBehavior>(9));
  const auto unknown = FilterFromProto(filter, Domain());
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().code == Code::kInternal);
}

TEST_CASE("an empty hint is no filter, a false flag is one") {
  using Filter = spire::api::server::entry::v1::ListEntriesRequest::Filter;
  Filter filter;
  filter.mutable_by_hint();
  filter.mutable_by_downstream();
  const auto read = FilterFromProto(filter, Domain());
  REQUIRE(read);
  CHECK_FALSE(read->hint);
  CHECK(read->downstream == std::optional<bool>(false));
}

TEST_CASE("an agent filter reads SPIRE's time format with its zone, and ignores anything else") {
  using Filter = spire::api::server::agent::v1::ListAgentsRequest::Filter;
  const auto expires = [](const std::string& text) {
    Filter filter;
    filter.set_by_expires_before(text);
    return FilterFromProto(filter)->expires_before;
  };
  CHECK(expires("1970-01-01 00:01:00 +0000 +00") == std::optional<std::int64_t>(60));
  CHECK(expires("1970-01-01 00:00:00 -0700 -07") == std::optional<std::int64_t>(7 * 3600));
  CHECK(expires("1970-01-01 05:30:00 +0530 +0530") == std::optional<std::int64_t>(0));
  CHECK_FALSE(expires("rubbish"));
  CHECK_FALSE(expires("1970-01-01"));
}

TEST_CASE("a banned agent shows no serial and says so") {
  Node node;
  node.id = *AgentId(Domain(), "join_token", "x");
  node.serial_expires_at = 5;
  types::Agent agent;
  WriteAgent(node, {}, &agent);
  CHECK(agent.banned());
  CHECK(agent.x509svid_serial_number().empty());
  CHECK(agent.x509svid_expires_at() == 5);
}

}  // namespace
}  // namespace signet::identity
