#include "tools/ctl/convert.h"

#include <catch2/catch.hpp>

namespace signet::ctl {
namespace {

TEST_CASE("an entry is filled from options and the mask names exactly what was given") {
  EntryOptions options;
  options.spiffe_id = "spiffe://example.org/web";
  options.selectors = {"unix:uid:1000", "unix:path:/a:b"};
  options.x509_ttl = "90s";
  spire::api::types::Entry entry;
  spire::api::types::EntryMask mask;
  REQUIRE(FillEntry(options, 0, &entry, &mask));
  CHECK(IdText(entry.spiffe_id()) == "spiffe://example.org/web");
  REQUIRE(entry.selectors_size() == 2);
  CHECK(entry.selectors(1).type() == "unix");
  CHECK(entry.selectors(1).value() == "path:/a:b");
  CHECK(entry.x509_svid_ttl() == 90);
  CHECK(mask.spiffe_id());
  CHECK(mask.selectors());
  CHECK(mask.x509_svid_ttl());
  CHECK_FALSE(mask.parent_id());
  CHECK_FALSE(mask.dns_names());
  CHECK_FALSE(mask.admin());
}

TEST_CASE("a malformed ID, selector or duration is refused before anything is sent") {
  spire::api::types::Entry entry;
  EntryOptions bad_id;
  bad_id.spiffe_id = "spiffe://Example.org/web";
  CHECK_FALSE(FillEntry(bad_id, 0, &entry, nullptr));
  EntryOptions bad_selector;
  bad_selector.selectors = {"unix"};
  CHECK_FALSE(FillEntry(bad_selector, 0, &entry, nullptr));
  EntryOptions bad_ttl;
  bad_ttl.x509_ttl = "soon";
  const auto refused = FillEntry(bad_ttl, 0, &entry, nullptr);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Code::kInvalidArgument);
  CHECK(refused.error().detail.find("--ttl") != std::string::npos);
}

TEST_CASE("an expiry is counted from now, and 0s takes it away") {
  spire::api::types::Entry entry;
  spire::api::types::EntryMask mask;
  EntryOptions options;
  options.expires_in = "1h";
  REQUIRE(FillEntry(options, 1000, &entry, &mask));
  CHECK(entry.expires_at() == 4600);
  options.expires_in = "0s";
  REQUIRE(FillEntry(options, 1000, &entry, &mask));
  CHECK(entry.expires_at() == 0);
  CHECK(mask.expires_at());
}

TEST_CASE("an entry's JSON holds IDs and selectors as people write them") {
  spire::api::types::Entry entry;
  REQUIRE(SetId("spiffe://example.org/web", entry.mutable_spiffe_id()));
  auto* selector = entry.add_selectors();
  selector->set_type("unix");
  selector->set_value("uid:1");
  const auto json = ToJson(entry);
  CHECK(json["spiffe_id"] == "spiffe://example.org/web");
  CHECK(json["selectors"][0] == "unix:uid:1");
}

}  // namespace
}  // namespace signet::ctl
