// F2: the power is cut. A file system in memory's shoes stands between SQLite and the disk (a VFS),
// and writes down every write, cut and sync. From that any disk can be made that could be left: all
// that was synced, and of what was not any part, in any order, sectors torn. On each of them the
// store opens, the database is whole, the log's chain holds, and what was acknowledged is there.
#include <sqlite3.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <random>
#include <set>

#include "identity/store/sqlite/log_file.h"
#include "identity/store/sqlite/sqlite_store.h"
#include "tests/support/store_values.h"
#include "tests/support/temp_dir.h"

namespace signet::identity {
namespace {

constexpr std::size_t kSector = 512;

// What happened to the files of one folder, in order.
struct Event {
  enum class Kind { kWrite, kTruncate, kSync, kRemove, kAcknowledged } kind = Kind::kWrite;
  std::string file;
  std::size_t at = 0;  // of kTruncate: the new size; of kAcknowledged: how many records
  std::vector<char> bytes;
};

class Recorder {
 public:
  void Add(Event event) {
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
  }
  std::vector<Event> Take() {
    const std::lock_guard lock(mutex_);
    return std::move(events_);
  }

 private:
  std::mutex mutex_;
  std::vector<Event> events_;
};

Recorder& TheRecorder() {
  static Recorder recorder;
  return recorder;
}

// SQLite's own VFS, with each change told to the recorder. Registered as the default one while an
// object of this class lives.
class RecordingVfs {
 public:
  RecordingVfs() {
    base_ = sqlite3_vfs_find(nullptr);
    vfs_ = *base_;
    vfs_.zName = "signet-recording";
    vfs_.szOsFile = static_cast<int>(sizeof(File)) + base_->szOsFile;
    vfs_.pAppData = base_;
    vfs_.xOpen = Open;
    vfs_.xDelete = Delete;
    sqlite3_vfs_register(&vfs_, 1);
  }
  ~RecordingVfs() {
    sqlite3_vfs_register(base_, 1);
    sqlite3_vfs_unregister(&vfs_);
  }
  RecordingVfs(const RecordingVfs&) = delete;

 private:
  struct File {
    sqlite3_file head;
    char name[512];
    sqlite3_file* base;
  };
  static sqlite3_vfs* Base(sqlite3_vfs* vfs) { return static_cast<sqlite3_vfs*>(vfs->pAppData); }
  static sqlite3_file* Base(sqlite3_file* file) { return reinterpret_cast<File*>(file)->base; }
  static std::string NameOf(sqlite3_file* file) { return reinterpret_cast<File*>(file)->name; }

  static int Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out) {
    auto* const own = reinterpret_cast<File*>(file);
    own->base = reinterpret_cast<sqlite3_file*>(own + 1);
    own->head.pMethods = nullptr;
    const std::string path = name == nullptr ? "" : name;
    if (path.size() >= sizeof own->name) return SQLITE_CANTOPEN;
    std::memcpy(own->name, path.c_str(), path.size() + 1);
    const int code = Base(vfs)->xOpen(Base(vfs), name, own->base, flags, out);
    if (own->base->pMethods != nullptr) own->head.pMethods = Methods();
    return code;
  }
  static int Delete(sqlite3_vfs* vfs, const char* name, int sync) {
    TheRecorder().Add({Event::Kind::kRemove, name, 0, {}});
    return Base(vfs)->xDelete(Base(vfs), name, sync);
  }
  static int Write(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 at) {
    const auto* const begin = static_cast<const char*>(bytes);
    TheRecorder().Add(
        {Event::Kind::kWrite, NameOf(file), static_cast<std::size_t>(at), {begin, begin + size}});
    return Base(file)->pMethods->xWrite(Base(file), bytes, size, at);
  }
  static int Truncate(sqlite3_file* file, sqlite3_int64 size) {
    TheRecorder().Add({Event::Kind::kTruncate, NameOf(file), static_cast<std::size_t>(size), {}});
    return Base(file)->pMethods->xTruncate(Base(file), size);
  }
  static int Sync(sqlite3_file* file, int flags) {
    const int code = Base(file)->pMethods->xSync(Base(file), flags);
    TheRecorder().Add({Event::Kind::kSync, NameOf(file), 0, {}});
    return code;
  }

  static const sqlite3_io_methods* Methods() {
    static const sqlite3_io_methods methods = [] {
      sqlite3_io_methods all{};
      all.iVersion = 2;
      all.xClose = [](sqlite3_file* f) { return Base(f)->pMethods->xClose(Base(f)); };
      all.xRead = [](sqlite3_file* f, void* to, int size, sqlite3_int64 at) {
        return Base(f)->pMethods->xRead(Base(f), to, size, at);
      };
      all.xWrite = Write;
      all.xTruncate = Truncate;
      all.xSync = Sync;
      all.xFileSize = [](sqlite3_file* f, sqlite3_int64* size) {
        return Base(f)->pMethods->xFileSize(Base(f), size);
      };
      all.xLock = [](sqlite3_file* f, int lock) { return Base(f)->pMethods->xLock(Base(f), lock); };
      all.xUnlock = [](sqlite3_file* f, int lock) {
        return Base(f)->pMethods->xUnlock(Base(f), lock);
      };
      all.xCheckReservedLock = [](sqlite3_file* f, int* out) {
        return Base(f)->pMethods->xCheckReservedLock(Base(f), out);
      };
      all.xFileControl = [](sqlite3_file* f, int what, void* with) {
        return Base(f)->pMethods->xFileControl(Base(f), what, with);
      };
      all.xSectorSize = [](sqlite3_file*) { return static_cast<int>(kSector); };
      // Nothing is promised: not that appending is safe, not that sectors are written whole.
      all.xDeviceCharacteristics = [](sqlite3_file*) { return 0; };
      all.xShmMap = [](sqlite3_file* f, int page, int size, int extend, void volatile** out) {
        return Base(f)->pMethods->xShmMap(Base(f), page, size, extend, out);
      };
      all.xShmLock = [](sqlite3_file* f, int offset, int count, int flags) {
        return Base(f)->pMethods->xShmLock(Base(f), offset, count, flags);
      };
      all.xShmBarrier = [](sqlite3_file* f) { Base(f)->pMethods->xShmBarrier(Base(f)); };
      all.xShmUnmap = [](sqlite3_file* f, int remove) {
        return Base(f)->pMethods->xShmUnmap(Base(f), remove);
      };
      return all;
    }();
    return &methods;
  }

  sqlite3_vfs* base_ = nullptr;
  sqlite3_vfs vfs_{};
};

// One file of a disk whose power is cut: what is durable, and what was not synced yet.
struct CutFile {
  std::vector<char> durable;
  std::vector<Event> pending;
};

void Apply(const Event& event, std::size_t from, std::size_t count, std::vector<char>* content) {
  if (event.kind == Event::Kind::kTruncate) {
    content->resize(event.at);
    return;
  }
  const std::size_t begin = event.at + from;
  if (content->size() < begin + count) content->resize(begin + count);
  std::copy_n(event.bytes.begin() + static_cast<long>(from), count,
              content->begin() + static_cast<long>(begin));
}

// Of what was not synced: some of it, sector by sector, in any order.
std::vector<char> Tear(const CutFile& file, std::mt19937& chance) {
  std::vector<char> content = file.durable;
  std::vector<Event> pending = file.pending;
  const bool reordered = chance() % 2 == 0;
  if (reordered) std::shuffle(pending.begin(), pending.end(), chance);
  const unsigned keep = chance() % 4;  // of three: 0 none, 3 all
  for (const Event& event : pending) {
    if (event.kind == Event::Kind::kTruncate) {
      if (chance() % 3 < keep) Apply(event, 0, 0, &content);
      continue;
    }
    for (std::size_t at = 0; at < event.bytes.size();) {
      const std::size_t sector_end = ((event.at + at) / kSector + 1) * kSector - event.at;
      const std::size_t end = std::min(sector_end, event.bytes.size());
      if (chance() % 3 < keep) Apply(event, at, end - at, &content);
      at = end;
    }
  }
  return content;
}

class Disk {
 public:
  void Follow(const Event& event) {
    if (event.kind == Event::Kind::kAcknowledged) {
      acknowledged_ = event.at;
    } else if (event.kind == Event::Kind::kRemove) {
      files_.erase(event.file);
    } else if (event.kind == Event::Kind::kSync) {
      CutFile& file = files_[event.file];
      for (const Event& each : file.pending) Apply(each, 0, each.bytes.size(), &file.durable);
      file.pending.clear();
    } else {
      files_[event.file].pending.push_back(event);
    }
  }
  // The files as the next start finds them in `folder`; `original` is where they were.
  void Leave(const std::string& folder, std::mt19937& chance) const {
    for (const auto& [path, file] : files_) {
      const std::string name = path.substr(path.rfind('/') + 1);
      if (name.ends_with("-shm")) continue;
      const std::vector<char> content = Tear(file, chance);
      std::ofstream(folder + "/" + name, std::ios::binary)
          .write(content.data(), static_cast<std::streamsize>(content.size()));
    }
  }
  std::size_t acknowledged() const { return acknowledged_; }

 private:
  std::map<std::string, CutFile> files_;
  std::size_t acknowledged_ = 0;
};

std::string SerialOf(std::size_t number) {
  char text[33];
  std::snprintf(text, sizeof text, "%032zx", number + 1);
  return text;
}

// Changes and log records as a server makes them, each acknowledged once it is said to be durable.
std::vector<Event> RecordServer(const std::string& path, std::size_t rounds) {
  const RecordingVfs vfs;
  {
    const Logger log = Logger::Null();
    const auto store = SqliteStore::Open(path, test::Domain(), log).value();
    TheRecorder().Add({Event::Kind::kAcknowledged, {}, 0, {}});
    for (std::size_t i = 0; i < rounds; ++i) {
      AuditRecord record = test::MakeIssuance(static_cast<int>(i));
      record.serial = SerialOf(i);
      REQUIRE(store->AppendRecords({record}));
      if (i % 4 == 0) {
        const Entry entry = test::MakeEntry(static_cast<int>(i));
        REQUIRE(store->Commit(
            [&](Transaction& transaction) { return transaction.entries().Put(entry); }));
      }
      TheRecorder().Add({Event::Kind::kAcknowledged, {}, i + 1, {}});
    }
  }
  return TheRecorder().Take();
}

std::string IntegrityOf(const std::string& path) {
  sqlite3* database = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &database) == SQLITE_OK);
  std::string answer;
  sqlite3_exec(
      database, "PRAGMA integrity_check",
      [](void* out, int, char** values, char**) {
        *static_cast<std::string*>(out) += values[0];
        return 0;
      },
      &answer, nullptr);
  sqlite3_close(database);
  return answer;
}

// How many of the first `count` records are missing; serials that stand twice fail the test.
std::size_t Missing(SqliteStore& store, std::size_t count) {
  const auto log = store.LoadLog({.limit = 1'000'000}).value();
  std::set<std::string> serials;
  for (const LoggedRecord& each : log) {
    if (each.record.event != event::kIssued) continue;
    CHECK(serials.insert(each.record.serial).second);
  }
  std::size_t missing = 0;
  for (std::size_t i = 0; i < count; ++i) missing += serials.contains(SerialOf(i)) ? 0 : 1;
  return missing;
}

// Whether the disk that is left now starts whole; before there is a database nothing is asked of
// it but that nobody was told of one.
void CheckCut(const Disk& disk, std::mt19937& chance) {
  const test::TempDir folder;
  disk.Leave(folder.path(), chance);
  const std::string path = folder.File("server.db");
  const Logger log = Logger::Null();
  {
    const auto store = SqliteStore::Open(path, test::Domain(), log);
    if (!store) FAIL(store.error().Message());
    CHECK(Missing(**store, disk.acknowledged()) == 0);
  }
  CHECK(IntegrityOf(path) == "ok");
  const auto verified = VerifyLogFile(path, std::nullopt);
  if (!verified) FAIL(verified.error().Message());
}

}  // namespace

TEST_CASE("F2: whatever a cut of the power leaves opens whole, with all that was acknowledged") {
  constexpr std::size_t kRounds = 40;
  constexpr int kCutsAtSync = 3;
  const test::TempDir folder;
  const std::vector<Event> events = RecordServer(folder.File("server.db"), kRounds);
  const auto begun = std::ranges::find(events, Event::Kind::kAcknowledged, &Event::kind);
  REQUIRE(begun != events.end());
  std::mt19937 chance(20260101);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same cuts each time
  Disk disk;
  std::size_t cuts = 0, syncs = 0;
  for (auto event = events.begin(); event != events.end(); ++event) {
    // Before a sync most is at stake; and now and then anywhere.
    const bool is_sync = event->kind == Event::Kind::kSync;
    syncs += is_sync ? 1 : 0;
    if (event >= begun) {
      for (int i = 0; i < (is_sync ? kCutsAtSync : chance() % 16 == 0 ? 1 : 0); ++i, ++cuts)
        CheckCut(disk, chance);
    }
    disk.Follow(*event);
  }
  CheckCut(disk, chance);
  CHECK(disk.acknowledged() == kRounds);
  CHECK(syncs > kRounds);
  CHECK(cuts > kRounds * kCutsAtSync);
}

TEST_CASE("F2: a store that says it is durable before it has synced would be found out") {
  const test::TempDir folder;
  std::vector<Event> events = RecordServer(folder.File("server.db"), 12);
  const auto begun = std::ranges::find(events, Event::Kind::kAcknowledged, &Event::kind);
  // The same life without the syncs of its log: what was acknowledged is lost on some disk.
  std::mt19937 chance(7);  // NOLINT(cert-msc32-c,cert-msc51-cpp)
  Disk disk;
  for (auto event = events.begin(); event != events.end(); ++event) {
    if (event > begun && event->kind == Event::Kind::kSync) continue;
    if (event > begun && event->kind == Event::Kind::kRemove) break;  // the end of the program
    disk.Follow(*event);
  }
  const Logger log = Logger::Null();
  std::size_t lost = 0;
  for (int i = 0; i < 20 && lost == 0; ++i) {
    const test::TempDir left;
    disk.Leave(left.path(), chance);
    const auto store = SqliteStore::Open(left.File("server.db"), test::Domain(), log);
    if (!store || Missing(**store, 12) > 0) ++lost;
  }
  CHECK(lost > 0);
}

}  // namespace signet::identity
