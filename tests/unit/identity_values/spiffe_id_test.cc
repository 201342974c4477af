#include "identity/spiffe/spiffe_id.h"

#include <catch2/catch.hpp>
#include <unordered_set>

namespace signet::identity {
namespace {

TrustDomain Domain(std::string_view name) { return TrustDomain::Parse(name).value(); }
SpiffeId Id(std::string_view text) { return SpiffeId::Parse(text).value(); }
SpiffeIdPattern Pattern(std::string_view text) { return SpiffeIdPattern::Parse(text).value(); }

TEST_CASE("an accepted SPIFFE ID prints as it was written") {
  for (const std::string text : {"spiffe://example.org", "spiffe://1.2.3.4/service",
                                 "spiffe://a..b/x", "spiffe://my_td/A/b.C_d-9/..."}) {
    const auto id = SpiffeId::Parse(text);
    REQUIRE(id);
    CHECK(id->ToString() == text);
    CHECK_FALSE(id->empty());
  }
}

TEST_CASE("paths compare with case and trust domains are never folded") {
  CHECK(Id("spiffe://td/Work") != Id("spiffe://td/work"));
  CHECK_FALSE(SpiffeId::Parse("spiffe://TD/work"));
  CHECK_FALSE(SpiffeId::Parse("SPIFFE://td/work"));
}

TEST_CASE("each broken rule of a SPIFFE ID is refused with the reason and names the rule") {
  const auto [text, rule] = GENERATE(table<std::string, std::string>({
      {"https://td/x", "starts with"},
      {"spiffe:///x", "empty"},
      {"spiffe://td/", "slash"},
      {"spiffe://td//x", "empty segment"},
      {"spiffe://td/./x", "'.' or '..'"},
      {"spiffe://td/x/..", "'.' or '..'"},
      {"spiffe://td/%41", "path segment"},
      {"spiffe://td/x?", "path segment"},
      {"spiffe://td/x#", "path segment"},
      {"spiffe://td/x\n", "path segment"},
      {"spiffe://u@td/x", "trust domain name holds only"},
      {"spiffe://td:1/x", "trust domain name holds only"},
      {"spiffe://Td/x", "lower case"},
  }));
  const auto id = SpiffeId::Parse(text);
  REQUIRE_FALSE(id);
  CHECK(id.error().reason == kSpiffeIdMalformed);
  CHECK(id.error().code == Code::kInvalidArgument);
  CHECK_THAT(id.error().detail, Catch::Contains(rule));
}

TEST_CASE("an error about a malformed ID holds no control bytes and stays short") {
  const auto id =
      SpiffeId::Parse(std::string("spiffe://td/\x1b[2J\0", 17) + std::string(1000, 'x'));
  REQUIRE_FALSE(id);
  CHECK(id.error().detail.size() < 512);
  for (const char c : id.error().detail) CHECK(static_cast<unsigned char>(c) >= 0x20);
}

TEST_CASE("an ID of 2048 bytes is read and one of 2049 is not") {
  const std::string head = "spiffe://td/";
  CHECK(SpiffeId::Parse(head + std::string(2048 - head.size(), 'a')));
  CHECK_FALSE(SpiffeId::Parse(head + std::string(2049 - head.size(), 'a')));
  CHECK(SpiffeId::FromPath(Domain("td"), "/" + std::string(2048 - head.size(), 'a')));
  CHECK_FALSE(SpiffeId::FromPath(Domain("td"), "/" + std::string(2049 - head.size(), 'a')));
}

TEST_CASE("a trust domain name of 255 bytes is read and one of 256 is not") {
  CHECK(TrustDomain::Parse(std::string(255, 'a')));
  const auto longer = TrustDomain::Parse(std::string(256, 'a'));
  REQUIRE_FALSE(longer);
  CHECK(longer.error().reason == kTrustDomainMalformed);
  CHECK_FALSE(SpiffeId::Parse("spiffe://" + std::string(256, 'a') + "/x"));
}

TEST_CASE("a trust domain is read from its name or from an ID of it") {
  CHECK(TrustDomain::FromNameOrId("example.org").value() == Domain("example.org"));
  CHECK(TrustDomain::FromNameOrId("spiffe://example.org").value() == Domain("example.org"));
  CHECK(TrustDomain::FromNameOrId("spiffe://example.org/x/y").value() == Domain("example.org"));
  for (const std::string text : {"", "spiffe://", "spiffe://example.org/", "example.org/x"}) {
    const auto read = TrustDomain::FromNameOrId(text);
    REQUIRE_FALSE(read);
    CHECK(read.error().reason == kTrustDomainMalformed);
  }
  CHECK(Domain("td").IdString() == "spiffe://td");
}

TEST_CASE("a default trust domain and a default ID name nothing and equal no parsed one") {
  CHECK(TrustDomain().empty());
  CHECK(SpiffeId().empty());
  CHECK(TrustDomain() != Domain("td"));
  CHECK(SpiffeId() != Id("spiffe://td"));
  CHECK_FALSE(SpiffeId::FromPath(TrustDomain(), "/x"));
}

TEST_CASE("an ID is built from a path or from segments under the same rules") {
  CHECK(SpiffeId::FromPath(Domain("td"), "/a/b").value() == Id("spiffe://td/a/b"));
  CHECK(SpiffeId::FromPath(Domain("td"), "").value() == Id("spiffe://td"));
  CHECK_FALSE(SpiffeId::FromPath(Domain("td"), "a"));
  CHECK_FALSE(SpiffeId::FromPath(Domain("td"), "/a/"));
  const std::vector<std::string> good{"a", "b"};
  CHECK(SpiffeId::FromSegments(Domain("td"), good).value() == Id("spiffe://td/a/b"));
  const std::vector<std::string> slash{"a/b"};
  CHECK_FALSE(SpiffeId::FromSegments(Domain("td"), slash));
}

TEST_CASE("the well-known IDs lie in the reserved space") {
  CHECK(ServerId(Domain("td")).ToString() == "spiffe://td/spire/server");
  const auto agent = AgentId(Domain("td"), "join_token", "abc");
  REQUIRE(agent);
  CHECK(agent->ToString() == "spiffe://td/spire/agent/join_token/abc");
  CHECK(IsAgentPath(agent->path()));
  CHECK_FALSE(IsAgentPath("/spire/agent"));
  CHECK_FALSE(IsAgentPath("/spire/server"));
  CHECK(IsReservedPath("/spire"));
  CHECK(IsReservedPath("/spire/x"));
  CHECK_FALSE(IsReservedPath("/spirex"));
  CHECK_FALSE(IsReservedPath("/x/spire"));
  CHECK_FALSE(AgentId(Domain("td"), "join_token", ""));
  CHECK_FALSE(AgentId(Domain("td"), "..", "x"));
}

TEST_CASE("a default pattern matches nothing, not even a default ID") {
  CHECK_FALSE(SpiffeIdPattern().Matches(SpiffeId()));
  CHECK_FALSE(SpiffeIdPattern().Matches(Id("spiffe://td/x")));
}

TEST_CASE("an exact pattern matches that ID only") {
  CHECK(Pattern("spiffe://td/a").Matches(Id("spiffe://td/a")));
  CHECK_FALSE(Pattern("spiffe://td/a").Matches(Id("spiffe://td/a/b")));
  CHECK_FALSE(Pattern("spiffe://td/a").Matches(Id("spiffe://td/A")));
  CHECK_FALSE(Pattern("spiffe://td/a").Matches(Id("spiffe://other/a")));
}

TEST_CASE("a prefix pattern matches whole segments below it and not itself") {
  const SpiffeIdPattern below = Pattern("spiffe://td/a/*");
  CHECK(below.Matches(Id("spiffe://td/a/b")));
  CHECK(below.Matches(Id("spiffe://td/a/b/c")));
  CHECK_FALSE(below.Matches(Id("spiffe://td/a")));
  CHECK_FALSE(below.Matches(Id("spiffe://td/ab")));
  CHECK_FALSE(below.Matches(Id("spiffe://td")));
  CHECK_FALSE(below.Matches(Id("spiffe://td.evil/a/b")));
  CHECK(below.text() == "spiffe://td/a/*");
}

TEST_CASE("a trust domain pattern matches every workload of that domain and of no other") {
  const SpiffeIdPattern all = Pattern("spiffe://td/*");
  CHECK(all.Matches(Id("spiffe://td/x")));
  CHECK(all.Matches(Id("spiffe://td/x/y")));
  CHECK_FALSE(all.Matches(Id("spiffe://td")));
  CHECK_FALSE(all.Matches(Id("spiffe://td2/x")));
}

TEST_CASE("a star anywhere but as the last segment is refused") {
  for (const std::string text :
       {"*", "spiffe://*", "spiffe://*/x", "spiffe://td/a*", "spiffe://td/*/b", "spiffe://td/*/*",
        "spiffe://td/a/**", "/*", "spiffe:///*", ""}) {
    INFO(text);
    CHECK_FALSE(SpiffeIdPattern::Parse(text));
  }
}

TEST_CASE("SPIFFE IDs work as keys of hash tables") {
  const std::unordered_set<SpiffeId> set{Id("spiffe://td/a"), Id("spiffe://td/b"),
                                         Id("spiffe://td/a")};
  CHECK(set.size() == 2);
}

}  // namespace
}  // namespace signet::identity
