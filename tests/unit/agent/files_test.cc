// Files for programs that know no SPIFFE: what they hold, when they are written, who is told.
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>

#include "agent/files/files_keeper.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tools.h"
#include "tests/unit/agent/entries.h"

using namespace signet;
using namespace signet::agent;
using namespace signet::agent::test;
using namespace std::chrono_literals;
using signet::test::FakeClock;
using signet::test::ReadText;
using signet::test::SigningAuthority;
using signet::test::TempDir;
using signet::test::WriteText;

namespace {

struct World {
  World() {
    options.spiffe_id = web.spiffe_id;
    options.files.certificate = dir.File("cert.pem");
    options.files.key = dir.File("key.pem");
    options.files.combined = dir.File("both.pem");
    options.files.bundle = dir.File("bundle.pem");
    web.federates_with = {other.trust_domain()};
  }
  void Hold(std::vector<AuthorizedEntry> entries) {
    REQUIRE(cache.Apply(Full(++revision, std::move(entries), {own.bundle(), other.bundle()})));
  }
  SvidPtr Mint(Duration lifetime = 1h) {
    const SvidPtr svid = Svid(own, web, clock.Now() - 10s, clock.Now() + lifetime);
    cache.Install({{web.id, svid}});
    return svid;
  }
  FilesKeeper& Keeper() {
    if (!keeper)
      keeper = std::make_unique<FilesKeeper>(
          FilesParts{
              cache,
              [this](const auto& ids) { wanted.insert(wanted.end(), ids.begin(), ids.end()); },
              interest, clock, random, log, metrics},
          std::vector<FileSetOptions>{options}, [this](const files::RenewalAction&) {
            ++told;
            return answer;
          });
    return *keeper;
  }
  FilePlan Plan() const { return PlanFiles(*cache.Current(), options, clock.Now()); }

  TempDir dir;
  FakeClock clock;
  OsRandom random;
  const Logger log = Logger::Null();
  Metrics metrics;
  SigningAuthority own{"example.org", clock.Now()}, other{"one.test", clock.Now()};
  AuthorizedEntry web = Entry("web", "/web", {"unix:uid:1"});
  Cache cache{ExampleOrg()};
  Interest interest;
  FileSetOptions options;
  std::unique_ptr<FilesKeeper> keeper;
  std::vector<std::string> wanted;
  std::uint64_t revision = 0;
  int told = 0;
  Status answer;
};

mode_t ModeOf(const std::string& path) {
  struct stat found{};
  REQUIRE(lstat(path.c_str(), &found) == 0);
  return found.st_mode & 07777;
}

ConfigProblems ProblemsOf(const std::string& text, std::vector<FileSetOptions>* sets = nullptr) {
  ConfigProblems problems;
  ConfigMap root = ConfigMap::Parse(text, "agent.yaml", &problems);
  auto read = ReadFileSets(&root);
  root.Finish();
  if (sets != nullptr) *sets = std::move(read);
  return problems;
}

}  // namespace

TEST_CASE("files hold the SVID's chain, its key and the bundle, each for its readers") {
  World world;
  world.Hold({world.web});
  const SvidPtr svid = world.Mint();
  CHECK_FALSE(world.Keeper().RunOnce());
  CHECK(world.told == 1);
  CHECK(world.Keeper().Problems().empty());
  const std::string certificate = ReadText(world.options.files.certificate);
  const auto chain = ca::ParsePem(certificate, 10);
  REQUIRE(chain);
  CHECK(chain->front().fingerprint() == svid->fingerprint);
  const std::string key = ReadText(world.options.files.key);
  CHECK(key.starts_with("-----BEGIN PRIVATE KEY-----\n"));
  CHECK(ReadText(world.options.files.combined) == key + certificate);
  CHECK(ReadText(world.options.files.bundle) == ca::ToPem(world.own.root()));
  for (const std::string& path : {world.options.files.key, world.options.files.combined})
    CHECK(ModeOf(path) == 0600);
  for (const std::string& path : {world.options.files.certificate, world.options.files.bundle})
    CHECK(ModeOf(path) == 0644);
  // The key is the certificate's: another program says so.
  CHECK(signet::test::Openssl(
            world.dir, {"x509", "-in", world.options.files.certificate, "-noout", "-pubkey"}) ==
        signet::test::Openssl(world.dir, {"pkey", "-in", world.options.files.key, "-pubout"}));
}

TEST_CASE("files are written when what they hold changed, and the program is told once") {
  World world;
  world.options.federated = true;
  world.Hold({world.web});
  world.Mint();
  world.Keeper().RunOnce();
  CHECK(ReadText(world.options.files.bundle) ==
        ca::ToPem(world.own.root()) + ca::ToPem(world.other.root()));
  world.Keeper().RunOnce();
  world.Hold({world.web, Entry("x", "/x", {"unix:uid:2"})});
  world.Keeper().RunOnce();
  CHECK(world.told == 1);
  const std::string before = ReadText(world.options.files.certificate);
  world.Mint();
  world.Keeper().RunOnce();
  CHECK(ReadText(world.options.files.certificate) != before);
  CHECK(world.told == 2);
  // Somebody broke one: it is mended.
  WriteText(world.options.files.key, "broken", 0600);
  REQUIRE(chmod(world.options.files.bundle.c_str(), 0666) == 0);
  world.Keeper().RunOnce();
  CHECK(ReadText(world.options.files.key).starts_with("-----BEGIN"));
  CHECK(ModeOf(world.options.files.bundle) == 0644);
  CHECK(world.told == 3);
}

TEST_CASE("a symbolic link in a file's place is replaced, not followed") {
  World world;
  world.Hold({world.web});
  world.Mint();
  WriteText(world.dir.File("victim"), "untouched");
  REQUIRE(symlink(world.dir.File("victim").c_str(), world.options.files.key.c_str()) == 0);
  world.Keeper().RunOnce();
  CHECK(ReadText(world.dir.File("victim")) == "untouched");
  CHECK(ModeOf(world.options.files.key) == 0600);
}

TEST_CASE("files have their owner and group") {
  if (geteuid() != 0) {
    WARN("left out: only root gives files away");
    return;
  }
  World world;
  world.options.files.secret = {65534, 65533, 0640};
  world.Hold({world.web});
  world.Mint();
  world.Keeper().RunOnce();
  struct stat found{};
  REQUIRE(lstat(world.options.files.key.c_str(), &found) == 0);
  CHECK(found.st_uid == 65534);
  CHECK(found.st_gid == 65533);
  CHECK((found.st_mode & 07777) == 0640);
}

TEST_CASE("an SVID that is not there is asked for, and files without one are left alone") {
  World world;
  world.Keeper().RunOnce();
  CHECK(world.Keeper().Problems().size() == 1);  // nothing was received yet
  world.Hold({Entry("x", "/x", {"unix:uid:2"})});
  world.Keeper().RunOnce();
  CHECK(world.Plan().missing == "no entry of this agent grants it");
  CHECK(world.wanted.empty());
  world.Hold({world.web});
  world.Keeper().RunOnce();
  CHECK(world.wanted == std::vector<std::string>{"web"});
  CHECK(world.told == 0);
  world.Mint();
  world.Keeper().RunOnce();
  CHECK(world.Keeper().Problems().empty());
  CHECK(world.interest.InUse(world.cache.Current()->entries, world.clock.Now()).contains("web"));
  world.Hold({});
  world.Keeper().RunOnce();
  CHECK(ReadText(world.options.files.key).starts_with("-----BEGIN"));
  CHECK(world.Keeper().Problems().size() == 1);
  CHECK(world.interest.InUse(world.cache.Current()->entries, world.clock.Now()).empty());
}

TEST_CASE("an expired SVID, one of an expired entry, and a stored one are not written") {
  World world;
  world.Hold({world.web});
  world.Mint(1h);
  CHECK(world.Plan().files.size() == 4);
  world.clock.Advance(1h);
  CHECK_FALSE(world.Plan().missing.empty());
  world.Mint();
  world.web.expires_at = UnixSeconds(world.clock.Now());
  world.web.revision_number = 1;
  world.Hold({world.web});
  CHECK(world.Plan().files.empty());
  world.web.expires_at = 0;
  world.web.store_svid = true;
  world.web.revision_number = 2;
  world.Hold({world.web});
  CHECK(world.Plan().files.empty());
}

TEST_CASE("what fails is said and tried again, later and later; it is told when it works") {
  World world;
  world.options.files.certificate = world.dir.File("none/cert.pem");
  world.Hold({world.web});
  world.Mint();
  const auto nap = world.Keeper().RunOnce();
  REQUIRE(nap);
  CHECK(*nap >= 1s);
  CHECK(world.told == 0);
  REQUIRE(world.Keeper().Problems().size() == 1);
  CHECK(world.Keeper().Problems()[0].find("none/cert.pem") != std::string::npos);
  REQUIRE(EnsureDirectory(world.dir.File("none"), 0700));
  world.Keeper().RunOnce();
  CHECK(world.told == 0);  // not before its time
  world.clock.Advance(*nap);
  world.answer = Fail(Code::kUnavailable, files::kActionFailed, "exit code 1");
  CHECK(world.Keeper().RunOnce());
  CHECK(world.told == 1);
  world.clock.Advance(10min);
  world.answer = {};
  CHECK_FALSE(world.Keeper().RunOnce());
  CHECK(world.told == 2);  // though no file changed since
  CHECK(world.Keeper().Problems().empty());
}

TEST_CASE("sets of files are read from the configuration") {
  std::vector<FileSetOptions> sets;
  const auto problems = ProblemsOf(R"(
files:
  - spiffe_id: spiffe://example.org/web
    certificate: /t/cert.pem
    key: /t/key.pem
    bundle: /t/bundle.pem
    federated: true
    owner: "65534"
    key_mode: "0640"
    on_renewal: {command: [/usr/sbin/nginx, -s, reload], timeout: 5s}
  - spiffe_id: spiffe://example.org/db
    combined: /t/db.pem
    on_renewal: {signal: SIGHUP, pid_file: /run/db.pid}
)",
                                   &sets);
  REQUIRE(problems.Text() == "");
  REQUIRE(sets.size() == 2);
  CHECK(sets[0].spiffe_id.ToString() == "spiffe://example.org/web");
  CHECK(sets[0].federated);
  CHECK(sets[0].files.secret.owner == 65534);
  CHECK(sets[0].files.secret.mode == 0640);
  CHECK(sets[0].files.open.mode == 0644);
  CHECK(sets[0].files.action.command ==
        std::vector<std::string>{"/usr/sbin/nginx", "-s", "reload"});
  CHECK(sets[0].files.action.timeout == 5s);
  CHECK(sets[1].files.combined == "/t/db.pem");
  CHECK(sets[1].files.action.signal == SIGHUP);
}

TEST_CASE("sets of files that cannot be kept are problems, with their lines") {
  const std::string head = "files:\n  - spiffe_id: spiffe://example.org/web\n";
  for (const std::string& more :
       {std::string(), std::string("    key: relative.pem\n"),
        std::string("    key: /k\n    key_mode: '0644'\n"),
        std::string("    key: /k\n    ownr: root\n"),
        std::string("    key: /k\n    owner: nobody-of-that-name\n"),
        std::string("    key: /k\n    certificate: /k\n"),
        std::string("    key: /k\n    on_renewal: {command: [nginx]}\n"),
        std::string("    key: /k\n    on_renewal: {signal: HUP}\n"),
        std::string("    key: /k\n    on_renewal: {pid_file: /p}\n"),
        std::string("    key: /k\n    on_renewal: {signal: KILL, pid_file: /p}\n"),
        std::string("    key: /k\n    on_renewal: {command: [/c], signal: HUP, pid_file: /p}\n")}) {
    INFO(more);
    const auto problems = ProblemsOf(head + more);
    REQUIRE(problems.all().size() == 1);
    CHECK(problems.all()[0].line >= 2);
    CHECK_FALSE(problems.all()[0].hint.empty());
  }
  CHECK(ProblemsOf("files:\n  - spiffe_id: nonsense\n    key: /k\n").all().size() == 1);
  std::string many = "files:\n";
  for (int i = 0; i < 65; ++i)
    many += "  - {spiffe_id: 'spiffe://a/b', key: /k" + std::to_string(i) + "}\n";
  CHECK(ProblemsOf(many).all().size() == 1);
}
