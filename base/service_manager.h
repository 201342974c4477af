// The service manager's side of a long-running program: sd_notify(3) and its watchdog. Without a
// manager every call does nothing, so programs call them always.
//
// The protocol is a datagram to $NOTIFY_SOCKET and is kept stable for programs that speak it
// without libsystemd (sd_notify(3), "Notes"), which would cost each of ours a library with five
// more behind it.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/file.h"

namespace signet {

class ServiceManager {
 public:
  // Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and takes them out of the environment, so
  // that no child speaks for us. Before any thread.
  static ServiceManager FromEnvironment();

  // Zero: nobody watches. Else KeepAlive() is wanted at least this often (half of the limit).
  Duration watchdog_period() const { return watchdog_period_; }

  // `status` is one line for people (systemctl status).
  void Ready(std::string_view status) const;
  void Reloading() const;  // until the next Ready()
  void Stopping() const;
  // `pid`, which got Environment(), is the service from now on, and ready: this process is silent.
  void Succeed(pid_t pid, std::string_view status);
  // What FromEnvironment() took, for a program that replaces this one.
  std::vector<std::string> Environment() const;
  void Say(std::string_view status) const;
  void KeepAlive() const;

  // How a program is: whether it still does its work (what KeepAlive() stands for), and one line of
  // why it does not do all of it.
  struct Pulse {
    bool live = false;
    std::string status;
  };
  // Waits for one of `signals` (blocked in every thread) and meanwhile tells the manager how the
  // program is, as often as it wants to know. A `pulse` that does not return is no sign of life.
  int AwaitSignal(const sigset_t& signals, const std::function<Pulse()>& pulse) const;

 private:
  void Send(std::string_view message) const;

  std::string socket_;  // empty: no manager
  Duration watchdog_period_ = Duration::zero();
};

}  // namespace signet
