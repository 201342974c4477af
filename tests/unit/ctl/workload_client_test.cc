// The command line as a client of the Workload API: the rows of workload_api_cases.json about
// clients.
#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/signing_authority.h"
#include "tools/ctl/workload_endpoint.h"
#include "tools/ctl/x509_response.h"

namespace signet::ctl {
namespace {

nlohmann::json Cases() {
  std::ifstream file(SIGNET_TEST_DATA "/cases/workload_api_cases.json");
  return nlohmann::json::parse(file);
}

const WallTime kNow = FromUnixSeconds(1767225600);

X509SVIDResponse GoodResponse() {
  const test::SigningAuthority authority("example.org", kNow);
  const auto key = ca::PrivateKey::Generate(ca::KeyType::kEcP256);
  const auto chain = authority.Certify(key->public_key(), "spiffe://example.org/one", kNow,
                                       kNow + std::chrono::hours(1));
  X509SVIDResponse response;
  for (int i = 0; i < 2; ++i) {
    X509SVID* svid = response.add_svids();
    svid->set_spiffe_id("spiffe://example.org/one");
    svid->set_x509_svid(ToString(ca::ConcatenateDer(chain)));
    svid->set_x509_svid_key(ToString(key->ToPkcs8().view()));
    svid->set_bundle(ToString(authority.root().der()));
  }
  (*response.mutable_federated_bundles())["spiffe://one.test"] = ToString(authority.root().der());
  return response;
}

TEST_CASE("addresses of the Workload API are read as the standard has them") {
  std::size_t rows = 0;
  const auto cases = Cases();
  for (const auto& row : cases["endpoint_addresses"]) {
    const std::string input = row["input"];
    INFO(input);
    const auto address = ParseWorkloadEndpoint(input);
    CHECK(address.has_value() == (row["verdict"] == "accept"));
    if (address && row["dial"].is_string()) {
      const std::string dial = row["dial"];
      CHECK(*address == (dial.starts_with("/") ? "unix:" + dial : dial));
    }
    ++rows;
  }
  CHECK(rows >= 22);
}

TEST_CASE("ports and hosts of a TCP address are numbers in range") {
  CHECK(ParseWorkloadEndpoint("tcp://[::1]:8000"));
  for (const char* wrong : {"tcp://127.0.0.1:0", "tcp://127.0.0.1:65536", "tcp://::1:8000",
                            "tcp://127.0.0.1:80x", "unix://", "unix:"})
    CHECK_FALSE(ParseWorkloadEndpoint(wrong));
}

TEST_CASE("a message that is not whole and well formed is not taken at all") {
  REQUIRE(ReadX509Response(GoodResponse()));
  CHECK(ReadX509Response(GoodResponse())->size() == 2);  // two empty hints: both kept
  auto response = GoodResponse();
  response.clear_svids();
  CHECK_FALSE(ReadX509Response(response));
  response = GoodResponse();
  response.mutable_svids(1)->mutable_x509_svid()->pop_back();
  CHECK_FALSE(ReadX509Response(response));
  response = GoodResponse();
  response.mutable_svids(0)->clear_x509_svid();
  CHECK_FALSE(ReadX509Response(response));
  response = GoodResponse();
  (*response.mutable_federated_bundles())["spiffe://one.test"] += "x";
  CHECK_FALSE(ReadX509Response(response));
}

}  // namespace
}  // namespace signet::ctl
