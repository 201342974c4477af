#include "net/event_loop.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <functional>
#include <thread>
#include <vector>

#include "tests/support/fake_clock.h"

namespace signet::net {
namespace {

struct CallingHandler final : EventHandler {
  std::function<void(std::uint32_t)> call;
  void OnEvents(std::uint32_t events) override { call(events); }
};

struct Pipe {
  Pipe() {
    int fds[2];
    REQUIRE(pipe2(fds, O_NONBLOCK | O_CLOEXEC) == 0);
    out.Reset(fds[0]);
    in.Reset(fds[1]);
  }
  void Fill() const { REQUIRE(write(in.get(), "x", 1) == 1); }
  UniqueFd out, in;
};

}  // namespace

TEST_CASE("posted tasks run in order on the loop's thread") {
  const SystemClock clock;
  const auto loop = *EventLoop::Create(clock);
  std::vector<int> order;
  bool inside = false;
  std::thread thread([&] { loop->Run(); });
  for (int i = 0; i < 100; ++i) loop->Post([&order, i] { order.push_back(i); });
  loop->Post([&] { inside = loop->InLoopThread(); });
  loop->Post([&] { loop->Stop(); });
  thread.join();
  CHECK(!loop->InLoopThread());
  CHECK(inside);
  REQUIRE(order.size() == 100);
  CHECK(std::is_sorted(order.begin(), order.end()));
}

TEST_CASE("tasks posted before Stop still run, and a loop stopped before it ran returns") {
  const SystemClock clock;
  const auto loop = *EventLoop::Create(clock);
  int ran = 0;
  loop->Post([&] { ++ran; });
  loop->Stop();
  loop->Run();
  CHECK(ran == 1);
}

TEST_CASE("timers fire in order of their time, and cancelled ones not at all") {
  test::FakeClock clock;
  const auto loop = *EventLoop::Create(clock);
  std::vector<int> order;
  const auto note = [&order](int n) { return [&order, n] { order.push_back(n); }; };
  loop->RunAfter(std::chrono::milliseconds(30), note(3));
  loop->RunAfter(std::chrono::milliseconds(10), note(1));
  const EventLoop::TimerId cancelled = loop->RunAfter(std::chrono::milliseconds(15), note(9));
  loop->RunAfter(std::chrono::milliseconds(20), note(2));
  loop->RunAfter(std::chrono::milliseconds(31), note(9));
  loop->RunAfter(std::chrono::milliseconds(30), [&] { loop->Stop(); });
  CHECK(cancelled != 0);
  loop->Cancel(cancelled);
  loop->Cancel(cancelled);
  loop->Cancel(12345);
  clock.Advance(std::chrono::milliseconds(30));
  loop->Run();
  CHECK(order == std::vector<int>{1, 2, 3});
}

TEST_CASE("a timer fires by itself, not before its time") {
  const SystemClock clock;
  const auto loop = *EventLoop::Create(clock);
  const SteadyTime before = clock.SteadyNow();
  loop->RunAfter(std::chrono::milliseconds(5), [&] { loop->Stop(); });
  loop->Run();
  CHECK(loop->now() - before >= std::chrono::milliseconds(5));
}

TEST_CASE("a timer that arms itself again does not starve the loop") {
  test::FakeClock clock;
  const auto loop = *EventLoop::Create(clock);
  int turns = 0;
  std::function<void()> again = [&] {
    if (++turns == 3) loop->Stop();
    loop->RunAfter(Duration::zero(), again);
  };
  loop->RunAfter(Duration::zero(), again);
  loop->Run();
  CHECK(turns == 3);
}

TEST_CASE("many cancelled timers do not pile up before the ones that fire") {
  test::FakeClock clock;
  const auto loop = *EventLoop::Create(clock);
  int fired = 0;
  for (int i = 0; i < 10000; ++i) {
    const auto id = loop->RunAfter(std::chrono::hours(1), [&] { ++fired; });
    if (i % 100 != 0) loop->Cancel(id);
  }
  loop->RunAfter(std::chrono::hours(1), [&] { loop->Stop(); });
  clock.Advance(std::chrono::hours(1));
  loop->Run();
  CHECK(fired == 100);
}

TEST_CASE("a handler hears of its descriptor until it is removed") {
  const SystemClock clock;
  const auto loop = *EventLoop::Create(clock);
  const Pipe pipe;
  CallingHandler handler;
  int calls = 0;
  handler.call = [&](std::uint32_t events) {
    CHECK((events & EPOLLIN) != 0);
    if (++calls < 3) return;
    loop->Remove(pipe.out.get(), &handler);
    loop->RunAfter(std::chrono::milliseconds(1), [&] { loop->Stop(); });
  };
  REQUIRE(loop->Add(pipe.out.get(), EPOLLIN, &handler));
  pipe.Fill();
  loop->Run();
  CHECK(calls == 3);
}

TEST_CASE("a handler removed by another in the same turn is not called") {
  const SystemClock clock;
  const auto loop = *EventLoop::Create(clock);
  const Pipe a, b;
  CallingHandler first, second;
  int calls = 0;
  const auto remove_both = [&](std::uint32_t) {
    ++calls;
    loop->Remove(a.out.get(), &first);
    loop->Remove(b.out.get(), &second);
    loop->Post([&] { loop->Stop(); });
  };
  first.call = remove_both;
  second.call = remove_both;
  a.Fill();
  b.Fill();
  REQUIRE(loop->Add(a.out.get(), EPOLLIN, &first));
  REQUIRE(loop->Add(b.out.get(), EPOLLIN, &second));
  loop->Run();
  CHECK(calls == 1);
}

TEST_CASE("an event of a closed descriptor does not reach the next one with its number") {
  const SystemClock clock;
  const auto loop = *EventLoop::Create(clock);
  Pipe a, b;
  CallingHandler first, second, heir;
  int heir_calls = 0;
  std::optional<Pipe> fresh;
  const auto replace = [&](Pipe& other, CallingHandler& handler) {
    const int number = other.out.get();
    loop->Remove(number, &handler);
    fresh.emplace();
    other.out.Reset();
    other.in.Reset();
    REQUIRE(dup3(fresh->out.get(), number, O_CLOEXEC) == number);
    other.out.Reset(number);
    REQUIRE(loop->Add(number, EPOLLIN, &heir));
    loop->Post([&] { loop->Stop(); });
  };
  first.call = [&](std::uint32_t) { replace(b, second); };
  second.call = [&](std::uint32_t) { replace(a, first); };
  heir.call = [&](std::uint32_t) { ++heir_calls; };
  a.Fill();
  b.Fill();
  REQUIRE(loop->Add(a.out.get(), EPOLLIN | EPOLLET, &first));
  REQUIRE(loop->Add(b.out.get(), EPOLLIN | EPOLLET, &second));
  loop->Run();
  CHECK(fresh.has_value());
  CHECK(heir_calls == 0);
}

TEST_CASE("a handler may be changed and may destroy itself") {
  const SystemClock clock;
  const auto loop = *EventLoop::Create(clock);
  const Pipe pipe;
  auto first = std::make_unique<CallingHandler>();
  auto second = std::make_unique<CallingHandler>();
  bool destroyed = false;
  first->call = [&](std::uint32_t) {
    REQUIRE(loop->Modify(pipe.out.get(), EPOLLIN, second.get()));
  };
  second->call = [&](std::uint32_t) {
    loop->Remove(pipe.out.get(), second.get());
    loop->Stop();
    destroyed = true;
    second.reset();
  };
  REQUIRE(loop->Add(pipe.out.get(), EPOLLIN, first.get()));
  pipe.Fill();
  loop->Run();
  CHECK(destroyed);
}

TEST_CASE("what epoll cannot watch is refused") {
  const SystemClock clock;
  const auto loop = *EventLoop::Create(clock);
  CallingHandler handler;
  const UniqueFd file(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  CHECK(!loop->Add(file.get(), EPOLLIN, &handler));
}

TEST_CASE("what is posted before Stop() is run, also while the loop is busy") {
  const SystemClock clock;
  const auto loop = *EventLoop::Create(clock);
  std::atomic<bool> busy = false, go_on = false, last = false;
  std::thread thread([&] { loop->Run(); });
  loop->Post([&] {
    busy = true;
    busy.notify_all();
    go_on.wait(false);
  });
  busy.wait(false);
  loop->Post([&] { last = true; });
  loop->Stop();
  go_on = true;
  go_on.notify_all();
  thread.join();
  CHECK(last);
}

}  // namespace signet::net
