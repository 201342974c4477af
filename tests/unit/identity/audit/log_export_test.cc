#include "identity/audit/log_export.h"

#include <catch2/catch.hpp>

#include "tests/support/store_values.h"

namespace signet::identity {
namespace {

const std::string kDomain = "example.org";

struct Export {
  Export() {
    LogHead head;
    for (int i = 1; i <= 5; ++i) {
      AuditRecord record = test::MakeIssuance(i);
      record.detail = R"({"quote":"\"","n":1})";
      head = {head.seq + 1, NextLogHash(head.hash, record)};
      log.push_back({head, record});
    }
  }
  LogCheckpoint At(std::size_t count, const ca::PrivateKey& by) const {
    const LogHead head = log[count - 1].place;
    return {.head = head,
            .made_at = 9,
            .public_key = ToBytes(by.public_key().spki()),
            .signature =
                by.Sign(ca::SignatureAlgorithm::kEcdsaSha256, CheckpointMessage(kDomain, head, 9))
                    .value()};
  }
  std::vector<std::string> Lines(std::size_t count) const {
    std::vector<std::string> lines = {FormatLogStart(kDomain, {})};
    for (std::size_t i = 0; i < count; ++i) lines.push_back(FormatLogRecord(log[i]));
    return lines;
  }

  ca::PrivateKey key = ca::PrivateKey::Generate(ca::KeyType::kEcP256).value();
  std::vector<LoggedRecord> log;
};

Status Verify(LogExportVerifier& verifier, const std::vector<std::string>& lines) {
  for (const std::string& line : lines) SIGNET_RETURN_IF_ERROR(verifier.Line(line));
  return verifier.Finish();
}

}  // namespace

TEST_CASE_METHOD(Export, "log export: what is exported verifies, and says how far") {
  auto lines = Lines(5);
  lines.push_back(FormatLogCheckpoint(kDomain, At(5, key)));
  LogExportVerifier verifier;
  REQUIRE(Verify(verifier, lines));
  CHECK(verifier.trust_domain() == kDomain);
  CHECK(verifier.head() == log.back().place);
  CHECK(verifier.covered() == 5);
  const auto stated = ParseLogCheckpoint(lines.back());
  REQUIRE(stated);
  CHECK(stated->checkpoint.head == log[4].place);
  CHECK(VerifyCheckpoint(stated->trust_domain, stated->checkpoint, std::nullopt));
}

TEST_CASE_METHOD(Export, "log export: each way to lie is named") {
  auto lines = Lines(5);
  Reason expected = kLogChainBroken;
  SECTION("a changed field") {
    const auto at = lines[3].find("workload");
    lines[3].replace(at, 8, "workloae");
  }
  SECTION("a record left out") { lines.erase(lines.begin() + 3); }
  SECTION("a record twice") { lines.insert(lines.begin() + 3, lines[3]); }
  SECTION("a field left out") {
    lines[3] = "{\"seq\":3}";
    expected = kLogExportMalformed;
  }
  SECTION("no JSON") {
    lines[3] = "x";
    expected = kLogExportMalformed;
  }
  SECTION("no start") {
    lines.erase(lines.begin());
    expected = kLogExportMalformed;
  }
  SECTION("nothing") {
    lines.clear();
    expected = kLogExportMalformed;
  }
  SECTION("a line without end") {
    lines[3] = std::string(kLogLineBytes + 1, ' ');
    expected = kLogExportMalformed;
  }
  SECTION("a checkpoint of a longer log") {
    lines.pop_back();
    lines.push_back(FormatLogCheckpoint(kDomain, At(5, key)));
    expected = kLogCut;
  }
  SECTION("a checkpoint before what it covers ends") {
    lines.push_back(FormatLogCheckpoint(kDomain, At(4, key)));
    expected = kLogExportMalformed;
  }
  SECTION("a forged checkpoint") {
    auto forged = At(5, key);
    forged.made_at = 10;
    lines.push_back(FormatLogCheckpoint(kDomain, forged));
    expected = kCheckpointForged;
  }
  LogExportVerifier verifier;
  const auto refused = Verify(verifier, lines);
  REQUIRE(!refused);
  CHECK(refused.error().reason == expected);
}

TEST_CASE_METHOD(Export, "log export: a checkpoint kept elsewhere shows a tail cut with its own") {
  const auto other = ca::PrivateKey::Generate(ca::KeyType::kEcP256).value();
  LogExportVerifier verifier;
  REQUIRE(verifier.Expect({kDomain, At(4, key)}));
  auto lines = Lines(5);
  SECTION("the whole log holds it") { CHECK(Verify(verifier, lines)); }
  SECTION("a cut one does not reach it") {
    const auto refused = Verify(verifier, Lines(3));
    REQUIRE(!refused);
    CHECK(refused.error().reason == kLogCut);
  }
  SECTION("a rewritten one does not hold it") {
    auto& record = log[3];
    record.record.actor = "uid:7";
    record.place.hash = NextLogHash(log[2].place.hash, record.record);
    const auto refused = Verify(verifier, Lines(4));
    REQUIRE(!refused);
    CHECK(refused.error().reason == kLogChainBroken);
  }
  SECTION("checkpoints in it must be by the same key") {
    lines.push_back(FormatLogCheckpoint(kDomain, At(5, other)));
    const auto refused = Verify(verifier, lines);
    REQUIRE(!refused);
    CHECK(refused.error().reason == kCheckpointForged);
  }
  SECTION("another domain's log is not what it covers") {
    CHECK(!verifier.Line(FormatLogStart("example.com", {})));
  }
}

}  // namespace signet::identity
