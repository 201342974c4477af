#include "tools/ctl/entry_files.h"

#include <catch2/catch.hpp>
#include <fstream>

#include "tests/support/temp_dir.h"
#include "tools/ctl/convert.h"

namespace signet::ctl {
namespace {

EntryFiles Parse(std::string_view text) {
  EntryFiles files;
  ParseEntryFile(text, "a.yaml", &files);
  DropRepeated(&files);
  return files;
}

void Write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

constexpr std::string_view kFull = R"(entries:
  - id: web
    spiffe_id: spiffe://example.org/web
    parent_id: spiffe://example.org/node
    selectors: [unix:uid:1000, "docker:label:a:b c"]
    x509_svid_ttl: 1h30m
    jwt_svid_ttl: 90s
    federates_with: [other.org]
    dns_names: [web.example.org, a.example.org]
    hint: "internal: yes"
    admin: true
    downstream: true
    store_svid: true
    expires_at: 2027-01-31T00:00:00Z
    disable_x509_svid_prefetch: true
    jwt_svid_include_jti: true
  - spiffe_id: spiffe://example.org/db
    parent_id: spiffe://example.org/node
    selectors:
      - unix:uid:7
)";

}  // namespace

TEST_CASE("entry files: every field is read, and what is left out has its default") {
  const EntryFiles files = Parse(kFull);
  INFO(files.problems.Text());
  REQUIRE(files.problems.empty());
  REQUIRE(files.entries.size() == 2);
  const auto& web = files.entries[0].entry;
  CHECK(files.entries[0].line == 2);
  CHECK(files.entries[1].line == 17);
  CHECK(web.id() == "web");
  CHECK(IdText(web.spiffe_id()) == "spiffe://example.org/web");
  CHECK(IdText(web.parent_id()) == "spiffe://example.org/node");
  REQUIRE(web.selectors_size() == 2);
  CHECK(web.selectors(1).type() == "docker");
  CHECK(web.selectors(1).value() == "label:a:b c");
  CHECK(web.x509_svid_ttl() == 5400);
  CHECK(web.jwt_svid_ttl() == 90);
  CHECK(web.federates_with(0) == "other.org");
  CHECK(web.dns_names(0) == "web.example.org");
  CHECK(web.hint() == "internal: yes");
  CHECK(web.admin());
  CHECK(web.downstream());
  CHECK(web.store_svid());
  CHECK(web.expires_at() == 1801353600);
  CHECK(web.additional_attributes().disable_x509_svid_prefetch());
  CHECK(web.additional_attributes().jwt_svid_include_jti());
  const auto& db = files.entries[1].entry;
  CHECK(db.id().empty());
  CHECK(db.x509_svid_ttl() == 0);
  CHECK_FALSE(db.admin());
  CHECK_FALSE(db.has_additional_attributes());
}

TEST_CASE("entry files: what is exported reads back as the same entries") {
  std::vector<spire::api::types::Entry> entries;
  for (const FileEntry& one : Parse(kFull).entries) entries.push_back(one.entry);
  entries[0].set_hint("line\n\"quoted\" # null: ~ \xc3\xa9");
  entries[1].set_hint("null");
  const std::string text = ToEntryFile(entries, "team-a");
  const EntryFiles again = Parse(text);
  INFO(text << again.problems.Text());
  REQUIRE(again.problems.empty());
  REQUIRE(again.entries.size() == 2);
  // In order of SPIFFE ID; selectors are a set.
  CHECK(again.entries[0].entry.SerializeAsString() == entries[1].SerializeAsString());
  CHECK(FieldTexts(again.entries[1].entry) == FieldTexts(entries[0]));
  CHECK(again.entries[1].entry.id() == "web");
  CHECK(ToEntryFile({}, "x").find("entries: []") != std::string::npos);
  CHECK(Parse(ToEntryFile({}, "x")).problems.empty());
}

TEST_CASE("entry files: every problem is told at once, with its line and what to do") {
  const EntryFiles files = Parse(R"(entries:
  - spiffe_id: example.org/web
    selectors: [unix, "unix:uid:1"]
    x509_svid_ttl: 1 hour
    expires_at: 2027-02-31T00:00:00Z
    dns_name: [a]
  - spiffe_id: spiffe://example.org/a
    parent_id: spiffe://example.org/node
    jwt_svid_ttl: 1500ms
    admin: maybe
    federates_with: ["not a domain"]
  - text
extra: 1
)");
  const auto has = [&](int line, const std::string& text) {
    for (const ConfigProblem& problem : files.problems.all()) {
      if (problem.line == line && problem.file == "a.yaml" &&
          problem.message.find(text) != std::string::npos)
        return true;
    }
    return false;
  };
  INFO(files.problems.Text());
  CHECK(has(2, "spiffe_id"));
  CHECK(has(2, "parent_id"));
  CHECK(has(3, "'unix' is malformed"));
  CHECK(has(4, "x509_svid_ttl"));
  CHECK(has(5, "2027-02-31T00:00:00Z"));
  CHECK(has(6, "dns_name"));
  CHECK(has(7, "'selectors' is missing"));
  CHECK(has(9, "whole seconds"));
  CHECK(has(10, "admin"));
  CHECK(has(11, "federates_with"));
  CHECK(has(12, "must be a map"));
  CHECK(has(13, "extra"));
  CHECK(files.problems.all().size() == 12);
  CHECK(files.entries.empty());
}

TEST_CASE("entry files: a file without a list of entries is a mistake, not an empty set") {
  for (const char* text : {"", "{}", "entries:\n", "entry: []\n"}) {
    INFO(text);
    CHECK_FALSE(Parse(text).problems.empty());
  }
  CHECK(Parse("entries: []\n").problems.empty());
  CHECK_FALSE(Parse("entries: [\n").problems.empty());
}

TEST_CASE("entry files: what is there twice is told with both places") {
  const EntryFiles files = Parse(R"(entries:
  - spiffe_id: spiffe://example.org/a
    parent_id: spiffe://example.org/node
    selectors: [unix:uid:1, unix:gid:2]
  - spiffe_id: spiffe://example.org/a
    parent_id: spiffe://example.org/node
    selectors: [unix:gid:2, unix:uid:1]
    hint: other
  - {id: x, spiffe_id: "spiffe://example.org/b", parent_id: "spiffe://example.org/n", selectors: [a:b]}
  - {id: x, spiffe_id: "spiffe://example.org/c", parent_id: "spiffe://example.org/n", selectors: [a:b]}
)");
  REQUIRE(files.problems.all().size() == 2);
  CHECK(files.problems.all()[0].line == 5);
  CHECK(files.problems.all()[0].message.find("a.yaml:2") != std::string::npos);
  CHECK(files.problems.all()[1].line == 10);
  CHECK(files.problems.all()[1].message.find("a.yaml:9") != std::string::npos);
  CHECK(files.entries.size() == 2);
}

TEST_CASE("entry files: a folder is all its YAML files, those below it too, but no hidden ones") {
  const test::TempDir folder;
  std::filesystem::create_directories(folder.File("team/.git"));
  const auto entry = [](const std::string& name) {
    return "entries:\n  - {spiffe_id: 'spiffe://example.org/" + name +
           "', parent_id: 'spiffe://example.org/node', selectors: ['unix:uid:1']}\n";
  };
  Write(folder.File("b.yaml"), entry("b"));
  Write(folder.File("team/a.yml"), entry("a"));
  Write(folder.File("team/.git/c.yaml"), entry("c"));
  Write(folder.File(".d.yaml"), entry("d"));
  Write(folder.File("README.md"), "not an entry");
  const EntryFiles files = ReadEntryFiles({folder.path()});
  INFO(files.problems.Text());
  CHECK(files.problems.empty());
  REQUIRE(files.entries.size() == 2);
  CHECK(files.entries[0].entry.spiffe_id().path() == "/b");
  CHECK(files.entries[1].entry.spiffe_id().path() == "/a");
  CHECK(files.entries[1].file == folder.File("team/a.yml"));
  CHECK_FALSE(ReadEntryFiles({folder.File("team/.git/none.yaml")}).problems.empty());
  CHECK_FALSE(ReadEntryFiles({folder.File("README.md")}).problems.empty());
  std::filesystem::create_directories(folder.File("empty"));
  CHECK_FALSE(ReadEntryFiles({folder.File("empty")}).problems.empty());
}

}  // namespace signet::ctl
