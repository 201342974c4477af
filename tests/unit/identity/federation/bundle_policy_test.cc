#include "identity/federation/bundle_policy.h"

#include <catch2/catch.hpp>

#include "tests/support/test_pki.h"

namespace signet::identity {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

Bundle WithSequence(std::uint64_t sequence, bool empty = false) {
  static const test::TestAuthority authority("spiffe://one.test");
  Bundle bundle;
  bundle.sequence_number = sequence;
  if (!empty) bundle.x509_authorities.push_back({authority.certificate(), false});
  return bundle;
}

Duration Poll(std::int64_t hint, double jitter, bool has_bundle = true) {
  return NextPoll({.refresh_hint = hint, .has_bundle = has_bundle}, jitter);
}

}  // namespace

TEST_CASE(
    "a fetched bundle takes the place of an older one, or of none, and never of a newer one") {
  const Bundle held = WithSequence(5);
  CHECK(CheckReplaces(nullptr, WithSequence(0)));
  CHECK(CheckReplaces(nullptr, WithSequence(5)));
  CHECK(CheckReplaces(&held, WithSequence(6)));
  CHECK(CheckReplaces(&held, WithSequence(5)));
  const auto older = CheckReplaces(&held, WithSequence(4));
  CHECK(older.error().reason == kBundleOlder);
  CHECK(older.error().detail.find("4 after 5") != std::string::npos);
}

TEST_CASE("of bundles without sequence numbers the one fetched last counts") {
  const Bundle held = WithSequence(0);
  CHECK(CheckReplaces(&held, WithSequence(0)));
  CHECK(CheckReplaces(&held, WithSequence(1)));
  const Bundle numbered = WithSequence(5);
  CHECK(CheckReplaces(&numbered, WithSequence(0)));
}

TEST_CASE("a bundle without authorities revokes only when its sequence number says it is meant") {
  const Bundle held = WithSequence(5);
  const Bundle unnumbered = WithSequence(0);
  CHECK(CheckReplaces(nullptr, WithSequence(9, true)).error().reason == kBundleEmpty);
  CHECK(CheckReplaces(&held, WithSequence(0, true)).error().reason == kBundleEmpty);
  CHECK(CheckReplaces(&held, WithSequence(5, true)).error().reason == kBundleEmpty);
  CHECK(CheckReplaces(&unnumbered, WithSequence(0, true)).error().reason == kBundleEmpty);
  CHECK(CheckReplaces(&held, WithSequence(6, true)));
}

TEST_CASE("polls follow the hint with a little jitter, within a minute and a day") {
  CHECK(Poll(600, 0) == minutes(10));
  CHECK(Poll(600, 0.5) == seconds(570));
  CHECK(Poll(600, 0.999) > seconds(539));
  CHECK(Poll(0, 0) == minutes(5));
  CHECK(Poll(-7, 0) == minutes(5));
  CHECK(Poll(5, 0) == minutes(1));
  CHECK(Poll(60, 0.999) == minutes(1));
  CHECK(Poll(62, 0.999) == minutes(1));
  CHECK(Poll(INT64_MAX, 0) == hours(24));
  CHECK(Poll(600, 0.5, false) == minutes(1));
}

}  // namespace signet::identity
