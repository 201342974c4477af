#include "identity/registry/entry.h"

#include <catch2/catch.hpp>

#include "identity/registry/dns_name.h"
#include "tests/support/store_values.h"

namespace signet::identity {
namespace {

using test::Domain;
using test::Id;
using test::MakeEntry;

void CheckRefused(const Entry& entry, const std::string& part) {
  const Status status = CheckEntry(entry, Domain());
  CAPTURE(part);
  REQUIRE(!status);
  CHECK(status.error().code == Code::kInvalidArgument);
  CHECK(status.error().reason == kEntryInvalid);
  CHECK(status.error().detail.find(part) != std::string::npos);
}

Selector Sel(std::string type, std::string value) { return {std::move(type), std::move(value)}; }

}  // namespace

TEST_CASE("entry: an ordinary one passes") {
  CHECK(CheckEntry(MakeEntry(1), Domain()));
  Entry node_entry = MakeEntry(1);
  node_entry.parent_id = ServerId(Domain());
  CHECK(CheckEntry(node_entry, Domain()));
  Entry of_agent = MakeEntry(1, "/spire/agent/join_token/x");
  CHECK(CheckEntry(of_agent, Domain()));
}

TEST_CASE("entry: the SPIFFE ID is a workload's of the trust domain") {
  Entry entry = MakeEntry(1);
  entry.spiffe_id = SpiffeId();
  CheckRefused(entry, "invalid spiffe ID");
  entry.spiffe_id = SpiffeId::FromPath(Domain("other.org"), "/x").value();
  CheckRefused(entry, "\"spiffe://other.org/x\" is not a member of trust domain \"example.org\"");
  entry.spiffe_id = Id("");
  CheckRefused(entry, "path is empty");
  for (const char* path :
       {"/spire", "/spire/server", "/spire/agent/join_token/x", "/spire/other"}) {
    entry.spiffe_id = Id(path);
    CheckRefused(entry, "path is in the reserved namespace");
  }
  entry.spiffe_id = Id("/spirea");
  CHECK(CheckEntry(entry, Domain()));
}

TEST_CASE("entry: the parent is of the trust domain and has a path") {
  Entry entry = MakeEntry(1);
  entry.parent_id = SpiffeId();
  CheckRefused(entry, "invalid parent ID");
  entry.parent_id = SpiffeId::FromPath(Domain("other.org"), "/x").value();
  CheckRefused(entry, "invalid parent ID");
  entry.parent_id = Id("");
  CheckRefused(entry, "path is empty");
}

TEST_CASE("entry: selectors are there and whole") {
  Entry entry = MakeEntry(1);
  entry.selectors = {};
  CheckRefused(entry, "selector list is empty");
  entry.selectors = {Sel("", "x")};
  CheckRefused(entry, "missing selector type");
  entry.selectors = {Sel("a:b", "x")};
  CheckRefused(entry, "selector type contains ':'");
  entry.selectors = {Sel("unix", "uid:1"), Sel("unix", "")};
  CheckRefused(entry, "missing selector value");
  entry.selectors = {Sel("sp ace", "with space:and:colons \xc3\xa9")};
  CHECK(CheckEntry(entry, Domain()));
}

TEST_CASE("entry: TTLs are not negative, the hint is bounded") {
  Entry entry = MakeEntry(1);
  entry.x509_svid_ttl = -1;
  CheckRefused(entry, "X509-SVID TTL");
  entry = MakeEntry(1);
  entry.jwt_svid_ttl = -1;
  CheckRefused(entry, "JWT-SVID TTL");
  entry = MakeEntry(1);
  entry.hint = std::string(1024, 'h');
  CHECK(CheckEntry(entry, Domain()));
  entry.hint += 'h';
  CheckRefused(entry, "hint");
}

TEST_CASE("entry: the caller's id is bounded and of few characters") {
  Entry entry = MakeEntry(1);
  entry.id = "my-entry.1_aZ";
  CHECK(CheckEntry(entry, Domain()));
  entry.id = std::string(255, 'i');
  CHECK(CheckEntry(entry, Domain()));
  entry.id += 'i';
  CheckRefused(entry, "entry ID");
  for (const char* id : {"a b", "a/b", "a\xc3\xa9", "a:b"}) {
    entry.id = id;
    CheckRefused(entry, "entry ID");
  }
}

TEST_CASE("entry: store_svid wants one selector type and the prefetch") {
  Entry entry = MakeEntry(1);
  entry.store_svid = true;
  entry.selectors = {Sel("aws", "a:1"), Sel("aws", "b:2")};
  CHECK(CheckEntry(entry, Domain()));
  entry.jwt_svid_include_jti = true;
  CHECK(CheckEntry(entry, Domain()));
  entry.disable_x509_svid_prefetch = true;
  CheckRefused(entry, "prefetch");
  entry.disable_x509_svid_prefetch = false;
  entry.selectors.push_back(Sel("gcp", "b:2"));
  CheckRefused(entry, "selector types must be the same");
}

TEST_CASE("entry: an update is checked in the fields it brings") {
  Entry entry;
  EntryMask none{.spiffe_id = false,
                 .parent_id = false,
                 .selectors = false,
                 .x509_svid_ttl = false,
                 .federates_with = false,
                 .admin = false,
                 .downstream = false,
                 .expires_at = false,
                 .dns_names = false,
                 .revision_number = false,
                 .store_svid = false,
                 .jwt_svid_ttl = false,
                 .hint = false,
                 .created_at = false,
                 .additional_attributes = false};
  CHECK(CheckEntry(entry, Domain(), none));
  EntryMask mask = none;
  mask.selectors = true;
  CHECK(!CheckEntry(entry, Domain(), mask));
  mask = none;
  mask.spiffe_id = true;
  CHECK(!CheckEntry(entry, Domain(), mask));
  mask = none;
  mask.parent_id = true;
  CHECK(!CheckEntry(entry, Domain(), mask));
  entry.x509_svid_ttl = -1;
  entry.jwt_svid_ttl = -1;
  CHECK(CheckEntry(entry, Domain(), none));
  mask = none;
  mask.x509_svid_ttl = true;
  CHECK(!CheckEntry(entry, Domain(), mask));
  mask = none;
  mask.jwt_svid_ttl = true;
  CHECK(!CheckEntry(entry, Domain(), mask));
}

TEST_CASE("entry: DNS names pass and fail as SPIRE's recorded answers say") {
  const std::string label63(63, 'a');
  for (const std::string& name :
       {std::string("a.example"), std::string("A.example"), std::string("*.example.org"),
        std::string("a_b.example"), std::string("10.0.0.1"), label63 + ".x", std::string("x y"),
        std::string("localhost"), std::string("https://a"), std::string("a:443"),
        std::string("xn--bcher-kva.example")}) {
    CAPTURE(name);
    CHECK(CheckDnsName(name));
  }
  std::string long_name = "a";
  while (long_name.size() < 253) long_name += ".a";
  CHECK(long_name.size() == 253);
  CHECK(CheckDnsName(long_name));
  for (const std::string& name :
       {std::string(""), std::string("  "), std::string("*"), std::string("*."),
        std::string("web.*.org"), std::string("w*.example.org"), std::string("*.*.org"),
        std::string("-a.example"), std::string("a-.example"), std::string(".a"), std::string("a."),
        std::string("a..b"), label63 + "a.x",
        std::string("b\xc3\xbc"
                    "cher.example"),
        long_name + "b", std::string("ab--c.example"), std::string("xn--.example"),
        std::string("a\0b", 3), std::string("a\nb")}) {
    CAPTURE(name);
    const Status status = CheckDnsName(name);
    REQUIRE(!status);
    CHECK(status.error().reason == kDnsNameMalformed);
  }
  Entry entry = MakeEntry(1);
  entry.dns_names = {"a.example", "*"};
  CheckRefused(entry, "invalid DNS name: wildcard must be first label");
}

TEST_CASE("entry filter: the four ways to match selectors, as recorded of SPIRE") {
  const auto of = [](std::initializer_list<const char*> values) {
    std::vector<Selector> selectors;
    for (const char* value : values) selectors.push_back(Sel("t", value));
    return MakeSelectorSet(selectors);
  };
  std::vector<Entry> entries(5, MakeEntry(1));
  entries[0].selectors = of({"1"});
  entries[1].selectors = of({"1", "2"});
  entries[2].selectors = of({"1", "2", "3"});
  entries[3].selectors = of({"2"});
  entries[4].selectors = of({"4"});
  const auto matching = [&](const SelectorSet& wanted, MatchBehavior match) {
    EntryFilter filter;
    filter.selectors = EntryFilter::Selectors{wanted, match};
    std::string names;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (Matches(entries[i], filter)) names += static_cast<char>('a' + i);
    }
    return names;
  };
  CHECK(matching(of({"1"}), MatchBehavior::kExact) == "a");
  CHECK(matching(of({"1", "2"}), MatchBehavior::kExact) == "b");
  CHECK(matching(of({"2", "4"}), MatchBehavior::kExact).empty());
  CHECK(matching(of({"1"}), MatchBehavior::kSubset) == "a");
  CHECK(matching(of({"1", "2"}), MatchBehavior::kSubset) == "abd");
  CHECK(matching(of({"2", "4"}), MatchBehavior::kSubset) == "de");
  CHECK(matching(of({"1"}), MatchBehavior::kSuperset) == "abc");
  CHECK(matching(of({"1", "2"}), MatchBehavior::kSuperset) == "bc");
  CHECK(matching(of({"2", "4"}), MatchBehavior::kSuperset).empty());
  CHECK(matching(of({"1"}), MatchBehavior::kAny) == "abc");
  CHECK(matching(of({"1", "2"}), MatchBehavior::kAny) == "abcd");
  CHECK(matching(of({"2", "4"}), MatchBehavior::kAny) == "bcde");
  CHECK(matching(of({"9"}), MatchBehavior::kAny).empty());
}

TEST_CASE("entry filter: other fields, alone and together") {
  Entry entry = MakeEntry(1);
  entry.hint = "h1";
  entry.federates_with = {Domain("one.test"), Domain("two.test")};
  EntryFilter filter;
  CHECK(Matches(entry, filter));
  filter.spiffe_id = Id("/w1");
  filter.parent_id = Id("/parent");
  filter.hint = "h1";
  CHECK(Matches(entry, filter));
  filter.parent_id = Id("/other");
  CHECK(!Matches(entry, filter));
  filter = {};
  filter.spiffe_id = Id("/w2");
  CHECK(!Matches(entry, filter));
  filter = {};
  filter.hint = "h2";
  CHECK(!Matches(entry, filter));
  filter.hint = "";
  CHECK(Matches(entry, filter));
  filter = {};
  filter.downstream = true;
  CHECK(!Matches(entry, filter));
  filter.downstream = false;
  CHECK(Matches(entry, filter));
  entry.downstream = true;
  CHECK(Matches(entry, filter));
  filter.downstream = true;
  CHECK(Matches(entry, filter));
  filter = {};
  filter.federates_with =
      EntryFilter::FederatesWith{{Domain("one.test")}, MatchBehavior::kSuperset};
  CHECK(Matches(entry, filter));
  filter.federates_with->match = MatchBehavior::kExact;
  CHECK(!Matches(entry, filter));
  filter.federates_with->match = MatchBehavior::kSubset;
  CHECK(!Matches(entry, filter));
  entry.federates_with.clear();
  CHECK(!Matches(entry, filter));
}

}  // namespace signet::identity
