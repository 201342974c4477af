#include "base/memory_keeper.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>

namespace signet {
namespace {

constexpr auto kPeriod = std::chrono::seconds(1);
constexpr Duration kQuiet = std::chrono::milliseconds(20);  // of CPU in a period
constexpr Duration kWork = std::chrono::milliseconds(50);   // less leaves nothing behind

Duration CpuUsed() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto sum = std::chrono::seconds(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                   std::chrono::microseconds(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  return std::chrono::duration_cast<Duration>(sum);
}

// Segments that are never written: neither by the program nor by the loader, which relocates only
// what is writable (programs with text relocations are not built here: -z text is the default).
int DropSegments(dl_phdr_info* object, std::size_t, void*) {
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  for (std::size_t i = 0; i < object->dlpi_phnum; ++i) {
    const auto& segment = object->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    const std::uintptr_t begin = object->dlpi_addr + segment.p_vaddr;
    const std::uintptr_t first = begin / page * page;
    const std::uintptr_t end = (begin + segment.p_filesz) / page * page;
    if (end > first) madvise(reinterpret_cast<void*>(first), end - first, MADV_DONTNEED);
  }
  return 0;
}

}  // namespace

bool TrimRule::IsDue(Duration cpu) {
  const bool is_quiet = cpu - last_ < kQuiet;
  last_ = cpu;
  if (!is_quiet || (trimmed_ && cpu - *trimmed_ < kWork)) return false;
  trimmed_ = cpu;
  return true;
}

void GiveBackMemory() {
  malloc_trim(0);
  dl_iterate_phdr(DropSegments, nullptr);
}

MemoryKeeper::MemoryKeeper() : thread_([this] { Loop(); }) {}

MemoryKeeper::~MemoryKeeper() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void MemoryKeeper::Loop() {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, kPeriod, [&] { return stopping_; }))
    if (rule_.IsDue(CpuUsed())) GiveBackMemory();
}

}  // namespace signet
