// What an operator trusts, in a file that may be replaced while the server runs: read again when it
// has changed. A file that cannot be used leaves what was read last.
//
// Threads: safe from any thread.
#pragma once

#include <sys/stat.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"

namespace signet::identity {

template <class T>
class TrustedFiles {
 public:
  // All files together to one value.
  using Reader = std::function<Result<T>(const std::vector<std::string>& paths)>;

  // Fails as `read` does.
  // `what` they are, for the log.
  static Result<std::unique_ptr<TrustedFiles>> Open(std::vector<std::string> paths,
                                                    std::string what, Reader read,
                                                    const Logger& log) {
    auto stamps = Look(paths);
    SIGNET_TRY(T first, read(paths));
    return std::unique_ptr<TrustedFiles>(
        new TrustedFiles(std::move(paths), std::move(what), std::move(read),
                         std::make_shared<const T>(std::move(first)), std::move(stamps), log));
  }

  std::shared_ptr<const T> Current() const {
    const std::lock_guard lock(mutex_);
    auto stamps = Look(paths_);
    if (stamps == stamps_) return value_;
    stamps_ = std::move(stamps);
    auto fresh = read_(paths_);
    if (fresh) {
      value_ = std::make_shared<const T>(*std::move(fresh));
      log_.Info("files read again", {{"what", what_}, {"file", paths_.front()}});
    } else {
      log_.Error("files not read again; what was read before stays",
                 {{"what", what_}, {"file", paths_.front()}, {"error", fresh.error().Message()}});
    }
    return value_;
  }

 private:
  // What tells one content of a file from the next.
  struct Stamp {
    ino_t inode = 0;
    off_t size = 0;
    std::int64_t modified = 0;  // nanoseconds
    friend bool operator==(const Stamp&, const Stamp&) = default;
  };

  TrustedFiles(std::vector<std::string> paths, std::string what, Reader read,
               std::shared_ptr<const T> value, std::vector<Stamp> stamps, const Logger& log)
      : paths_(std::move(paths)),
        what_(std::move(what)),
        read_(std::move(read)),
        log_(log),
        value_(std::move(value)),
        stamps_(std::move(stamps)) {}

  static std::vector<Stamp> Look(const std::vector<std::string>& paths) {
    std::vector<Stamp> stamps;
    for (const auto& path : paths) {
      struct stat facts{};
      Stamp stamp;
      if (::stat(path.c_str(), &facts) == 0)
        stamp = {facts.st_ino, facts.st_size,
                 facts.st_mtim.tv_sec * std::int64_t{1'000'000'000} + facts.st_mtim.tv_nsec};
      stamps.push_back(stamp);
    }
    return stamps;
  }

  const std::vector<std::string> paths_;
  const std::string what_;
  const Reader read_;
  const Logger& log_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const T> value_;
  mutable std::vector<Stamp> stamps_;
};

}  // namespace signet::identity
