// What a TLS connection between two SVIDs costs with net/tls.h: handshakes, memory, bulk and small
// messages. Both ends run in this process over socketpairs, so a figure is for both together; no
// other process and no network take part.
//
//   bench_handshake [--seconds 3] [--threads 1] [--peers 16] [--own-library]
#include <sys/resource.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <latch>
#include <thread>

#include "base/random.h"
#include "ca/authority/x509_authority.h"
#include "identity/svid/x509_svid.h"
#include "net/tls.h"

namespace signet {
namespace {

struct Settings {
  double seconds = 3;
  unsigned threads = 1;
  unsigned peers = 16;
  bool own_library = false;
};

template <class T>
T Must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "bench_handshake: %s\n", result.error().Message().c_str());
    std::exit(1);
  }
  return std::move(*result);
}

class SvidVerifier final : public net::PeerVerifier {
 public:
  SvidVerifier(identity::BundleMap bundles, const Clock& clock)
      : bundles_(std::move(bundles)), clock_(clock) {}
  Result<std::shared_ptr<const net::PeerIdentity>> Verify(
      std::span<const ca::Certificate> presented) const override {
    SIGNET_TRY(const auto verified, identity::VerifyX509Svid(presented, bundles_, clock_.Now()));
    return std::make_shared<const net::PeerIdentity>(
        net::PeerIdentity{verified.id.ToString(), verified.path, verified.valid_until});
  }

 private:
  identity::BundleMap bundles_;
  const Clock& clock_;
};

// A trust domain of one root, and the contexts of a server and of many clients in it.
struct World {
  explicit World(const Settings& wanted) : settings(wanted) {
    const WallTime now = clock.Now();
    const auto root_key = std::make_shared<const ca::PrivateKey>(
        Must(ca::PrivateKey::Generate(ca::KeyType::kEcP256)));
    ca::RootProfile root;
    root.uri_san = "spiffe://bench.example";
    root.not_before = now - std::chrono::hours(1);
    root.not_after = now + std::chrono::hours(24);
    authority = Must(ca::X509Authority::CreateRoot(root, root_key, random,
                                                   [](const auto&) { return Status(); }));
    identity::Bundle bundle;
    bundle.trust_domain = Must(identity::TrustDomain::Parse("bench.example"));
    bundle.x509_authorities.push_back({authority->certificate(), false});
    bundles.emplace(bundle.trust_domain, bundle);
  }
  net::TlsIdentity Issue(const std::string& path) {
    const auto key = std::make_shared<const ca::PrivateKey>(
        Must(ca::PrivateKey::Generate(ca::KeyType::kEcP256)));
    ca::LeafProfile profile;
    profile.uri_san = "spiffe://bench.example" + path;
    profile.not_before = clock.Now() - std::chrono::seconds(10);
    profile.not_after = clock.Now() + std::chrono::hours(1);
    const auto prepared = Must(authority->Prepare(key->public_key(), profile, random, clock.Now()));
    return {{Must(authority->Sign(prepared))}, key};
  }
  std::shared_ptr<const net::TlsContext> Context(net::TlsRole role, const net::TlsIdentity& who,
                                                 std::shared_ptr<const net::TlsLibrary> library) {
    net::TlsOptions options;
    options.role = role;
    options.library = std::move(library);
    return Must(net::TlsContext::Create(options, who,
                                        std::make_shared<const SvidVerifier>(bundles, clock)));
  }

  Settings settings;
  SystemClock clock;
  OsRandom random;
  std::shared_ptr<const ca::X509Authority> authority;
  identity::BundleMap bundles;
};

struct Connection {
  Connection(std::shared_ptr<const net::TlsContext> server_context,
             std::shared_ptr<const net::TlsContext> client_context,
             const std::shared_ptr<net::TlsScratch>& scratch) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) std::exit(1);
    server = std::make_unique<net::TlsStream>(std::move(server_context), UniqueFd(fds[0]), scratch);
    client = std::make_unique<net::TlsStream>(std::move(client_context), UniqueFd(fds[1]), scratch);
    net::IoStatus a = net::IoStatus::kWantRead, b = a;
    while (a != net::IoStatus::kOk || b != net::IoStatus::kOk) {
      if (b != net::IoStatus::kOk) b = client->Handshake();
      if (a != net::IoStatus::kOk) a = server->Handshake();
      if (a == net::IoStatus::kError || b == net::IoStatus::kError) {
        std::fprintf(stderr, "bench_handshake: %s\n", server->error().Message().c_str());
        std::exit(1);
      }
    }
  }
  std::unique_ptr<net::TlsStream> server, client;
};

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::size_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * 4096;
}

// Runs `work` until the time is over on each thread; answers how often it ran, and the seconds of
// wall and CPU time.
struct Measured {
  double count, wall, cpu;
};
template <class MakeWork>
Measured Measure(const World& world, unsigned threads, MakeWork make_work) {
  std::atomic<std::uint64_t> count{0};
  std::atomic<bool> stop{false};
  std::latch ready(threads + 1);
  std::vector<std::thread> running;
  for (unsigned i = 0; i < threads; ++i)
    running.emplace_back([&] {
      auto work = make_work();
      ready.arrive_and_wait();
      while (!stop) {
        work();
        ++count;
      }
    });
  ready.arrive_and_wait();
  const SteadyTime start = world.clock.SteadyNow();
  const double cpu = CpuSeconds();
  std::this_thread::sleep_for(std::chrono::duration<double>(world.settings.seconds));
  stop = true;
  for (std::thread& thread : running) thread.join();
  const std::chrono::duration<double> wall = world.clock.SteadyNow() - start;
  return {static_cast<double>(count), wall.count(), CpuSeconds() - cpu};
}

void Handshakes(World* world) {
  const net::TlsIdentity server = world->Issue("/server");
  std::vector<net::TlsIdentity> clients;
  for (unsigned i = 0; i < world->settings.peers; ++i)
    clients.push_back(world->Issue("/client/" + std::to_string(i)));
  const auto shared_server = world->Context(net::TlsRole::kServer, server, nullptr);
  // Library contexts must outlive the threads that used them.
  std::vector<std::shared_ptr<const net::TlsLibrary>> libraries;
  for (unsigned i = 0; i < world->settings.threads; ++i)
    libraries.push_back(world->settings.own_library ? Must(net::TlsLibrary::Create()) : nullptr);
  std::atomic<std::size_t> next_library{0};
  const Measured measured = Measure(*world, world->settings.threads, [&] {
    const auto library = libraries[next_library++];
    auto server_context =
        library == nullptr ? shared_server : world->Context(net::TlsRole::kServer, server, library);
    std::vector<std::shared_ptr<const net::TlsContext>> contexts;
    for (const net::TlsIdentity& client : clients)
      contexts.push_back(world->Context(net::TlsRole::kClient, client, library));
    return [server_context, contexts, scratch = std::make_shared<net::TlsScratch>(),
            turn = std::size_t{0}]() mutable {
      const Connection made(server_context, contexts[turn++ % contexts.size()], scratch);
    };
  });
  std::printf("handshakes, mutual, both ends   %8.0f /s   %7.1f us CPU each   (%u threads%s)\n",
              measured.count / measured.wall, measured.cpu * 1e6 / measured.count,
              world->settings.threads, world->settings.own_library ? ", own library contexts" : "");
}

void Memory(World* world) {
  constexpr std::size_t kConnections = 1000;
  const auto server = world->Context(net::TlsRole::kServer, world->Issue("/server"), nullptr);
  const auto client = world->Context(net::TlsRole::kClient, world->Issue("/client"), nullptr);
  const auto scratch = std::make_shared<net::TlsScratch>();
  std::vector<std::unique_ptr<Connection>> open;
  open.push_back(std::make_unique<Connection>(server, client, scratch));
  const std::size_t before = ResidentBytes();
  while (open.size() <= kConnections)
    open.push_back(std::make_unique<Connection>(server, client, scratch));
  std::printf("idle connection, one end        %8.1f kB\n",
              static_cast<double>(ResidentBytes() - before) / kConnections / 2 / 1000);
}

void Throughput(World* world, std::size_t size, const char* name) {
  const auto server = world->Context(net::TlsRole::kServer, world->Issue("/server"), nullptr);
  const auto client = world->Context(net::TlsRole::kClient, world->Issue("/client"), nullptr);
  const Measured measured = Measure(*world, 1, [&] {
    auto connection =
        std::make_shared<Connection>(server, client, std::make_shared<net::TlsScratch>());
    return [connection, size, out = Bytes(size), in = Bytes(size)]() mutable {
      for (std::size_t sent = 0, got = 0; got < size;) {
        if (sent < size) sent += connection->client->Write(ByteView(out).subspan(sent)).bytes;
        got += connection->server->Read(in).bytes;
      }
    };
  });
  std::printf("%-31s %8.2f us CPU each   %6.2f GB/s (both ends on one core)\n", name,
              measured.cpu * 1e6 / measured.count,
              measured.count * static_cast<double>(size) / measured.wall / 1e9);
}

}  // namespace
}  // namespace signet

int main(int argc, char** argv) {
  signet::Settings settings;
  CLI::App app("What TLS between two SVIDs costs");
  app.add_option("--seconds", settings.seconds, "of each measurement")->check(CLI::PositiveNumber);
  app.add_option("--threads", settings.threads, "that shake hands")->check(CLI::Range(1, 256));
  app.add_option("--peers", settings.peers, "different clients")->check(CLI::Range(1, 10000));
  app.add_flag("--own-library", settings.own_library, "an OpenSSL library context per thread");
  CLI11_PARSE(app, argc, argv);
  signet::World world(settings);
  signet::Memory(&world);
  signet::Handshakes(&world);
  signet::Throughput(&world, 200, "message of 200 B");
  signet::Throughput(&world, 64 * 1024, "block of 64 KiB");
  return 0;
}
