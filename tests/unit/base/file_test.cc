#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <thread>
#include <vector>

#include "tests/support/temp_dir.h"

namespace signet {
namespace {

namespace fs = std::filesystem;

mode_t ModeOf(const std::string& path) {
  struct stat st{};
  REQUIRE(stat(path.c_str(), &st) == 0);
  return st.st_mode & 07777;
}

std::size_t FilesIn(const std::string& path) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(path), {}));
}

TEST_CASE("a file is written whole, with its mode, and nothing stays beside it") {
  const test::TempDir folder;
  const std::string path = folder.File("a");
  REQUIRE(WriteFileAtomically(path, AsBytes("one"), 0600));
  CHECK(ModeOf(path) == 0600);
  REQUIRE(WriteFileAtomically(path, AsBytes("two"), 0640));
  CHECK(ModeOf(path) == 0640);
  CHECK(ToString(ReadFile(path, 100).value()) == "two");
  CHECK(FilesIn(folder.path()) == 1);
}

TEST_CASE("a failed write leaves the old content and no temporary file") {
  const test::TempDir folder;
  const std::string path = folder.File("a");
  REQUIRE(fs::create_directory(path));  // a directory cannot be renamed over
  REQUIRE(WriteFileAtomically(path + "/inside", AsBytes("old"), 0600));
  const Status written = WriteFileAtomically(path, AsBytes("new"), 0600);
  REQUIRE_FALSE(written);
  CHECK(written.error().reason == kFileWriteFailed);
  CHECK(ToString(ReadFile(path + "/inside", 100).value()) == "old");
  CHECK(FilesIn(folder.path()) == 1);
  CHECK_FALSE(WriteFileAtomically(folder.File("missing/a"), AsBytes("x"), 0600));
}

TEST_CASE("threads that write one path at once do not mix their content") {
  const test::TempDir folder;
  const std::string path = folder.File("a");
  constexpr std::size_t kSize = 300'000;
  std::vector<std::thread> writers;
  std::atomic<int> failures = 0;
  for (std::uint8_t who = 1; who <= 4; ++who) {
    writers.emplace_back([&, who] {
      for (int i = 0; i < 10; ++i)
        if (!WriteFileAtomically(path, Bytes(kSize, who), 0600)) ++failures;
    });
  }
  for (auto& writer : writers) writer.join();
  CHECK(failures == 0);
  const Bytes content = ReadFile(path, kSize).value();
  REQUIRE(content.size() == kSize);
  CHECK(content == Bytes(kSize, content.front()));
  CHECK(FilesIn(folder.path()) == 1);
}

TEST_CASE("a link at the place of the file is replaced and not followed") {
  const test::TempDir folder;
  const std::string victim = folder.File("victim");
  REQUIRE(WriteFileAtomically(victim, AsBytes("dear"), 0600));
  fs::create_symlink(victim, folder.File("a"));
  REQUIRE(WriteFileAtomically(folder.File("a"), AsBytes("x"), 0600));
  CHECK(ToString(ReadFile(victim, 100).value()) == "dear");
  CHECK_FALSE(fs::is_symlink(folder.File("a")));
}

TEST_CASE("reading is bounded: a file of the limit is read and a longer one is not") {
  const test::TempDir folder;
  const std::string path = folder.File("a");
  REQUIRE(WriteFileAtomically(path, Bytes(100000, 7), 0600));
  CHECK(ReadFile(path, 100000).value().size() == 100000);
  CHECK(ReadSecretFile(path, 100000).value().size() == 100000);
  CHECK(ReadFile(path, 99999).error().reason == kFileTooLarge);
  CHECK(ReadSecretFile(path, 99999).error().reason == kFileTooLarge);
}

TEST_CASE("what is missing or no regular file is told apart") {
  const test::TempDir folder;
  const auto missing = ReadFile(folder.File("missing"), 10);
  REQUIRE_FALSE(missing);
  CHECK(missing.error().reason == kFileMissing);
  CHECK(missing.error().code == Code::kNotFound);
  CHECK(ReadFile(folder.path(), 10).error().reason == kFileUnreadable);
  const std::string pipe = folder.File("pipe");
  REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(ReadFile(pipe, 10).error().reason == kFileUnreadable);  // and does not wait for a writer
  CHECK(ReadSecretFile(pipe, 10).error().reason == kFileUnreadable);
}

TEST_CASE("a secret that others may read is refused, and the error says the remedy") {
  const test::TempDir folder;
  const std::string path = folder.File("key");
  REQUIRE(WriteFileAtomically(path, AsBytes("hunter2"), 0600));
  CHECK(AsText(ReadSecretFile(path, 100).value().view()) == "hunter2");
  for (const mode_t mode : {0640U, 0604U, 0620U, 0601U}) {
    REQUIRE(chmod(path.c_str(), mode) == 0);
    const auto read = ReadSecretFile(path, 100);
    REQUIRE_FALSE(read);
    CHECK(read.error().reason == kFilePermissionsLax);
    CHECK(read.error().code == Code::kPermissionDenied);
    CHECK_THAT(read.error().detail, Catch::Contains("chmod 0600 " + path));
    CHECK_THAT(read.error().detail, !Catch::Contains("hunter2"));
  }
}

TEST_CASE("folders are made with their parents, and one that is there stays as it is") {
  const test::TempDir folder;
  REQUIRE(EnsureDirectory(folder.File("a/b/c"), 0700));
  CHECK(ModeOf(folder.File("a/b/c")) == 0700);
  REQUIRE(EnsureDirectory(folder.File("a/b/c"), 0755));
  CHECK(ModeOf(folder.File("a/b/c")) == 0700);
  REQUIRE(WriteFileAtomically(folder.File("file"), {}, 0600));
  CHECK_FALSE(EnsureDirectory(folder.File("file/b"), 0700));
}

TEST_CASE("a lock is held by one at a time and let go when its holder ends") {
  const test::TempDir folder;
  {
    const auto first = FileLock::Acquire(folder.File("lock"));
    REQUIRE(first);
    const auto second = FileLock::Acquire(folder.File("lock"));
    REQUIRE_FALSE(second);
    CHECK(second.error().reason == kAlreadyRunning);
  }
  CHECK(FileLock::Acquire(folder.File("lock")));
}

TEST_CASE("a descriptor closes once, with its owner") {
  int raw = -1;
  {
    UniqueFd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
    raw = fd.get();
    UniqueFd moved = std::move(fd);
    CHECK_FALSE(fd.valid());  // NOLINT(bugprone-use-after-move): that it owns nothing is the point
    CHECK(moved.get() == raw);
    CHECK(fcntl(raw, F_GETFD) >= 0);
  }
  CHECK(fcntl(raw, F_GETFD) == -1);
}

TEST_CASE("an errno is told with its text and number") {
  CHECK(ErrnoText(ENOENT) == "No such file or directory (2)");
}

}  // namespace
}  // namespace signet
