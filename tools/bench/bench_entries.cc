// bench_entries: what many entries cost signet-server at rest and at work, through its API over
// real connections: creating them, starting with them, the first SVID of an agent that comes then,
// and SPIRE agents that ask for theirs every five seconds.
//
//   bench_entries --bin build/release/bin --entries 100000
//   bench_entries --bin build/release/bin --entries 1000000 --agents 300
//
// A hundred entries belong to each agent. The agents that poll are real to the server: each has
// attested, holds a TLS connection of its own, and polls as SPIRE's does.
#include <CLI/CLI.hpp>
#include <atomic>
#include <cmath>
#include <random>

#include "spire/api/server/svid/v1/svid.grpc.pb.h"
#include "tools/bench/bench_client.h"
#include "tools/bench/bench_server.h"

namespace signet::bench {
namespace {

namespace svid_api = spire::api::server::svid::v1;
using Clock = std::chrono::steady_clock;
using std::chrono::duration;

constexpr std::size_t kEntriesOfAgent = 100;
constexpr std::size_t kInCall = 500;

struct Plan {
  std::string bin = ".";
  std::size_t entries = 100'000;
  std::size_t agents = 300;
  double polls = 60;  // a second, of all agents
  double time = 20;
};

double SecondsSince(Clock::time_point begun) {
  return duration<double>(Clock::now() - begun).count();
}

// As a cluster's: an ID by namespace and service account, three selectors.
void AddEntry(std::size_t number, const std::string& parent,
              entry_api::BatchCreateEntryRequest* request) {
  auto* entry = request->add_entries();
  entry->mutable_spiffe_id()->set_trust_domain("example.org");
  entry->mutable_spiffe_id()->set_path(
      fmt::format("/ns/team-{}/sa/service-{}", number % 97, number));
  entry->mutable_parent_id()->set_trust_domain("example.org");
  entry->mutable_parent_id()->set_path(parent);
  for (const std::string& value :
       {fmt::format("gid:{}", number % 1000),
        fmt::format("path:/usr/lib/services/service-{}", number), fmt::format("uid:{}", number)}) {
    auto* selector = entry->add_selectors();
    selector->set_type("unix");
    selector->set_value(value);
  }
}

void CreateAll(BenchServer& server, const std::vector<JoinedNode>& nodes, std::size_t entries) {
  const auto stub = entry_api::Entry::NewStub(server.admin().channel());
  const auto parent = [&](std::size_t number) {
    const std::size_t agent = number / kEntriesOfAgent;
    return agent < nodes.size() ? nodes[agent].path : fmt::format("/spire/agent/bench/{}", agent);
  };
  const auto create = [&](std::size_t from, std::size_t to) {
    const auto begun = Clock::now();
    const double cpu = server.child().CpuSeconds();
    for (std::size_t at = from; at < to; at += kInCall) {
      entry_api::BatchCreateEntryRequest request;
      for (std::size_t i = at; i < std::min(at + kInCall, to); ++i)
        AddEntry(i, parent(i), &request);
      grpc::ClientContext context;
      entry_api::BatchCreateEntryResponse response;
      Must(stub->BatchCreateEntry(&context, request, &response), "BatchCreateEntry");
      for (const auto& result : response.results())
        if (result.status().code() != 0) Die("BatchCreateEntry: " + result.status().message());
    }
    const auto count = static_cast<double>(to - from);
    fmt::print("create      {} to {}: {:.0f}/s, server CPU {:.0f} us each\n", from, to,
               count / SecondsSince(begun), (server.child().CpuSeconds() - cpu) * 1e6 / count);
  };
  const std::size_t part = std::max<std::size_t>(entries / 5, 1);
  for (std::size_t at = 0; at < entries; at += part) create(at, std::min(at + part, entries));
}

// How soon an agent that comes now holds an SVID of an entry that is made for it.
void FirstSvid(BenchServer& server, net::TlsDialer& dialer) {
  const std::string token = server.admin().CreateToken();
  const auto begun = Clock::now();
  const auto node = JoinNode(Dial(dialer, server.address(), std::nullopt), token);
  server.admin().CreateEntries(node.path, "uid:1", {"/first"});
  const auto channel = Dial(dialer, server.address(), node.identity);
  if (!channel) Die("the new agent was not let in");
  auto key = ca::PrivateKey::Generate(ca::KeyType::kEcP256);
  const auto csr = ca::MakeRequest(*key);
  svid_api::BatchNewX509SVIDRequest request;
  request.add_params()->set_entry_id(server.admin().last_created());
  request.mutable_params(0)->set_csr(ToString(*csr));
  grpc::ClientContext context;
  svid_api::BatchNewX509SVIDResponse response;
  Must(svid_api::SVID::NewStub(channel)->BatchNewX509SVID(&context, request, &response),
       "BatchNewX509SVID");
  if (response.results(0).status().code() != 0) Die(response.results(0).status().message());
  fmt::print("first SVID  {:.0f} ms after a new agent came: attested, entry created, minted\n",
             SecondsSince(begun) * 1e3);
}

void Restart(BenchServer& server) {
  server.Stop();
  const auto begun = Clock::now();
  server.Start();
  server.address();  // asked over the admin socket
  fmt::print("start       {:.2f} s until the admin socket answers, {:.2f} s of CPU, {:.0f} MB\n",
             SecondsSince(begun), server.child().CpuSeconds(), server.child().ResidentMegabytes());
}

void Idle(BenchServer& server, double time) {
  const double cpu = server.child().CpuSeconds();
  std::this_thread::sleep_for(duration<double>(time));
  fmt::print("idle        {:.2f} % of a core, {:.0f} MB\n",
             (server.child().CpuSeconds() - cpu) * 100 / time, server.child().ResidentMegabytes());
}

// ---- Polls

using Poll = void (*)(const std::shared_ptr<grpc::Channel>&);

void GetEntries(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::ClientContext context;
  entry_api::GetAuthorizedEntriesResponse answer;
  Must(entry_api::Entry::NewStub(channel)->GetAuthorizedEntries(&context, {}, &answer),
       "GetAuthorizedEntries");
  if (answer.entries_size() != kEntriesOfAgent) Die("an agent has other entries than were made");
}

void SyncEntries(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::ClientContext context;
  const auto stub = entry_api::Entry::NewStub(channel);
  const auto stream = stub->SyncAuthorizedEntries(&context);
  stream->Write({});
  entry_api::SyncAuthorizedEntriesResponse answer;
  std::size_t count = 0;
  do {
    if (!stream->Read(&answer)) break;
    count += static_cast<std::size_t>(answer.entries_size() + answer.entry_revisions_size());
  } while (answer.more());
  stream->WritesDone();
  Must(stream->Finish(), "SyncAuthorizedEntries");
  if (count != kEntriesOfAgent) Die("an agent has other entries than were made");
}

void GetBundle(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::ClientContext context;
  spire::api::types::Bundle bundle;
  Must(bundle_api::Bundle::NewStub(channel)->GetBundle(&context, {}, &bundle), "GetBundle");
}

void PollAs(BenchServer& server, const std::vector<std::shared_ptr<grpc::Channel>>& channels,
            const Plan& plan, const char* what, std::vector<Poll> calls) {
  const double idle = 1;  // second
  double at_rest = server.child().CpuSeconds();
  std::this_thread::sleep_for(duration<double>(idle));
  at_rest = (server.child().CpuSeconds() - at_rest) / idle;
  const double cpu = server.child().CpuSeconds();
  const auto begun = Clock::now();
  const auto polls = static_cast<std::size_t>(plan.polls * plan.time);
  for (std::size_t i = 0; i < polls; ++i) {
    std::this_thread::sleep_until(begun + duration<double>(static_cast<double>(i) / plan.polls));
    for (const Poll call : calls) call(channels[i % channels.size()]);
  }
  const double took = SecondsSince(begun);
  const double used = server.child().CpuSeconds() - cpu;
  fmt::print("poll        {}: {:.0f} us of server CPU ({:.0f} us without what it takes at rest)\n",
             what, used * 1e6 / static_cast<double>(polls),
             (used - at_rest * took) * 1e6 / static_cast<double>(polls));
}

void Polls(BenchServer& server, net::TlsDialer& dialer, const std::vector<JoinedNode>& nodes,
           const Plan& plan) {
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (const JoinedNode& node : nodes) {
    channels.push_back(Dial(dialer, server.address(), node.identity));
    if (!channels.back()) Die("an agent was not let in");
    GetBundle(channels.back());
  }
  fmt::print("            {} agents with {} entries each, {:.0f} polls/s\n", nodes.size(),
             kEntriesOfAgent, plan.polls);
  PollAs(server, channels, plan, "GetAuthorizedEntries", {GetEntries});
  PollAs(server, channels, plan, "SyncAuthorizedEntries", {SyncEntries});
  PollAs(server, channels, plan, "SyncAuthorizedEntries and GetBundle, as SPIRE's agent",
         {SyncEntries, GetBundle});
}

void Measure(const Plan& plan) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // it takes minutes
  const SystemClock clock;
  auto dialer = net::TlsDialer::Start(clock);
  if (!dialer) Die(dialer.error().Message());
  BenchServer server(plan.bin);
  std::vector<JoinedNode> nodes;
  std::shared_ptr<grpc::Channel> anonymous;
  for (std::size_t i = 0; i < std::min(plan.agents, plan.entries / kEntriesOfAgent); ++i) {
    if (i % 50 == 0) anonymous = Dial(**dialer, server.address(), std::nullopt);
    nodes.push_back(JoinNode(anonymous, server.admin().CreateToken()));
  }
  CreateAll(server, nodes, plan.entries);
  fmt::print("            {:.0f} MB after that\n", server.child().ResidentMegabytes());
  Restart(server);
  FirstSvid(server, **dialer);
  Idle(server, 10);
  if (!nodes.empty()) Polls(server, **dialer, nodes, plan);
}

}  // namespace
}  // namespace signet::bench

int main(int argc, char** argv) {
  CLI::App app("What many entries cost signet-server, at rest and at work.");
  signet::bench::Plan plan;
  app.add_option("--bin", plan.bin, "Folder with signet-server");
  app.add_option("--entries", plan.entries, "Entries");
  app.add_option("--agents", plan.agents, "Agents that poll");
  app.add_option("--polls", plan.polls, "Polls a second, of all of them");
  app.add_option("--time", plan.time, "Seconds of polling, each way");
  CLI11_PARSE(app, argc, argv);
  signet::bench::Measure(plan);
  return 0;
}
