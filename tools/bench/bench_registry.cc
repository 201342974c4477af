// How fast the registry and its SQLite store are, and how much memory they take:
//   bench_registry [--entries 100000] [--folder /var/tmp]
// Fills a database in one process, then loads it in another, so that the memory told is that of a
// server that has just started.
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "identity/registry/registry.h"
#include "identity/store/sqlite/sqlite_store.h"

namespace signet::identity {
namespace {

constexpr int kEntriesOfAgent = 100;
constexpr int kBatch = 500;

TrustDomain Domain() {
  auto parsed = TrustDomain::Parse("example.org");
  CHECK_TRUE(parsed.has_value());
  return *parsed;
}

SpiffeId Id(const std::string& path) {
  auto parsed = SpiffeId::FromPath(Domain(), path);
  CHECK_TRUE(parsed.has_value());
  return *parsed;
}

SpiffeId Agent(int number) {
  return Id("/spire/agent/join_token/00000000-0000-4000-8000-" +
            std::to_string(100000000000 + number));
}

// As a cluster's: an ID by namespace and service account, three selectors, a hundred to an agent.
Entry MakeEntry(int number) {
  const std::string name = std::to_string(number);
  Entry entry;
  entry.spiffe_id = Id("/ns/team-" + std::to_string(number % 97) + "/sa/service-" + name);
  entry.parent_id = Agent(number / kEntriesOfAgent);
  entry.selectors = {{"unix", "gid:" + std::to_string(number % 1000)},
                     {"unix", "path:/usr/lib/services/service-" + name},
                     {"unix", "uid:" + name}};
  return entry;
}

double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double CpuSeconds(const std::function<void()>& work) {
  const std::clock_t start = std::clock();
  work();
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

double ResidentMegabytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::stod(line.substr(6)) / 1024;
  }
  return 0;
}

struct Server {
  SystemClock clock;
  OsRandom random;
  Logger log = Logger::Null();
  std::unique_ptr<SqliteStore> store;
  std::unique_ptr<Registry> registry;

  void Open(const std::string& path) {
    auto opened = SqliteStore::Open(path, Domain(), log);
    CHECK_TRUE(opened.has_value());
    store = *std::move(opened);
  }
  void Load() {
    auto loaded = Registry::Load(*store, Domain(), clock, random);
    CHECK_TRUE(loaded.has_value());
    registry = *std::move(loaded);
  }
};

void CreateRange(Registry& registry, int from, int count) {
  std::vector<Entry> batch;
  batch.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) batch.push_back(MakeEntry(from + i));
  for (const EntryOutcome& outcome : registry.CreateEntries(std::move(batch)))
    CHECK_TRUE(outcome.status.has_value());
}

void CreateBatches(Registry& registry, int from, int batches, const char* when) {
  const double seconds = Seconds([&] {
    for (int i = 0; i < batches; ++i) CreateRange(registry, from + i * kBatch, kBatch);
  });
  std::printf("create, %d a batch, %-22s %9.0f entries/s  %6.1f ms/batch\n", kBatch, when,
              batches * kBatch / seconds, seconds / batches * 1000);
}

void CreateSingly(Registry& registry, int from, int threads) {
  constexpr int kEach = 100;
  const double seconds = Seconds([&] {
    std::vector<std::jthread> running;
    for (int t = 0; t < threads; ++t) {
      running.emplace_back([&, t] {
        for (int i = 0; i < kEach; ++i) CreateRange(registry, from + t * kEach + i, 1);
      });
    }
  });
  std::printf("create, one at a time, %2d threads         %9.0f entries/s\n", threads,
              threads * kEach / seconds);
}

void AppendJournal(Store& store, int threads, std::size_t batch) {
  const AuditRecord record{.event = std::string(event::kIssued),
                           .recorded_at = 1,
                           .actor = Agent(1).ToString(),
                           .subject = "spiffe://example.org/ns/team-1/sa/service-1",
                           .object = "00000000-0000-4000-8000-000000000000",
                           .revision = 1,
                           .serial = "0123456789abcdef0123456789abcdef01234567",
                           .purpose = "workload",
                           .authority_id = "0123456789abcdef0123456789abcdef01234567",
                           .not_before = 1,
                           .not_after = 2,
                           .detail = {}};
  const std::vector<AuditRecord> records(batch, record);
  constexpr int kEach = 50;
  const double seconds = Seconds([&] {
    std::vector<std::jthread> running;
    for (int t = 0; t < threads; ++t) {
      running.emplace_back([&] {
        for (int i = 0; i < kEach; ++i) CHECK_TRUE(store.AppendRecords(records).has_value());
      });
    }
  });
  std::printf("journal, %3zu a call, %2d threads           %9.0f records/s  %6.0f calls/s\n", batch,
              threads, static_cast<double>(batch) * threads * kEach / seconds,
              threads * kEach / seconds);
}

void Fill(const std::string& path, int entries) {
  Server server;
  server.Open(path);
  server.Load();
  Registry& registry = *server.registry;
  CreateBatches(registry, 0, 10, "at 0");
  for (int from = 10 * kBatch; from < entries; from += kBatch) CreateRange(registry, from, kBatch);
  const std::string when = "at " + std::to_string(registry.CountEntries({}));
  CreateBatches(registry, entries, 10, when.c_str());
  const int next = entries + 10 * kBatch;
  CreateSingly(registry, next, 1);
  CreateSingly(registry, next + 10000, 16);
  AppendJournal(*server.store, 1, 1);
  AppendJournal(*server.store, 64, 1);
  AppendJournal(*server.store, 4, 500);
}

void MeasureLoaded(const std::string& path) {
  Server server;
  const double before = ResidentMegabytes();
  const double open = CpuSeconds([&] { server.Open(path); });
  const double load = CpuSeconds([&] { server.Load(); });
  Registry& registry = *server.registry;
  const std::size_t count = registry.CountEntries({});
  std::printf("open and check the database              %9.0f ms CPU\n", open * 1000);
  std::printf("load and index %zu entries            %9.0f ms CPU\n", count, load * 1000);
  const double after = ResidentMegabytes();
  std::printf(
      "resident memory                          %9.0f MB (%.0f MB before, %.0f bytes/entry)\n",
      after, before, (after - before) * 1048576 / static_cast<double>(count));
  constexpr int kRounds = 2000;
  std::size_t found = 0;
  const double authorized = CpuSeconds([&] {
    for (int i = 0; i < kRounds; ++i) found += registry.AuthorizedEntries(Agent(i % 1000)).size();
  });
  std::printf("authorized entries of an agent (%zu)      %9.1f us CPU\n", found / kRounds,
              authorized / kRounds * 1e6);
  const Entry entry = MakeEntry(4711);
  const double concerned = CpuSeconds([&] {
    for (int i = 0; i < kRounds; ++i) found += registry.AgentsConcerned(entry).size();
  });
  std::printf("agents concerned by an entry             %9.1f us CPU\n", concerned / kRounds * 1e6);
  EntryFilter filter;
  filter.selectors = EntryFilter::Selectors{entry.selectors, MatchBehavior::kExact};
  const double listed = CpuSeconds([&] {
    for (int i = 0; i < kRounds; ++i) found += registry.ListEntries(filter, 50, "")->items.size();
  });
  std::printf("list by exact selectors                  %9.1f us CPU\n", listed / kRounds * 1e6);
}

// Each part in a process of its own; false when it failed.
bool InChild(const std::function<void()>& work) {
  std::fflush(stdout);
  const pid_t child = ::fork();
  CHECK_TRUE(child >= 0);
  if (child == 0) {
    work();
    std::fflush(stdout);
    ::_exit(0);
  }
  int status = 0;
  return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace
}  // namespace signet::identity

int main(int argc, char** argv) {
  using namespace signet::identity;
  CLI::App app{"Measures the registry over SQLite"};
  int entries = 100000;
  std::string folder = std::filesystem::temp_directory_path();
  app.add_option("--entries", entries, "entries in the database")
      ->check(CLI::Range(5000, 10000000));
  app.add_option("--folder", folder, "where the database is made; what disk it is on counts");
  CLI11_PARSE(app, argc, argv);
  std::string made = folder + "/bench-registry-XXXXXX";
  if (::mkdtemp(made.data()) == nullptr) {
    std::fprintf(stderr, "cannot make a folder in %s\n", folder.c_str());
    return 1;
  }
  const std::string path = made + "/signet.db";
  const bool done = InChild([&] { Fill(path, entries); }) && InChild([&] { MeasureLoaded(path); });
  std::filesystem::remove_all(made);
  return done ? 0 : 1;
}
