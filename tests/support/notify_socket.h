// The service manager's end of sd_notify(3).
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <cstring>
#include <string>

#include "base/check.h"
#include "base/file.h"
#include "tests/support/temp_dir.h"

namespace signet::test {

class NotifySocket {
 public:
  NotifySocket() : fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    CHECK_TRUE(path().size() < sizeof address.sun_path);
    std::memcpy(address.sun_path, path().c_str(), path().size());
    CHECK_TRUE(bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  std::string path() const { return folder_.File("notify"); }

  // The next message; empty when none comes within `wait`.
  std::string Next(std::chrono::milliseconds wait = std::chrono::seconds(2)) const {
    pollfd ready{fd_.get(), POLLIN, 0};
    if (poll(&ready, 1, static_cast<int>(wait.count())) != 1) return {};
    char text[512];
    const ssize_t size = recv(fd_.get(), text, sizeof text, 0);
    return std::string(text, size > 0 ? static_cast<std::size_t>(size) : 0);
  }
  // Whether a message that begins so comes in time; others are dropped.
  bool Hears(const std::string& beginning,
             std::chrono::seconds wait = std::chrono::seconds(10)) const {
    const auto deadline = std::chrono::steady_clock::now() + wait;
    while (std::chrono::steady_clock::now() < deadline)
      if (Next().starts_with(beginning)) return true;
    return false;
  }
  bool IsQuiet() const {
    pollfd ready{fd_.get(), POLLIN, 0};
    return poll(&ready, 1, 0) == 0;
  }

 private:
  TempDir folder_;
  UniqueFd fd_;
};

}  // namespace signet::test
