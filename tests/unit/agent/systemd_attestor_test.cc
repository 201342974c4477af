// The systemd attestor, and what it asks over a bus: against a bus with one unit, made here.
#include "agent/workload/systemd/systemd_attestor.h"

#include <poll.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "agent/workload/control_groups.h"
#include "net/address.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

using namespace signet;
using namespace signet::agent;
using namespace std::chrono_literals;
using signet::test::FakeClock;
using signet::test::TempDir;

namespace {

constexpr const char* kFile = "/lib/systemd/system/web@.service";

int Hello(sd_bus_message* message, void*, sd_bus_error*) {
  return sd_bus_reply_method_return(message, "s", ":1.7");
}

int Fragment(sd_bus*, const char*, const char*, const char*, sd_bus_message* reply, void*,
             sd_bus_error*) {
  return sd_bus_message_append(reply, "s", kFile);
}

const sd_bus_vtable kBus[] = {SD_BUS_VTABLE_START(0),
                              SD_BUS_METHOD("Hello", "", "s", Hello, SD_BUS_VTABLE_UNPRIVILEGED),
                              SD_BUS_VTABLE_END};
const sd_bus_vtable kUnit[] = {SD_BUS_VTABLE_START(0),
                               SD_BUS_PROPERTY("FragmentPath", "s", Fragment, 0, 0),
                               SD_BUS_VTABLE_END};

// A bus and the manager behind it, which knows web@1.service alone.
class FakeBus {
 public:
  FakeBus() : listener_(*net::ListenUnix(path_, {})) {
    thread_ = std::thread([this] { Serve(); });
  }
  ~FakeBus() {
    stop_ = true;
    shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  std::string address() const { return "unix:path=" + path_; }

 private:
  void Serve() {
    while (!stop_) {
      pollfd polled{listener_.get(), POLLIN, 0};
      poll(&polled, 1, -1);
      UniqueFd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (connection.valid()) Converse(connection.Release());
    }
  }

  static void Converse(int fd) {
    sd_bus* bus = nullptr;
    sd_id128_t id{};
    sd_bus_new(&bus);
    sd_bus_set_fd(bus, fd, fd);
    sd_bus_set_server(bus, 1, id);
    sd_bus_start(bus);
    sd_bus_add_object_vtable(bus, nullptr, "/org/freedesktop/DBus", "org.freedesktop.DBus", kBus,
                             nullptr);
    sd_bus_add_object_vtable(bus, nullptr, "/org/freedesktop/systemd1/unit/web_401_2eservice",
                             "org.freedesktop.systemd1.Unit", kUnit, nullptr);
    for (int done = 0; done >= 0;) {
      done = sd_bus_process(bus, nullptr);
      if (done == 0) done = sd_bus_wait(bus, UINT64_MAX);
    }
    sd_bus_close_unref(bus);
  }

  TempDir dir_;
  const std::string path_ = dir_.File("bus.sock");
  const UniqueFd listener_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

net::PeerCredentials Myself() { return *net::ReadProcessCredentials(getpid()); }

}  // namespace

TEST_CASE("a unit's file is asked for over the bus") {
  const FakeBus bus;
  const auto files = MakeBusUnitFiles(bus.address());
  const auto path = files->FragmentPath("web@1.service", 10s);
  REQUIRE(path);
  CHECK(*path == kFile);
  CHECK(files->FragmentPath("other.service", 10s).error().reason == kBusAway);
}

TEST_CASE("without a bus there is no file, and it is said at once") {
  const TempDir dir;
  const auto files = MakeBusUnitFiles("unix:path=" + dir.File("none.sock"));
  CHECK(files->FragmentPath("web@1.service", 10s).error().reason == kBusAway);
  CHECK(MakeBusUnitFiles("nonsense")->FragmentPath("a.service", 10s).error().reason == kBusAway);
}

TEST_CASE("what the attestor says is what this process's control groups say") {
  const FakeClock clock;
  const Logger log = Logger::Null();
  Metrics metrics;
  class Files final : public UnitFiles {
    Result<std::string> FragmentPath(const std::string& unit, std::chrono::microseconds) override {
      return "/units/" + unit;
    }
  };
  SystemdAttestor attestor(std::make_unique<Files>(), clock, log, metrics);
  const auto selectors = attestor.Attest(Myself(), clock.SteadyNow() + 1s);
  REQUIRE(selectors);
  const auto unit = UnitOf(*ReadControlGroups(getpid()));
  if (!unit) {
    CHECK(selectors->empty());
    return;
  }
  REQUIRE(selectors->size() == 3);
  CHECK((*selectors)[0].ToString() == "systemd:id:" + unit->id);
  CHECK((*selectors)[1].ToString() == "systemd:slice:" + unit->slice);
  CHECK((*selectors)[2].ToString() == "systemd:fragment_path:/units/" + unit->id);
}

TEST_CASE("a process that is gone has no unit") {
  const FakeClock clock;
  const Logger log = Logger::Null();
  Metrics metrics;
  SystemdAttestor attestor(nullptr, clock, log, metrics);
  net::PeerCredentials gone;
  gone.pid = 0x7ffffffe;
  CHECK(attestor.Attest(gone, clock.SteadyNow() + 1s).error().reason == kControlGroupsUnreadable);
}
