#include "proxy/telemetry/counters.h"

#include <catch2/catch.hpp>
#include <set>
#include <thread>

#include "ca/x509/path.h"
#include "identity/svid/x509_svid.h"
#include "net/tls.h"
#include "proxy/identity/peer_verifier.h"

namespace signet::proxy {
namespace {

bool Has(const std::string& text, const std::string& line) {
  return text.find(line + "\n") != std::string::npos;
}

TEST_CASE("counts of all workers are summed when read") {
  Metrics metrics;
  ProxyCounters counters(metrics, 3);
  const auto web = counters.OfListener(Direction::kInbound, "web");
  web->cell(0).opened.Add();
  web->cell(2).opened.Add(2);
  web->cell(1).closed[static_cast<std::size_t>(Ending::kIdle)].Add();
  web->cell(1).refused[static_cast<std::size_t>(Refusal::kNotAllowed)].Add(4);
  const std::string text = metrics.Text();
  CHECK(
      Has(text, R"(signet_proxy_connections_opened_total{direction="inbound",listener="web"} 3)"));
  CHECK(Has(text, R"(signet_proxy_connections_active{direction="inbound",listener="web"} 2)"));
  CHECK(Has(
      text,
      R"(signet_proxy_connections_closed_total{direction="inbound",listener="web",reason="idle"} 1)"));
  CHECK(Has(
      text,
      R"(signet_proxy_refused_total{direction="inbound",listener="web",reason="not_allowed"} 4)"));
}

TEST_CASE("a listener that comes back after a reload continues its counts") {
  Metrics metrics;
  ProxyCounters counters(metrics, 1);
  counters.OfListener(Direction::kOutbound, "db")->cell(0).opened.Add();
  counters.OfListener(Direction::kOutbound, "db")->cell(0).opened.Add();
  CHECK(Has(metrics.Text(),
            R"(signet_proxy_connections_opened_total{direction="outbound",listener="db"} 2)"));
}

TEST_CASE("a cell may be read while its worker writes it") {
  Metrics metrics;
  ProxyCounters counters(metrics, 2);
  const auto web = counters.OfListener(Direction::kInbound, "web");
  const auto work = [&](std::size_t worker) {
    for (int i = 0; i < 20000; ++i) web->cell(worker).received_bytes.Add(2);
  };
  std::thread first(work, 0), second(work, 1);
  for (int i = 0; i < 50; ++i) (void)metrics.Text();
  first.join();
  second.join();
  CHECK(web->Sum([](const Cell& c) -> const Tally& { return c.received_bytes; }) == 80000);
}

TEST_CASE("each refusal and each ending has a name of its own") {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kRefusalCount; ++i)
    names.insert(RefusalName(static_cast<Refusal>(i)));
  CHECK(names.size() == kRefusalCount);
  CHECK_FALSE(names.contains(""));
  names.clear();
  for (std::size_t i = 0; i < kEndingCount; ++i) names.insert(EndingName(static_cast<Ending>(i)));
  CHECK(names.size() == kEndingCount);
  CHECK_FALSE(names.contains(""));
}

TEST_CASE("verification failures are told apart in the closed set of reasons") {
  CHECK(RefusalOf(net::kTlsNoPeerCertificate) == Refusal::kNoClientCertificate);
  CHECK(RefusalOf(net::kTlsHandshakeFailed) == Refusal::kHandshakeFailed);
  CHECK(RefusalOf(ca::kCertificateExpired) == Refusal::kCertificateExpired);
  CHECK(RefusalOf(ca::kPathUntrusted) == Refusal::kCertificateUntrusted);
  CHECK(RefusalOf(identity::kNoBundleForTrustDomain) == Refusal::kCertificateUntrusted);
  CHECK(RefusalOf(identity::kSvidMalformed) == Refusal::kCertificateInvalid);
  CHECK(RefusalOf(kUnexpectedPeer) == Refusal::kUnexpectedPeer);
  CHECK(RefusalOf(Reason{"something new"}) == Refusal::kCertificateInvalid);
}

}  // namespace
}  // namespace signet::proxy
