#include "identity/attest/path_template.h"

#include <array>
#include <catch2/catch.hpp>

using namespace signet;
using namespace signet::identity;

namespace {

constexpr std::array<TemplateField, 6> kFields = {{{".PluginName"},
                                                   {".Fingerprint"},
                                                   {".Subject.CommonName"},
                                                   {".ValidPrincipals", true, false},
                                                   {".SVIDPathTrimmed", false, true},
                                                   {".URISanSelectors.*", false, true}}};

const TemplateValues kValues = {{".PluginName", {"x509pop"}},
                                {".Fingerprint", {"00ff"}},
                                {".Subject.CommonName", {"Node.Example.ORG"}},
                                {".ValidPrincipals", {"one.example.org", "two"}},
                                {".SVIDPathTrimmed", {"rack/7"}},
                                {".URISanSelectors.zone", {"west"}}};

std::string Filled(std::string_view text) {
  const auto parsed = PathTemplate::Parse(text, kFields);
  if (!parsed) return "unparsed: " + parsed.error().detail;
  const auto path = parsed->Fill(kValues);
  return path ? *path : "unfilled: " + path.error().detail;
}

bool Parses(std::string_view text) { return PathTemplate::Parse(text, kFields).has_value(); }

Result<SpiffeId> IdOf(std::string_view text, const TemplateValues& values) {
  return TemplateAgentId(*TrustDomain::Parse("example.org"), "x509pop",
                         *PathTemplate::Parse(text, kFields), values);
}

}  // namespace

TEST_CASE("the templates SPIRE's users write are filled as SPIRE fills them") {
  CHECK(Filled("/{{ .PluginName }}/{{ .Fingerprint }}") == "/x509pop/00ff");
  CHECK(Filled("{{ .PluginName}}/{{ .Fingerprint }}") == "/x509pop/00ff");
  CHECK(Filled("/cn/{{ .Subject.CommonName }}") == "/cn/Node.Example.ORG");
  CHECK(Filled("/{{.Subject.CommonName|lower}}") == "/node.example.org");
  CHECK(Filled("/{{ lower .Subject.CommonName }}") == "/node.example.org");
  CHECK(Filled("/{{ .Fingerprint | upper }}") == "/00FF");
  CHECK(Filled("static/{{ index .ValidPrincipals 0 }}") == "/static/one.example.org");
  CHECK(Filled("/{{ index .ValidPrincipals 0 | trimSuffix \".example.org\" }}") == "/one");
  CHECK(Filled("/{{ trimPrefix \"Node.\" .Subject.CommonName }}") == "/Example.ORG");
  CHECK(Filled("/{{ .PluginName }}/{{ .SVIDPathTrimmed }}") == "/x509pop/rack/7");
  CHECK(Filled("/z/{{ .URISanSelectors.zone }}") == "/z/west");
}

TEST_CASE("what a template may not be is said when it is parsed") {
  CHECK_FALSE(Parses(""));
  CHECK_FALSE(Parses("/all/nodes"));            // one ID for all
  CHECK_FALSE(Parses("/{{ .PluginName }}/x"));  // the same
  CHECK_FALSE(Parses("/{{ .Fingerprint"));      // no end
  CHECK_FALSE(Parses("/{{ .NotAField }}"));
  CHECK_FALSE(Parses("/{{ .URISanSelectors. }}"));
  CHECK_FALSE(Parses("/{{ .ValidPrincipals }}"));      // a list
  CHECK_FALSE(Parses("/{{ index .Fingerprint 0 }}"));  // no list
  CHECK_FALSE(Parses("/{{ index .ValidPrincipals -1 }}"));
  CHECK_FALSE(Parses("/{{ index .ValidPrincipals 256 }}"));
  CHECK_FALSE(Parses("/{{ .Fingerprint | sha256sum }}"));  // not in the subset
  CHECK_FALSE(Parses("/{{ .Fingerprint | trimSuffix }}"));
  CHECK_FALSE(Parses("/{{ .Fingerprint .PluginName }}"));
  CHECK_FALSE(Parses("/{{ if .Fingerprint }}x{{ end }}"));
  CHECK_FALSE(Parses("/{{ .Fingerprint | trimSuffix \"a }}"));
  CHECK_FALSE(Parses("/" + std::string(1024, 'a') + "{{ .Fingerprint }}"));
  const auto unknown = PathTemplate::Parse("/{{ .NotAField }}", kFields);
  CHECK(unknown.error().reason == kTemplateMalformed);
  CHECK(unknown.error().detail.find(".Fingerprint") != std::string::npos);
}

TEST_CASE("A2: a node's values make no other path than the template says") {
  const auto refused = [](const std::string& name) {
    auto values = kValues;
    values[".Subject.CommonName"] = {name};
    const auto id = IdOf("/node/{{ .Subject.CommonName }}", values);
    return !id.has_value();
  };
  CHECK_FALSE(refused("good"));
  CHECK(refused(""));
  CHECK(refused("a/b"));
  CHECK(refused(".."));
  CHECK(refused("."));
  CHECK(refused("a b"));
  CHECK(refused("a%2fb"));
  CHECK(refused(std::string("a\0b", 3)));
  CHECK(refused("\xc3\xa9"));
  CHECK(refused(std::string(2048, 'a')));

  auto values = kValues;
  values[".SVIDPathTrimmed"] = {"../../server"};
  CHECK_FALSE(IdOf("/node/{{ .SVIDPathTrimmed }}", values));
  values[".SVIDPathTrimmed"] = {"a//b"};
  CHECK_FALSE(IdOf("/node/{{ .SVIDPathTrimmed }}", values));
}

TEST_CASE("A2: no proof leads to an ID among another attestor's agents") {
  auto values = kValues;
  values[".Subject.CommonName"] = {"join_token"};
  const auto id = IdOf("/{{ .Subject.CommonName }}/{{ .Fingerprint }}", values);
  REQUIRE_FALSE(id);
  CHECK(id.error().reason == kTemplateUnfilled);
  values[".Subject.CommonName"] = {"x509pop"};
  CHECK(IdOf("/{{ .Subject.CommonName }}/{{ .Fingerprint }}", values)->ToString() ==
        "spiffe://example.org/spire/agent/x509pop/00ff");
}

TEST_CASE("a value that a node does not show leaves it unattested") {
  TemplateValues values = kValues;
  values.erase(".URISanSelectors.zone");
  CHECK(IdOf("/z/{{ .URISanSelectors.zone }}", values).error().reason == kTemplateUnfilled);
  CHECK(IdOf("/z/{{ index .ValidPrincipals 2 }}", values).error().reason == kTemplateUnfilled);
}
