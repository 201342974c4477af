// A full disk for one running process: no file of it may grow beyond a size, until the limit is
// lifted. The kernel then answers EFBIG where a full disk answers ENOSPC.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include "base/check.h"

namespace signet::test {

class FileSizeLimit {
 public:
  FileSizeLimit(pid_t pid, std::size_t bytes) : pid_(pid) {
    CHECK_TRUE(prlimit(pid_, RLIMIT_FSIZE, nullptr, &before_) == 0);
    rlimit low = before_;
    low.rlim_cur = bytes;
    CHECK_TRUE(prlimit(pid_, RLIMIT_FSIZE, &low, nullptr) == 0);
  }
  // There is room again. Does nothing when the process has ended.
  void Lift() const { prlimit(pid_, RLIMIT_FSIZE, &before_, nullptr); }

 private:
  const pid_t pid_;
  rlimit before_{};
};

}  // namespace signet::test
