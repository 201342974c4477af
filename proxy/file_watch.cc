#include "proxy/file_watch.h"

#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace signet::proxy {
namespace {

constexpr std::uint32_t kChanges =
    IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ONLYDIR;

}  // namespace

Result<std::unique_ptr<FileWatch>> FileWatch::Start(net::EventLoop& loop,
                                                    const std::vector<std::string>& files,
                                                    Duration settle,
                                                    std::function<void()> changed) {
  UniqueFd inotify(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!inotify.valid())
    return Fail(Code::kUnavailable, kFileUnreadable, "inotify: " + ErrnoText(errno));
  std::unique_ptr<FileWatch> watch(
      new FileWatch(loop, std::move(inotify), settle, std::move(changed)));
  for (const std::string& file : files) {
    const std::filesystem::path path = std::filesystem::absolute(file);
    if (::inotify_add_watch(watch->inotify_.get(), path.parent_path().c_str(), kChanges) < 0)
      return Fail(Code::kUnavailable, kFileUnreadable,
                  path.parent_path().string() + " cannot be watched: " + ErrnoText(errno));
    watch->names_.insert(path.filename());
  }
  SIGNET_RETURN_IF_ERROR(loop.Add(watch->inotify_.get(), EPOLLIN, watch.get()));
  return watch;
}

FileWatch::~FileWatch() {
  loop_.Cancel(timer_);
  loop_.Remove(inotify_.get(), this);
}

void FileWatch::OnEvents(std::uint32_t) {
  alignas(inotify_event) std::array<char, 4096> buffer;
  bool ours = false;
  for (;;) {
    const ssize_t got = ::read(inotify_.get(), buffer.data(), buffer.size());
    if (got <= 0) break;
    for (const char* at = buffer.data(); at < buffer.data() + got;) {
      inotify_event event{};
      std::memcpy(&event, at, sizeof event);
      // After an overflow nobody knows what changed; a symbolic link beside the file, as
      // Kubernetes swaps it, has a name that starts with dots.
      const std::string_view name(event.len > 0 ? at + sizeof event : "");
      ours |= (event.mask & IN_Q_OVERFLOW) != 0 || name.starts_with("..") ||
              names_.contains(std::string(name));
      at += sizeof event + event.len;
    }
  }
  if (!ours || timer_ != 0) return;
  timer_ = loop_.RunAfter(settle_, [this] {
    timer_ = 0;
    changed_();
  });
}

}  // namespace signet::proxy
