// What is SQLite's own: the file, its refusals, group commit, a full disk, a kill at any moment.
#include "identity/store/sqlite/sqlite_store.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <fstream>
#include <latch>
#include <random>
#include <set>
#include <thread>

#include "base/file.h"
#include "identity/audit/log_chain.h"
#include "tests/support/store_values.h"
#include "tests/support/temp_dir.h"

namespace signet::identity {
namespace {

using test::Domain;
using test::MakeEntry;
using test::MakeIssuance;

constexpr Reason kRefusedByTest{"refused by the test"};

const Logger& NullLog() {
  static const Logger log = Logger::Null();
  return log;
}

Result<std::unique_ptr<SqliteStore>> Open(const std::string& path, SqliteSettings settings = {}) {
  return SqliteStore::Open(path, Domain(), NullLog(), settings);
}

Result<Revision> PutEntry(Store& store, const Entry& entry) {
  return store.Commit([&](Transaction& transaction) { return transaction.entries().Put(entry); });
}

// How many records the log holds; fails as LogVerifier does.
Result<std::size_t> VerifyLog(SqliteStore& store) {
  LogVerifier verifier(store.LoadLogBase().value());
  const auto log = store.LoadLog({.limit = 1'000'000}).value();
  for (const LoggedRecord& logged : log) SIGNET_RETURN_IF_ERROR(verifier.Follow(logged));
  return log.size();
}

// Runs SQL on the file as another process might; answers the first column of the first row.
std::string Sql(const std::string& path, const std::string& sql) {
  sqlite3* database = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &database) == SQLITE_OK);
  std::string first;
  const auto collect = [](void* out, int columns, char** values, char**) {
    auto* text = static_cast<std::string*>(out);
    if (text->empty() && columns > 0 && values[0] != nullptr) *text = values[0];
    return 0;
  };
  char* message = nullptr;
  const int code = sqlite3_exec(database, sql.c_str(), collect, &first, &message);
  if (code != SQLITE_OK) first = std::string("error: ") + (message == nullptr ? "" : message);
  sqlite3_free(message);
  sqlite3_close(database);
  return first;
}

Bytes Content(const std::string& path) {
  auto content = ReadFile(path, 64U << 20);
  REQUIRE(content);
  return *std::move(content);
}

void WriteText(const std::string& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

}  // namespace

TEST_CASE("sqlite: the file is made for its owner alone, and others are shut out of an old one") {
  const test::TempDir folder;
  const std::string path = folder.File("signet.db");
  REQUIRE(Open(path));
  struct stat status = {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  REQUIRE(::chmod(path.c_str(), 0644) == 0);
  auto store = Open(path);
  REQUIRE(store);
  REQUIRE(PutEntry(**store, MakeEntry(1)));
  for (const char* suffix : {"", "-wal", "-shm"}) {
    REQUIRE(::stat((path + suffix).c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
  }
}

TEST_CASE("sqlite: durability and integrity settings are in force") {
  const test::TempDir folder;
  const std::string path = folder.File("signet.db");
  auto store = Open(path);
  REQUIRE(store);
  CHECK(Sql(path, "PRAGMA journal_mode") == "wal");
  // The list rows of a removed entry go with it: foreign keys are enforced.
  REQUIRE(PutEntry(**store, MakeEntry(1)));
  REQUIRE((*store)->Commit(
      [](Transaction& transaction) { return transaction.entries().Remove("entry-1"); }));
  CHECK(Sql(path, "SELECT count(*) FROM entry_selectors") == "0");
}

TEST_CASE("sqlite: a missing folder is unavailable, with a hint") {
  const auto store = Open("/nonexistent-folder/signet.db");
  REQUIRE(!store);
  CHECK(store.error().reason == kStoreUnavailable);
  CHECK(store.error().detail.find("folder") != std::string::npos);
}

TEST_CASE("sqlite: a folder in place of the file is refused") {
  const test::TempDir folder;
  const auto store = Open(folder.path());
  REQUIRE(!store);
  CHECK(store.error().reason == kStoreUnavailable);
}

TEST_CASE("sqlite: a file that is no database is refused as corrupt and left as it is") {
  const test::TempDir folder;
  const std::string path = folder.File("signet.db");
  const std::string text(10000, 'x');
  WriteText(path, text);
  const auto store = Open(path);
  REQUIRE(!store);
  CHECK(store.error().reason == kStoreCorrupt);
  CHECK(store.error().code == Code::kDataLoss);
  CHECK(AsText(Content(path)) == text);
}

TEST_CASE("sqlite: a damaged database is refused as corrupt and left as it is") {
  const test::TempDir folder;
  const std::string path = folder.File("signet.db");
  {
    auto store = Open(path);
    REQUIRE(store);
    REQUIRE((*store)->Commit([](Transaction& transaction) -> Status {
      for (int i = 0; i < 200; ++i) SIGNET_RETURN_IF_ERROR(transaction.entries().Put(MakeEntry(i)));
      return {};
    }));
  }
  const std::string before = ToString(Content(path));
  REQUIRE(before.size() > 3 * 4096);
  const std::size_t page = GENERATE(1, 2, 3);
  CAPTURE(page);
  std::string damaged = before;
  // Page 1's schema, or the cell pointers of a page of the first tables.
  const std::size_t at = page == 1 ? 100 : (page - 1) * 4096;
  damaged.replace(at, 64, std::string(64, '\xee'));
  WriteText(path, damaged);
  const auto store = Open(path);
  REQUIRE(!store);
  CHECK(store.error().reason == kStoreCorrupt);
  CHECK(AsText(Content(path)) == damaged);
}

TEST_CASE("sqlite: a database of a newer program is refused and not touched") {
  const test::TempDir folder;
  const std::string path = folder.File("signet.db");
  REQUIRE(Open(path));
  SECTION("it has a step this program does not know") {
    Sql(path, "INSERT INTO schema_migrations VALUES (9999, 'later', 'aa')");
  }
  SECTION("one of its steps is another than this program's") {
    Sql(path, "UPDATE schema_migrations SET checksum = 'aa' WHERE number = 1");
  }
  const Bytes before = Content(path);
  const auto store = Open(path);
  REQUIRE(!store);
  CHECK(store.error().reason == kStoreNewer);
  CHECK(store.error().detail.find("run the program that wrote it") != std::string::npos);
  CHECK(Content(path) == before);
}

TEST_CASE(
    "sqlite: a database of another trust domain, or of another program, is refused and not "
    "touched") {
  const test::TempDir folder;
  const std::string path = folder.File("signet.db");
  SECTION("another trust domain") {
    REQUIRE(SqliteStore::Open(path, Domain("other.org"), NullLog()));
  }
  SECTION("another program") { Sql(path, "CREATE TABLE theirs (x)"); }
  const Bytes before = Content(path);
  const auto store = Open(path);
  REQUIRE(!store);
  CHECK(store.error().reason == kStoreForeign);
  CHECK(Content(path) == before);
}

TEST_CASE(
    "sqlite: a locked database is unavailable at open and at commit, and serves when released") {
  const test::TempDir folder;
  const std::string path = folder.File("signet.db");
  const SqliteSettings impatient{.busy_timeout = std::chrono::milliseconds(20)};
  auto store = Open(path, impatient);
  REQUIRE(store);
  sqlite3* other = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &other) == SQLITE_OK);
  REQUIRE(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_OK);

  const auto refused = PutEntry(**store, MakeEntry(1));
  REQUIRE(!refused);
  CHECK(refused.error().reason == kStoreUnavailable);
  CHECK(refused.error().detail.find("another process") != std::string::npos);
  CHECK((*store)->LoadEntries()->empty());

  REQUIRE(sqlite3_exec(other, "ROLLBACK", nullptr, nullptr, nullptr) == SQLITE_OK);
  CHECK(PutEntry(**store, MakeEntry(1)));

  store->reset();
  REQUIRE(sqlite3_exec(other, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE", nullptr, nullptr,
                       nullptr) == SQLITE_OK);
  const auto second = Open(path, impatient);
  REQUIRE(!second);
  CHECK(second.error().reason == kStoreUnavailable);
  CHECK(second.error().detail.find("another process") != std::string::npos);
  sqlite3_close(other);
  CHECK(Open(path, impatient));
}

TEST_CASE(
    "sqlite: waiting transactions beyond the bound are refused; those in one group fail alone") {
  const test::TempDir folder;
  const std::string path = folder.File("signet.db");
  auto opened = Open(path, {.queue_limit = 3});
  REQUIRE(opened);
  SqliteStore& store = **opened;
  std::latch writing(1);
  std::latch released(1);
  std::jthread first([&] {
    static_cast<void>(store.Commit([&](Transaction&) -> Status {
      writing.count_down();
      released.wait();
      return {};
    }));
  });
  writing.wait();
  // The writer is held; three more fill the queue. Appends to it are refused from then on.
  std::vector<Result<Revision>> outcomes(3, Revision{0});
  std::vector<std::jthread> waiting;
  for (int i = 0; i < 3; ++i) {
    waiting.emplace_back([&, i] {
      outcomes[static_cast<std::size_t>(i)] = store.Commit([&](Transaction& transaction) -> Status {
        SIGNET_RETURN_IF_ERROR(transaction.entries().Put(MakeEntry(i)));
        if (i == 1) return Fail(Code::kAborted, kRefusedByTest);
        return {};
      });
    });
  }
  std::vector<std::jthread> extra;
  // Until the three have arrived an extra one may get in and would block this thread, so each has
  // its own.
  std::atomic<bool> busy = false;
  std::atomic<int> accepted = 0;
  while (!busy) {
    extra.emplace_back([&] {
      const Status status = store.AppendRecords({MakeIssuance(1)});
      if (status) ++accepted;
      if (!status && status.error().reason == kStoreBusy &&
          status.error().code == Code::kResourceExhausted) {
        busy = true;
      }
    });
    std::this_thread::yield();
  }
  released.count_down();
  extra.clear();
  waiting.clear();
  int succeeded = 0;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    if (outcomes[i]) {
      CHECK(i != 1);
      ++succeeded;
    } else {
      CHECK((outcomes[i].error().reason == kRefusedByTest ||
             outcomes[i].error().reason == kStoreBusy));
    }
  }
  CHECK(store.LoadEntries()->size() == static_cast<std::size_t>(succeeded));
  CHECK(test::LoadIssuances(store, "", 10000).size() == static_cast<std::size_t>(accepted));
}

TEST_CASE("sqlite: a full disk refuses changes, loses nothing, and heals without a restart") {
  const test::TempDir folder;
  const std::string path = folder.File("signet.db");
  auto opened = Open(path);
  REQUIRE(opened);
  SqliteStore& store = **opened;
  REQUIRE(PutEntry(store, MakeEntry(0)));

  // A limit on file size stands for the full disk: writes beyond it fail, as they do there.
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  struct sigaction previous = {};
  REQUIRE(::sigaction(SIGXFSZ, &ignore, &previous) == 0);
  rlimit limit = {};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &limit) == 0);
  rlimit low = limit;
  low.rlim_cur = 512 * 1024;
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &low) == 0);
  int accepted = 1;
  std::optional<Error> refused;
  for (int batch = 0; batch < 100 && !refused; ++batch) {
    const auto outcome = store.Commit([&](Transaction& transaction) -> Status {
      for (int i = 0; i < 100; ++i) {
        SIGNET_RETURN_IF_ERROR(transaction.entries().Put(MakeEntry(1 + batch * 100 + i)));
      }
      return {};
    });
    if (outcome) {
      accepted += 100;
    } else {
      refused = outcome.error();
    }
  }
  const Status issuance = store.AppendRecords(std::vector<AuditRecord>(2000, MakeIssuance(1)));
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
  REQUIRE(::sigaction(SIGXFSZ, &previous, nullptr) == 0);

  REQUIRE(refused);
  CAPTURE(refused->Message());
  CHECK(refused->reason == kStoreFull);
  CHECK(refused->code == Code::kResourceExhausted);
  REQUIRE(!issuance);
  CHECK(issuance.error().reason == kStoreFull);
  CHECK(store.LoadEntries()->size() == static_cast<std::size_t>(accepted));

  CHECK(PutEntry(store, MakeEntry(100000)));
  CHECK(store.AppendRecords({MakeIssuance(1)}));
  opened->reset();
  opened = Open(path);
  REQUIRE(opened);
  CHECK((*opened)->LoadEntries()->size() == static_cast<std::size_t>(accepted) + 1);
  CHECK(VerifyLog(**opened).value() == 1);
}

TEST_CASE("sqlite: the issuance journal refuses changes, and shows those forced on it") {
  const test::TempDir folder;
  const std::string path = folder.File("signet.db");
  auto store = Open(path);
  REQUIRE(store);
  for (int i = 0; i < 5; ++i)
    REQUIRE((*store)->AppendRecords({MakeIssuance(i), MakeIssuance(i + 10)}));
  CHECK(VerifyLog(**store).value() == 10);
  CHECK(Sql(path, "UPDATE audit_log SET spiffe_id = 'x'") == "error: the log is append-only");
  CHECK(Sql(path, "DELETE FROM audit_log WHERE seq = 3") == "error: the log is append-only");
  CHECK(VerifyLog(**store).value() == 10);

  Sql(path, "DROP TRIGGER audit_log_is_not_changed; DROP TRIGGER audit_log_is_not_removed");
  SECTION("a changed field") {
    Sql(path, "UPDATE audit_log SET not_after = not_after + 1 WHERE seq = 4");
  }
  SECTION("a removed record") { Sql(path, "DELETE FROM audit_log WHERE seq = 4"); }
  SECTION("a removed record, the gap closed") {
    Sql(path,
        "DELETE FROM audit_log WHERE seq = 4; UPDATE audit_log SET seq = seq - 1 WHERE seq > 4");
  }
  SECTION("two records changed over") {
    Sql(path,
        "UPDATE audit_log SET seq = 99 WHERE seq = 4; UPDATE audit_log SET seq = 4 WHERE seq = 5;"
        "UPDATE audit_log SET seq = 5 WHERE seq = 99");
  }
  const auto verified = VerifyLog(**store);
  REQUIRE(!verified);
  CHECK(verified.error().reason == kLogChainBroken);
  CHECK(verified.error().detail.find("record 4") != std::string::npos);
}

TEST_CASE("sqlite: a row that does not parse is corruption, not a crash") {
  const test::TempDir folder;
  const std::string path = folder.File("signet.db");
  auto store = Open(path);
  REQUIRE(store);
  REQUIRE(PutEntry(**store, MakeEntry(1)));
  Sql(path, "UPDATE entries SET spiffe_id = 'https://x'");
  const auto entries = (*store)->LoadEntries();
  REQUIRE(!entries);
  CHECK(entries.error().reason == kStoreCorrupt);
}

namespace {

// Commits entries and issuances until killed; each acknowledged number is written to
// `acknowledged`.
[[noreturn]] void CommitUntilKilled(const std::string& path, int from, int acknowledged) {
  auto store = SqliteStore::Open(path, Domain(), NullLog());
  if (!store) ::_exit(3);
  for (int number = from;; ++number) {
    const auto revision = (*store)->Commit([&](Transaction& transaction) -> Status {
      SIGNET_RETURN_IF_ERROR((*store)->AppendRecords({MakeIssuance(number)}));
      return transaction.entries().Put(MakeEntry(number));
    });
    if (!revision) ::_exit(4);
    if (::write(acknowledged, &number, sizeof number) != sizeof number) ::_exit(5);
  }
}

}  // namespace

TEST_CASE("sqlite: killed 20 times at random moments, every acknowledged commit is there") {
  const test::TempDir folder;
  const std::string path = folder.File("signet.db");
  {
    REQUIRE(Open(path));
  }
  std::mt19937 random(20261123);
  std::set<std::string> acknowledged;
  int next = 0;
  for (int round = 0; round < 20; ++round) {
    int pipe[2] = {-1, -1};
    REQUIRE(::pipe(pipe) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      ::close(pipe[0]);
      CommitUntilKilled(path, next, pipe[1]);
    }
    ::close(pipe[1]);
    // The moment: after a random number of acknowledged commits, plus what the child does
    // meanwhile.
    const int until = static_cast<int>(random() % 40);
    int number = -1;
    for (int i = 0; i < until && ::read(pipe[0], &number, sizeof number) == sizeof number; ++i) {
      acknowledged.insert(MakeEntry(number).id);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
    REQUIRE(::kill(child, SIGKILL) == 0);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    while (::read(pipe[0], &number, sizeof number) == sizeof number)
      acknowledged.insert(MakeEntry(number).id);
    ::close(pipe[0]);
    next += 10000;

    auto store = Open(path);
    REQUIRE(store);
    std::set<std::string> stored;
    const std::vector<Entry> entries = (*store)->LoadEntries().value();
    for (const Entry& entry : entries) stored.insert(entry.id);
    CHECK(std::includes(stored.begin(), stored.end(), acknowledged.begin(), acknowledged.end()));
    CHECK((*store)->LoadRevision().value() == stored.size());
    CHECK(VerifyLog(**store).value() == stored.size());
    CHECK(Sql(path, "PRAGMA integrity_check") == "ok");
  }
  CHECK(acknowledged.size() > 100);
}

}  // namespace signet::identity
