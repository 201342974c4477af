// signet svid files: which files, of which SVID.
#include <catch2/catch.hpp>
#include <csignal>

#include "tools/ctl/svid_commands.h"

namespace signet::ctl {
namespace {

SvidFilesOptions Asked() {
  SvidFilesOptions options;
  options.certificate = "cert.pem";
  options.key = "key.pem";
  return options;
}

TEST_CASE("files that are asked for have the agent's defaults, and what is said instead") {
  const auto plain = ReadFileSet(Asked());
  REQUIRE(plain);
  CHECK(plain->Paths() == std::vector<std::string>{"cert.pem", "key.pem"});
  CHECK(plain->secret.mode == 0600);
  CHECK(plain->open.mode == 0644);
  CHECK(plain->secret.owner == -1);
  SvidFilesOptions options = Asked();
  options.owner = "65534";
  options.group = "root";
  options.key_mode = "0640";
  options.signal = "SIGHUP";
  options.pid_file = "/run/web.pid";
  options.command_timeout = "5s";
  const auto set = ReadFileSet(options);
  REQUIRE(set);
  CHECK(set->secret.owner == 65534);
  CHECK(set->open.owner == 65534);
  CHECK(set->secret.group == 0);
  CHECK(set->secret.mode == 0640);
  CHECK(set->action.signal == SIGHUP);
  CHECK(set->action.timeout == std::chrono::seconds(5));
}

TEST_CASE("files that cannot be meant are wrong usage") {
  const auto wrong = [](auto change) {
    SvidFilesOptions options = Asked();
    change(options);
    const auto set = ReadFileSet(options);
    REQUIRE_FALSE(set);
    CHECK(set.error().code == Code::kInvalidArgument);
    CHECK_FALSE(set.error().detail.empty());
  };
  wrong([](SvidFilesOptions& o) { o.certificate = o.key = ""; });
  wrong([](SvidFilesOptions& o) { o.bundle = o.key; });
  wrong([](SvidFilesOptions& o) { o.mode = "rw"; });
  wrong([](SvidFilesOptions& o) { o.key_mode = "0604"; });
  wrong([](SvidFilesOptions& o) { o.owner = "nobody-of-that-name"; });
  wrong([](SvidFilesOptions& o) { o.group = "nobody-of-that-name"; });
  wrong([](SvidFilesOptions& o) { o.signal = "HUP"; });
  wrong([](SvidFilesOptions& o) { o.pid_file = "/run/x.pid"; });
  wrong([](SvidFilesOptions& o) { o.command = {"nginx"}; });
  wrong([](SvidFilesOptions& o) { o.command_timeout = "0s"; });
  wrong([](SvidFilesOptions& o) {
    o.command = {"/bin/true"};
    o.signal = "HUP";
    o.pid_file = "/run/x.pid";
  });
}

TEST_CASE("an SVID is chosen by its ID and its hint, and never another one in its place") {
  const auto choose = [](const std::string& id, const std::string& hint) {
    std::vector<Svid> svids(3);
    svids[0].id = "spiffe://example.org/a";
    svids[1].id = "spiffe://example.org/b";
    svids[1].hint = "internal";
    svids[2].id = "spiffe://example.org/b";
    svids[2].hint = "external";
    return ChooseSvid(std::move(svids), id, hint);
  };
  CHECK(choose("", "")->id == "spiffe://example.org/a");
  CHECK(choose("spiffe://example.org/b", "")->hint == "internal");
  CHECK(choose("spiffe://example.org/b", "external")->hint == "external");
  CHECK(choose("", "external")->id == "spiffe://example.org/b");
  for (const auto& [id, hint] : std::vector<std::pair<std::string, std::string>>{
           {"spiffe://example.org/c", ""}, {"spiffe://example.org/a", "internal"}, {"", "x"}}) {
    const auto none = choose(id, hint);
    REQUIRE_FALSE(none);
    CHECK(none.error().code == Code::kNotFound);
    CHECK(none.error().detail.find("spiffe://example.org/a") != std::string::npos);
  }
}

}  // namespace
}  // namespace signet::ctl
