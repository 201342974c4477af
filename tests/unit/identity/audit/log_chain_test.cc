#include "identity/audit/log_chain.h"

#include <catch2/catch.hpp>
#include <set>

#include "tests/support/store_values.h"

namespace signet::identity {

TEST_CASE("log chain: each field and the hash before count") {
  const AuditRecord record = test::MakeIssuance(1);
  std::set<ca::Sha256Digest> hashes;
  hashes.insert(NextLogHash(kLogChainStart, record));
  hashes.insert(NextLogHash(NextLogHash(kLogChainStart, record), record));
  for (std::string AuditRecord::* field :
       {&AuditRecord::serial, &AuditRecord::subject, &AuditRecord::purpose, &AuditRecord::object,
        &AuditRecord::actor, &AuditRecord::authority_id, &AuditRecord::event,
        &AuditRecord::detail}) {
    AuditRecord changed = record;
    changed.*field += "x";
    hashes.insert(NextLogHash(kLogChainStart, changed));
  }
  for (std::int64_t AuditRecord::* field : {&AuditRecord::revision, &AuditRecord::not_before,
                                            &AuditRecord::not_after, &AuditRecord::recorded_at}) {
    AuditRecord changed = record;
    ++(changed.*field);
    hashes.insert(NextLogHash(kLogChainStart, changed));
  }
  CHECK(hashes.size() == 14);
}

TEST_CASE("log chain: text cannot move from one field to the next unseen") {
  AuditRecord a = test::MakeIssuance(1);
  AuditRecord b = a;
  a.purpose = "ab";
  a.object = "c";
  b.purpose = "a";
  b.object = "bc";
  CHECK(CanonicalRecord(a) != CanonicalRecord(b));
}

TEST_CASE("log chain: the encodings are the documented ones") {
  AuditRecord record;
  record.serial = "0a";
  record.revision = 258;
  const std::string number = std::string("\0\0\0\0\0\0\1\2", 8);
  const std::string serial = std::string("\0\0\0\2", 4) + "0a";
  CHECK(AsText(CanonicalRecord(record)) == "signet issuance 1\n" + serial + std::string(12, '\0') +
                                               number + std::string(8, '\0') +
                                               std::string(24, '\0'));
  record.event = "e";
  record.detail = "{}";
  CHECK(AsText(CanonicalRecord(record)) ==
        "signet log 2\n" + std::string("\0\0\0\1e", 5) + std::string(8 + 12, '\0') + number +
            serial + std::string(8 + 16, '\0') + std::string("\0\0\0\2{}", 6));
}

namespace {

LogCheckpoint Signed(const ca::PrivateKey& key, const LogHead& head) {
  const Bytes message = CheckpointMessage("example.org", head, 7);
  return {.head = head,
          .made_at = 7,
          .public_key = ToBytes(key.public_key().spki()),
          .signature = key.Sign(ca::SignatureAlgorithm::kEcdsaSha256, message).value()};
}

}  // namespace

TEST_CASE("log chain: a checkpoint holds for its domain, head, time and key only") {
  const auto key = ca::PrivateKey::Generate(ca::KeyType::kEcP256).value();
  const auto other = ca::PrivateKey::Generate(ca::KeyType::kEcP256).value();
  const LogHead head{3, ca::Sha256(AsBytes("x"))};
  const LogCheckpoint good = Signed(key, head);
  CHECK(VerifyCheckpoint("example.org", good, std::nullopt));
  CHECK(VerifyCheckpoint("example.org", good, ToBytes(key.public_key().spki())));
  CHECK(!VerifyCheckpoint("example.org", good, ToBytes(other.public_key().spki())));
  CHECK(!VerifyCheckpoint("example.com", good, std::nullopt));
  LogCheckpoint changed = good;
  SECTION("the number") { ++changed.head.seq; }
  SECTION("the hash") { changed.head.hash[0] ^= 1; }
  SECTION("the time") { ++changed.made_at; }
  SECTION("the key") { changed.public_key = ToBytes(other.public_key().spki()); }
  SECTION("no key") { changed.public_key.clear(); }
  const auto refused = VerifyCheckpoint("example.org", changed, std::nullopt);
  REQUIRE(!refused);
  CHECK(refused.error().reason == kCheckpointForged);
}

TEST_CASE(
    "log chain: the verifier follows a whole chain and names the first record that is not it") {
  std::vector<LoggedRecord> log;
  LogHead head;
  for (int i = 1; i <= 4; ++i) {
    const AuditRecord record = test::MakeIssuance(i);
    head = {head.seq + 1, NextLogHash(head.hash, record)};
    log.push_back({head, record});
  }
  LogVerifier whole;
  for (const auto& logged : log) CHECK(whole.Follow(logged));
  CHECK(whole.head() == log.back().place);
  LogVerifier from_base(log[1].place);
  CHECK(from_base.Follow(log[2]));

  LogVerifier broken;
  REQUIRE(broken.Follow(log[0]));
  SECTION("a gap") { log[1] = log[2]; }
  SECTION("a change") { log[1].record.actor = "uid:0"; }
  SECTION("another hash") { log[1].place.hash[31] ^= 1; }
  const auto refused = broken.Follow(log[1]);
  REQUIRE(!refused);
  CHECK(refused.error().reason == kLogChainBroken);
  CHECK(refused.error().detail.find("record 2") != std::string::npos);
}

}  // namespace signet::identity
