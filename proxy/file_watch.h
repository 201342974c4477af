// Says that one of some files was changed, replaced, created or removed. It watches their folders,
// because editors and configuration tools replace files rather than write into them.
//
// Threads: the event loop's.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/file.h"
#include "net/event_loop.h"

namespace signet::proxy {

class FileWatch final : public net::EventHandler {
 public:
  // `changed` runs once per burst of events, `settle` after the first of them. Fails with
  // kFileUnreadable.
  static Result<std::unique_ptr<FileWatch>> Start(net::EventLoop& loop,
                                                  const std::vector<std::string>& files,
                                                  Duration settle, std::function<void()> changed);
  ~FileWatch() override;

 private:
  FileWatch(net::EventLoop& loop, UniqueFd inotify, Duration settle, std::function<void()> changed)
      : loop_(loop), inotify_(std::move(inotify)), settle_(settle), changed_(std::move(changed)) {}
  void OnEvents(std::uint32_t events) override;

  net::EventLoop& loop_;
  const UniqueFd inotify_;
  const Duration settle_;
  const std::function<void()> changed_;
  std::set<std::string> names_;  // of the files in their folders
  net::EventLoop::TimerId timer_ = 0;
};

}  // namespace signet::proxy
