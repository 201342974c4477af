#include "identity/api/log_keeper.h"

#include <catch2/catch.hpp>

#include "identity/audit/log_chain.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_store.h"
#include "tests/support/temp_dir.h"

namespace signet::identity {
namespace {

const TrustDomain kTrustDomain = TrustDomain::Parse("example.org").value();

struct Fixture {
  test::FakeClock clock;
  test::TempDir folder;
  test::FakeStore store;
  ca::MemoryKeyStore keys;
  Logger log = Logger::Null();
  Metrics metrics;
  std::string head_file = folder.File("log.head");
  std::unique_ptr<LogKeeper> keeper =
      LogKeeper::Start({store, keys, kTrustDomain, head_file, clock, log, metrics}).value();

  std::vector<AuditRecord> Refused() {
    std::vector<AuditRecord> refused;
    const auto all = store.LoadLog({.event = std::string(event::kRefused)}).value();
    for (const LoggedRecord& logged : all) refused.push_back(logged.record);
    return refused;
  }
};

}  // namespace

TEST_CASE(
    "a minute after the last one a checkpoint of all there is is signed, and none for nothing") {
  Fixture f;
  const auto count = [&] { return f.store.LoadCheckpoints(100).value().size(); };
  const std::size_t first = count();
  f.keeper->refusals().Add({"uid:5"}, "/a.B/C", "denied");
  f.clock.Advance(std::chrono::seconds(59));
  REQUIRE(f.keeper->Tick());
  CHECK(count() == first);
  f.clock.Advance(std::chrono::seconds(1));
  REQUIRE(f.keeper->Tick());
  CHECK(count() == first + 1);
  const LogCheckpoint newest = f.keeper->MakeCheckpoint().value();
  CHECK(newest.head == f.store.LoadLogHead().value());
  CHECK(VerifyCheckpoint(kTrustDomain.name(), newest, newest.public_key));
  f.clock.Advance(std::chrono::minutes(10));
  REQUIRE(f.keeper->Tick());
  CHECK(count() == first + 1);
}

TEST_CASE("refusals of one kind are one record that says how many") {
  Fixture f;
  for (int i = 0; i < 3; ++i) f.keeper->refusals().Add({"uid:5"}, "/a.B/C", "denied");
  f.keeper->refusals().Add({"uid:6"}, "/a.B/C", "denied");
  REQUIRE(f.keeper->Tick());
  const auto refused = f.Refused();
  REQUIRE(refused.size() == 2);
  CHECK(refused[0].actor == "uid:5");
  CHECK(refused[0].object == "/a.B/C");
  CHECK(refused[0].detail == R"({"why":"denied","count":3})");
  CHECK(refused[1].actor == "uid:6");
  REQUIRE(f.keeper->Tick());
  CHECK(f.Refused().size() == 2);
}

TEST_CASE("refusals that could not be recorded are recorded when the database takes them again") {
  Fixture f;
  f.keeper->refusals().Add({"uid:5"}, "/a.B/C", "denied");
  f.store.FailNextAppend({Code::kResourceExhausted, kStoreFull, {}});
  const Status failed = f.keeper->Tick();
  REQUIRE_FALSE(failed);
  CHECK(failed.error().reason == kStoreFull);
  CHECK(f.Refused().empty());
  f.keeper->refusals().Add({"uid:5"}, "/a.B/C", "denied");
  REQUIRE(f.keeper->Tick());
  REQUIRE(f.Refused().size() == 1);
  CHECK(f.Refused()[0].detail == R"({"why":"denied","count":2})");
}

TEST_CASE("kinds of refusals are bounded, also over turns that fail; what is beyond is counted") {
  Fixture f;
  const auto add = [&](std::size_t from, std::size_t count) {
    for (std::size_t i = from; i < from + count; ++i)
      f.keeper->refusals().Add({"uid:" + std::to_string(i)}, "/a.B/C", "denied");
  };
  add(0, kRefusalKinds + 5);
  f.store.FailNextAppend({Code::kResourceExhausted, kStoreFull, {}});
  REQUIRE_FALSE(f.keeper->Tick());
  add(1000, 7);
  REQUIRE(f.keeper->Tick());
  const auto refused = f.Refused();
  REQUIRE(refused.size() == kRefusalKinds + 1);
  CHECK(refused.back().actor == "several");
  CHECK(refused.back().detail.find("\"count\":12") != std::string::npos);
  const std::string longest(100'000, 'x');
  f.keeper->refusals().Add({"uid:5"}, longest, longest);
  REQUIRE(f.keeper->Tick());
  CHECK(f.Refused().back().object.size() < 1024);
  CHECK(f.Refused().back().detail.size() < 1024);
}

}  // namespace signet::identity
