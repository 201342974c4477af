#include "base/service_manager.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>

#include "tests/support/notify_socket.h"

namespace signet {
namespace {

ServiceManager Managed(const std::string& socket, const char* watchdog, const char* pid) {
  setenv("NOTIFY_SOCKET", socket.c_str(), 1);
  if (watchdog != nullptr) setenv("WATCHDOG_USEC", watchdog, 1);
  if (pid != nullptr) setenv("WATCHDOG_PID", pid, 1);
  return ServiceManager::FromEnvironment();
}

}  // namespace

TEST_CASE("the manager hears each word, and a status stays one line") {
  const test::NotifySocket listener;
  const ServiceManager manager = Managed(listener.path(), nullptr, nullptr);
  CHECK(std::getenv("NOTIFY_SOCKET") == nullptr);
  CHECK(manager.watchdog_period() == Duration::zero());
  manager.Ready("serving\nREADY=0");
  CHECK(listener.Next() == "READY=1\nSTATUS=serving READY=0");
  manager.Say("the disk is full");
  CHECK(listener.Next() == "STATUS=the disk is full");
  manager.Reloading();
  CHECK(listener.Next().starts_with("RELOADING=1\nMONOTONIC_USEC="));
  manager.KeepAlive();
  CHECK(listener.Next() == "WATCHDOG=1");
  manager.Stopping();
  CHECK(listener.Next() == "STOPPING=1");
}

TEST_CASE("the watchdog is fed twice as often as asked, by the process it watches") {
  const test::NotifySocket listener;
  const std::string me = std::to_string(getpid());
  CHECK(Managed(listener.path(), "3000000", me.c_str()).watchdog_period() ==
        std::chrono::milliseconds(1500));
  CHECK(Managed(listener.path(), "3000000", nullptr).watchdog_period() ==
        std::chrono::milliseconds(1500));
  CHECK(Managed(listener.path(), "3000000", "1").watchdog_period() == Duration::zero());
  CHECK(Managed(listener.path(), "soon", nullptr).watchdog_period() == Duration::zero());
  CHECK(Managed(listener.path(), "18446744073709551615", nullptr).watchdog_period() ==
        std::chrono::hours(12));
}

TEST_CASE("without a manager, or with one that is away, nothing happens") {
  unsetenv("NOTIFY_SOCKET");
  ServiceManager::FromEnvironment().Ready("serving");
  Managed("/nonexistent/notify", nullptr, nullptr).Ready("serving");
  Managed(std::string(200, 'x'), nullptr, nullptr).Ready("serving");
}

TEST_CASE("a program that does not do its work is not kept alive, but waited for") {
  const test::NotifySocket listener;
  const ServiceManager manager = Managed(listener.path(), "20000", nullptr);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR2);
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &signals, &before);
  int looks = 0;
  const int signal = manager.AwaitSignal(signals, [&] {
    if (++looks == 3) pthread_kill(pthread_self(), SIGUSR2);
    return ServiceManager::Pulse{looks == 1, looks == 1 ? "serving" : "stuck"};
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  CHECK(signal == SIGUSR2);
  CHECK(listener.Next() == "WATCHDOG=1");
  CHECK(listener.Next() == "STATUS=serving");
  CHECK(listener.Next() == "STATUS=stuck");
  CHECK(listener.IsQuiet());
}

}  // namespace signet
