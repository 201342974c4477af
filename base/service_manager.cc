#include "base/service_manager.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>

namespace signet {
namespace {

std::string TakeVariable(const char* name) {
  const char* const value = std::getenv(name);
  std::string taken = value == nullptr ? "" : value;
  unsetenv(name);
  return taken;
}

std::uint64_t ToNumber(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : 0;
}

// A status is one line: what would end it is not passed on.
std::string OneLine(std::string_view text) {
  std::string line(text);
  std::ranges::replace_if(line, [](unsigned char c) { return c < ' ' || c == 0x7f; }, ' ');
  return line;
}

std::uint64_t MonotonicMicroseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec) / 1'000;
}

}  // namespace

ServiceManager ServiceManager::FromEnvironment() {
  constexpr std::uint64_t kLongest = 1'000'000ULL * 86'400;
  ServiceManager manager;
  manager.socket_ = TakeVariable("NOTIFY_SOCKET");
  const std::uint64_t limit = ToNumber(TakeVariable("WATCHDOG_USEC"));
  const std::string watched = TakeVariable("WATCHDOG_PID");
  const bool ours = watched.empty() || ToNumber(watched) == static_cast<std::uint64_t>(getpid());
  if (ours && !manager.socket_.empty())
    manager.watchdog_period_ = std::chrono::microseconds(std::min(limit, kLongest) / 2);
  return manager;
}

void ServiceManager::Ready(std::string_view status) const {
  Send("READY=1\nSTATUS=" + OneLine(status));
}

// The time stamp is what Type=notify-reload asks for.
void ServiceManager::Reloading() const {
  Send(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", MonotonicMicroseconds()));
}

void ServiceManager::Succeed(pid_t pid, std::string_view status) {
  Send(fmt::format("MAINPID={}\nREADY=1\nSTATUS={}", pid, OneLine(status)));
  socket_.clear();
}

std::vector<std::string> ServiceManager::Environment() const {
  if (socket_.empty()) return {};
  const auto limit = std::chrono::duration_cast<std::chrono::microseconds>(2 * watchdog_period_);
  return {"NOTIFY_SOCKET=" + socket_, fmt::format("WATCHDOG_USEC={}", limit.count())};
}

void ServiceManager::Stopping() const { Send("STOPPING=1"); }

void ServiceManager::Say(std::string_view status) const { Send("STATUS=" + OneLine(status)); }

void ServiceManager::KeepAlive() const { Send("WATCHDOG=1"); }

int ServiceManager::AwaitSignal(const sigset_t& signals,
                                const std::function<Pulse()>& pulse) const {
  constexpr Duration kStatusPeriod = std::chrono::seconds(10);
  const Duration period = watchdog_period_ > Duration::zero()
                              ? std::min(watchdog_period_, kStatusPeriod)
                              : kStatusPeriod;
  const auto whole = std::chrono::duration_cast<std::chrono::seconds>(period);
  const timespec patience{
      whole.count(), std::chrono::duration_cast<std::chrono::nanoseconds>(period - whole).count()};
  std::string said;
  while (true) {
    const int signal = socket_.empty() ? sigwaitinfo(&signals, nullptr)
                                       : sigtimedwait(&signals, nullptr, &patience);
    if (signal > 0) return signal;
    if (errno != EAGAIN) continue;  // a signal that is not ours
    const Pulse now = pulse();
    if (now.live) KeepAlive();
    if (now.status != said) Say(said = now.status);
  }
}

// Best effort: a manager that does not listen is no reason to stop serving.
void ServiceManager::Send(std::string_view message) const {
  sockaddr_un address{};
  if (socket_.empty() || socket_.size() >= sizeof address.sun_path) return;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  if (socket_.front() == '@') address.sun_path[0] = '\0';  // an abstract name
  const UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return;
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  sendto(fd.get(), message.data(), message.size(), MSG_NOSIGNAL,
         reinterpret_cast<const sockaddr*>(&address), length);
}

}  // namespace signet
