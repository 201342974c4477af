// Each change of the registry is recorded with it: who, what, and enough to answer why.
#include <nlohmann/json.hpp>

#include "tests/unit/identity/registry/registry_fixture.h"

namespace signet::identity {
namespace {

using Json = nlohmann::json;

struct LogFixture : RegistryFixture {
  // The records since the last call.
  std::vector<AuditRecord> News() {
    std::vector<AuditRecord> records;
    const auto log = store->LoadLog({.after = seen}).value();
    for (const LoggedRecord& logged : log) {
      seen = logged.place.seq;
      records.push_back(logged.record);
    }
    return records;
  }
  AuditRecord One() {
    const auto news = News();
    REQUIRE(news.size() == 1);
    CHECK(news.front().recorded_at == UnixSeconds(clock.Now()));
    return news.front();
  }
  std::uint64_t seen = 0;
};

const Actor kAdmin{"uid:0"};

}  // namespace

TEST_CASE_METHOD(LogFixture, "log: an entry's life is recorded with what it grants") {
  News();
  Entry entry = test::MakeEntry(1);
  REQUIRE(registry->CreateEntries({entry}, kAdmin).front().status);
  AuditRecord record = One();
  CHECK(record.event == event::kEntryCreated);
  CHECK(record.actor == "uid:0");
  CHECK(record.subject == entry.spiffe_id.ToString());
  CHECK(record.object == entry.id);
  CHECK(record.revision == 0);
  Json detail = Json::parse(record.detail);
  CHECK(detail["parent_id"] == entry.parent_id.ToString());
  CHECK(detail["selectors"].size() == entry.selectors.size());

  entry.hint = std::string("not UTF-8: \xff");
  REQUIRE(registry->UpdateEntries({{entry, EntryMask()}}, {"spiffe://example.org/admin"})
              .front()
              .status);
  record = One();
  CHECK(record.event == event::kEntryUpdated);
  CHECK(record.actor == "spiffe://example.org/admin");
  CHECK(record.revision == 1);
  CHECK(!Json::parse(record.detail, nullptr, false).is_discarded());

  const std::vector<std::string> ids = {entry.id};
  REQUIRE(registry->DeleteEntries(ids, kAdmin).front());
  CHECK(One().event == event::kEntryDeleted);
}

TEST_CASE_METHOD(LogFixture,
                 "log: a batch records what it changed, and a refused element nothing") {
  News();
  Entry twin = test::MakeEntry(2);
  twin.id = "twin";
  const auto outcomes =
      registry->CreateEntries({test::MakeEntry(1), test::MakeEntry(2), twin}, kAdmin);
  CHECK(!outcomes[2].status);
  const auto news = News();
  REQUIRE(news.size() == 2);
  CHECK(news[0].object == test::MakeEntry(1).id);
  CHECK(news[1].object == test::MakeEntry(2).id);
  store->FailNextCommit({Code::kUnavailable, kStoreUnavailable, ""});
  CHECK(!registry->CreateEntries({test::MakeEntry(3)}, kAdmin).front().status);
  CHECK(News().empty());
}

TEST_CASE_METHOD(LogFixture, "log: an agent's steps are told apart") {
  News();
  REQUIRE(registry->AddJoinToken({"0123456789abcdef0123", 99, "/alias"}, kAdmin));
  AuditRecord record = One();
  CHECK(record.event == event::kTokenCreated);
  CHECK(record.object == "0123456789abcdef");
  CHECK(record.not_after == 99);

  Node node = test::MakeNode(1);
  node.new_serial.clear();
  node.new_serial_expires_at = 0;
  const auto put = [&] {
    REQUIRE(registry->ChangeNode(node.id,
                                 [&](Node& current) -> Status {
                                   current = node;
                                   return {};
                                 },
                                 {"anonymous"}));
  };
  put();
  record = One();
  CHECK(record.event == event::kAgentAttested);
  CHECK(record.actor == "anonymous");
  CHECK(record.subject == node.id.ToString());
  CHECK(Json::parse(record.detail)["selectors"].size() == 2);
  node.new_serial = "77";
  put();
  record = One();
  CHECK(record.event == event::kAgentRenewed);
  CHECK(Json::parse(record.detail)["serial"] == "77");
  node.agent_version = "9";
  put();
  CHECK(One().event == event::kAgentChanged);
  REQUIRE(registry->BanNode(node.id, kAdmin));
  record = One();
  CHECK(record.event == event::kAgentBanned);
  CHECK(record.actor == "uid:0");
  REQUIRE(registry->DeleteNode(node.id, kAdmin));
  CHECK(One().event == event::kAgentEvicted);
}

TEST_CASE_METHOD(LogFixture, "log: a bundle's change names the authorities that came and went") {
  News();
  REQUIRE(registry->ChangeOwnBundle(
      [&](Bundle& own) -> Status {
        own.jwt_authorities.push_back({"k1", {1}, 5, false});
        return {};
      },
      kAdmin));
  AuditRecord record = One();
  CHECK(record.event == event::kBundleChanged);
  CHECK(Json::parse(record.detail)["jwt_added"] == Json::array({"k1"}));
  REQUIRE(registry->ChangeOwnBundle([&](Bundle& own) -> Status {
    own.jwt_authorities = {{"k2", {1}, 5, true}};
    return {};
  }));
  record = One();
  CHECK(record.actor == "server");
  const Json detail = Json::parse(record.detail);
  CHECK(detail["jwt_added"] == Json::array({"k2"}));
  CHECK(detail["jwt_tainted"] == Json::array({"k2"}));
  CHECK(detail["jwt_removed"] == Json::array({"k1"}));
}

}  // namespace signet::identity
