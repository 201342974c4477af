// A real agent that is killed while its server is away, and what it then believes of its own disk.

#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "base/file.h"
#include "tests/support/agent_process.h"
#include "tests/support/workload_client.h"

namespace signet::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

const std::string kMine = "unix:uid:" + std::to_string(geteuid());

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr milliseconds kRestartLimit = seconds(10);  // sanitizers take their time
#else
constexpr milliseconds kRestartLimit{300};
#endif

struct Pair {
  Pair() : server(SIGNET_BIN) {
    server.Start();
    PinPort(server);
    agent = std::make_unique<AgentProcess>(SIGNET_BIN, server);
    agent->Start(CreateJoinToken(*server.Admin()));
    const std::string id = agent->AgentId();
    parent = id.substr(id.find('/', std::string("spiffe://").size()));
    Put("a", "/a");
    AwaitAnswer(1);
  }
  void Put(const std::string& id, const std::string& path) {
    CreateEntry(*server.Admin(), MakeEntry(id, path, parent, kMine));
  }
  std::string CachePath() const { return agent->folder() + "/data/cache.sealed"; }
  // The first answer with so many SVIDs.
  X509SVIDResponse AwaitAnswer(int svids) {
    const auto deadline = steady_clock::now() + seconds(30);
    while (steady_clock::now() < deadline)
      if (auto answer = FetchOnce(agent->socket());
          answer.status.ok() && answer.response.svids_size() == svids)
        return answer.response;
    FAIL("never served:\n" << agent->Output());
    return {};
  }
  // An agent that ends in order has kept all it held.
  void KeepAll() {
    agent->Stop();
    agent->Start();
  }

  ServerProcess server;
  std::unique_ptr<AgentProcess> agent;
  std::string parent;
};

}  // namespace

TEST_CASE("killed and started again while the server is away, the agent serves within 300 ms") {
  Pair pair;
  for (int i = 0; i < 50; ++i) pair.Put("more" + std::to_string(i), "/more/" + std::to_string(i));
  pair.AwaitAnswer(51);
  pair.KeepAll();
  pair.server.Kill();
  pair.agent->Kill();
  std::filesystem::remove(pair.agent->socket());  // a killed one leaves it
  const auto begun = steady_clock::now();
  pair.agent->Start();
  const X509SVIDResponse answer = pair.AwaitAnswer(51);
  const auto took = std::chrono::duration_cast<milliseconds>(steady_clock::now() - begun);
  CHECK(ca::ParseConcatenatedDer(AsBytes(answer.svids(0).x509_svid()), 10)->front().not_after() >
        std::chrono::system_clock::now());
  WARN("from the start of the process to the first answer: " << took.count() << " ms");
  CHECK(took <= kRestartLimit);
}

TEST_CASE("a cache that was tampered with is refused, said, and made anew from the server") {
  Pair pair;
  pair.agent->Stop();
  Bytes content = *ReadFile(pair.CachePath(), 1U << 28);
  content[content.size() / 2] ^= 1;
  REQUIRE(WriteFileAtomically(pair.CachePath(), content, 0600));
  pair.agent->Start();
  pair.AwaitAnswer(1);
  CHECK(pair.agent->Output().find("what was kept is refused") != std::string::npos);
  pair.KeepAll();
  pair.server.Kill();
  pair.agent->Kill();
  pair.agent->Start();
  pair.AwaitAnswer(1);
}

TEST_CASE("an older cache put back while the server is away serves nobody") {
  Pair pair;
  pair.agent->Stop();
  const Bytes older = *ReadFile(pair.CachePath(), 1U << 28);
  pair.agent->Start();
  pair.Put("b", "/b");
  pair.AwaitAnswer(2);
  pair.agent->Stop();
  pair.server.Kill();
  REQUIRE(WriteFileAtomically(pair.CachePath(), older, 0600));
  pair.agent->Start();
  CHECK(FetchOnce(pair.agent->socket()).status.error_code() == grpc::UNAVAILABLE);
  CHECK(pair.agent->Output().find("older than the last one written") != std::string::npos);
  pair.server.Start();
  pair.AwaitAnswer(2);
}

}  // namespace signet::test
