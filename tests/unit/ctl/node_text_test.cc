#include "tools/ctl/node_text.h"

#include <catch2/catch.hpp>

#include <nlohmann/json.hpp>

namespace signet::ctl {
namespace {

namespace api = signet::node::v1;

api::GetStatusResponse Example() {
  api::GetStatusResponse status;
  status.set_health(api::GetStatusResponse::WARNING);
  auto* problem = status.add_problems();
  problem->set_health(api::GetStatusResponse::WARNING);
  problem->set_text("the server was last heard 6m ago");
  status.set_trust_domain("example.org");
  status.set_agent_id("spiffe://example.org/spire/agent/join_token/x");
  status.set_agent_svid_ends_at(4600);
  status.set_started_at(400);
  status.mutable_sync()->set_server("10.0.0.5:8081");
  status.mutable_sync()->set_mode("away");
  status.mutable_sync()->set_revision(17);
  status.mutable_sync()->set_heard_at(640);
  auto* svids = status.mutable_svids();
  svids->set_fresh(2);
  svids->set_late(1);
  svids->set_soonest_end_at(1600);
  auto* svid = svids->add_listed();
  svid->set_entry_id("e1");
  svid->set_spiffe_id("spiffe://example.org/web");
  svid->set_state("late");
  svid->set_ends_at(1600);
  svid->set_renewal_at(940);
  svid->set_failures(4);
  auto* caller = status.add_callers();
  caller->set_pid(4711);
  caller->set_uid(1000);
  caller->set_gid(100);
  caller->set_socket("public");
  caller->set_connections(1);
  caller->set_streams(3);
  status.set_connections(1);
  auto* attestor = status.add_attestors();
  attestor->set_name("docker");
  attestor->set_failures(2);
  attestor->set_error("engine away");
  return status;
}

TEST_CASE("an agent's status names problems, SVIDs by when they end, and callers") {
  const std::string text = NodeStatusText(Example(), 1000);
  for (const char* part :
       {"Health:         warning", "Server:         10.0.0.5:8081 (away)", "Last heard:     6m ago",
        "Its SVID ends:  in 1h", "X.509-SVIDs:    2 fresh, 1 late", "Soonest end:    in 10m",
        "Attestors:      docker (failing: engine away)",
        "\nwarning: the server was last heard 6m ago\n",
        "SPIFFE ID                 STATE  ENDS    RENEWAL  FAILURES  ENTRY\n"
        "spiffe://example.org/web  late   in 10m  1m ago   4         e1\n",
        "PID   UID   GID  SOCKET  CONNECTIONS  STREAMS\n"
        "4711  1000  100  public  1            3\n"}) {
    INFO(text << "\nlacks: " << part);
    CHECK(text.find(part) != std::string::npos);
  }
}

TEST_CASE("an agent that is not attested is said to be so") {
  const std::string text = NodeStatusText(api::GetStatusResponse(), 1000);
  CHECK(text.find("Agent:        not attested") != std::string::npos);
  CHECK(text.find("not since the start") != std::string::npos);
  CHECK(text.find("Its SVID ends") == std::string::npos);
}

TEST_CASE("as JSON an agent's status has plain numbers and all lists") {
  const auto json = nlohmann::json::parse(NodeStatusJson(Example()));
  CHECK(json["health"] == "warning");
  CHECK(json["problems"][0]["text"] == "the server was last heard 6m ago");
  CHECK(json["sync"]["heard_at"] == 640);
  CHECK(json["svids"]["listed"][0]["renewal_at"] == 940);
  CHECK(json["callers"][0]["streams"] == 3);
  CHECK(json["attestors"][0]["failures"] == 2);
  const auto empty = nlohmann::json::parse(NodeStatusJson({}));
  CHECK(empty["health"] == "unknown");
  CHECK(empty["callers"].is_array());
}

}  // namespace
}  // namespace signet::ctl
