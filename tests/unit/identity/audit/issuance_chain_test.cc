#include "identity/audit/issuance_chain.h"

#include <catch2/catch.hpp>
#include <set>

#include "tests/support/store_values.h"

namespace signet::identity {

TEST_CASE("issuance chain: each field and the hash before count") {
  const IssuanceRecord record = test::MakeIssuance(1);
  std::set<ca::Sha256Digest> hashes;
  hashes.insert(NextIssuanceHash(kIssuanceChainStart, record));
  hashes.insert(NextIssuanceHash(NextIssuanceHash(kIssuanceChainStart, record), record));
  for (std::string IssuanceRecord::* field :
       {&IssuanceRecord::serial, &IssuanceRecord::spiffe_id, &IssuanceRecord::purpose,
        &IssuanceRecord::entry_id, &IssuanceRecord::requested_by, &IssuanceRecord::authority_id}) {
    IssuanceRecord changed = record;
    changed.*field += "x";
    hashes.insert(NextIssuanceHash(kIssuanceChainStart, changed));
  }
  for (std::int64_t IssuanceRecord::* field :
       {&IssuanceRecord::entry_revision, &IssuanceRecord::not_before, &IssuanceRecord::not_after,
        &IssuanceRecord::recorded_at}) {
    IssuanceRecord changed = record;
    ++(changed.*field);
    hashes.insert(NextIssuanceHash(kIssuanceChainStart, changed));
  }
  CHECK(hashes.size() == 12);
}

TEST_CASE("issuance chain: text cannot move from one field to the next unseen") {
  IssuanceRecord a = test::MakeIssuance(1);
  IssuanceRecord b = a;
  a.purpose = "ab";
  a.entry_id = "c";
  b.purpose = "a";
  b.entry_id = "bc";
  CHECK(CanonicalIssuance(a) != CanonicalIssuance(b));
}

TEST_CASE("issuance chain: the encoding is the documented one") {
  IssuanceRecord record;
  record.serial = "0a";
  record.entry_revision = 258;
  const Bytes canonical = CanonicalIssuance(record);
  const std::string expected = std::string("signet issuance 1\n") + std::string("\0\0\0\2", 4) +
                               "0a" + std::string("\0\0\0\0\0\0\0\0\0\0\0\0", 12) +
                               std::string("\0\0\0\0\0\0\1\2", 8) + std::string(8, '\0') +
                               std::string(24, '\0');
  CHECK(AsText(canonical) == expected);
}

}  // namespace signet::identity
