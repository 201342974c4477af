#include "net/event_loop.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/check.h"

namespace signet::net {
namespace {

constexpr Reason kEventLoopFailed{"event loop failed"};
constexpr int kEventsPerTurn = 256;
constexpr std::uint64_t kWakeKey = ~std::uint64_t{0};

// A descriptor's row: epoll's user data is its generation and number, so that an event fetched
// before Remove(), or one of an earlier descriptor with the same number, is told apart.
struct Registration {
  EventHandler* handler = nullptr;
  std::uint32_t generation = 0;
};

struct Timer {
  SteadyTime when;
  EventLoop::TimerId id;
  bool operator<(
      const Timer& other) const {  // std heaps are max-heaps; ids keep equal times in order
    return when != other.when ? when > other.when : id > other.id;
  }
};

std::uint64_t Key(std::uint32_t generation, int fd) {
  return std::uint64_t{generation} << 32 | static_cast<std::uint32_t>(fd);
}

}  // namespace

struct EventLoop::State {
  explicit State(const Clock& loop_clock) : clock(loop_clock), now(loop_clock.SteadyNow()) {}

  const Clock& clock;
  UniqueFd epoll;
  UniqueFd wake;
  SteadyTime now;
  std::vector<Registration> registrations;  // by descriptor

  std::vector<Timer> heap;
  std::unordered_map<TimerId, Task>
      timers;  // the live ones; cancelled ones stay in the heap until popped
  TimerId last_timer = 0;

  std::mutex mutex;
  std::vector<Task> posted;  // guarded by mutex
  std::atomic<bool> stopped{false};
  std::atomic<std::thread::id> thread;

  void Wake() const {
    const std::uint64_t one = 1;
    // Fails only when the counter is full, and then the loop is awake anyway.
    (void)!write(wake.get(), &one, sizeof one);
  }

  void RunPosted() {
    std::vector<Task> tasks;
    {
      const std::lock_guard lock(mutex);
      tasks.swap(posted);
    }
    for (Task& task : tasks) task();
  }

  void RunTimers() {
    const TimerId newest = last_timer;  // those made meanwhile wait for the next turn
    while (!heap.empty() && heap.front().when <= now && heap.front().id <= newest) {
      std::pop_heap(heap.begin(), heap.end());
      const TimerId id = heap.back().id;
      heap.pop_back();
      const auto found = timers.find(id);
      if (found == timers.end()) continue;
      const Task task = std::move(found->second);
      timers.erase(found);
      task();
    }
  }

  // Milliseconds to sleep, rounded up; -1: until something happens.
  int SleepTime() {
    while (!heap.empty() && !timers.contains(heap.front().id)) {
      std::pop_heap(heap.begin(), heap.end());
      heap.pop_back();
    }
    if (heap.empty()) return -1;
    const auto wait =
        std::chrono::ceil<std::chrono::milliseconds>(heap.front().when - clock.SteadyNow());
    return static_cast<int>(std::clamp<std::int64_t>(wait.count(), 0, 60'000));
  }

  void Dispatch(const epoll_event& event) {
    if (event.data.u64 == kWakeKey) {
      std::uint64_t count = 0;
      (void)!read(wake.get(), &count, sizeof count);
      return;
    }
    const auto fd = static_cast<std::size_t>(event.data.u64 & 0xffffffffu);
    const Registration& row = registrations[fd];
    if (row.handler == nullptr || row.generation != event.data.u64 >> 32) return;
    row.handler->OnEvents(event.events);
  }

  Status Control(int operation, int fd, std::uint32_t events) const {
    epoll_event event{};
    event.events = events;
    event.data.u64 = Key(registrations[static_cast<std::size_t>(fd)].generation, fd);
    if (epoll_ctl(epoll.get(), operation, fd, &event) == 0) return {};
    return Fail(Code::kResourceExhausted, kEventLoopFailed,
                fmt::format("epoll_ctl: {}", ErrnoText(errno)));
  }

  // Forgets cancelled timers once they outnumber the live ones, so cancelling often costs no
  // memory.
  void CompactHeap() {
    if (heap.size() < 64 || heap.size() < 2 * timers.size()) return;
    std::erase_if(heap, [this](const Timer& timer) { return !timers.contains(timer.id); });
    std::make_heap(heap.begin(), heap.end());
  }
};

EventLoop::EventLoop(std::unique_ptr<State> state) : state_(std::move(state)) {}
EventLoop::~EventLoop() = default;

Result<std::unique_ptr<EventLoop>> EventLoop::Create(const Clock& clock) {
  auto state = std::make_unique<State>(clock);
  state->epoll.Reset(epoll_create1(EPOLL_CLOEXEC));
  state->wake.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeKey;
  if (!state->epoll.valid() || !state->wake.valid() ||
      epoll_ctl(state->epoll.get(), EPOLL_CTL_ADD, state->wake.get(), &event) != 0)
    return Fail(Code::kResourceExhausted, kEventLoopFailed, ErrnoText(errno));
  return std::unique_ptr<EventLoop>(new EventLoop(std::move(state)));
}

void EventLoop::Run() {
  State& state = *state_;
  state.thread = std::this_thread::get_id();
  std::array<epoll_event, kEventsPerTurn> events;
  while (true) {
    state.RunPosted();
    if (state.stopped) {
      state.RunPosted();  // what came in between, before Stop()
      break;
    }
    const int count =
        epoll_wait(state.epoll.get(), events.data(), kEventsPerTurn, state.SleepTime());
    CHECK_TRUE(count >= 0 || errno == EINTR);
    state.now = state.clock.SteadyNow();
    state.RunTimers();
    for (int i = 0; i < count; ++i) state.Dispatch(events[static_cast<std::size_t>(i)]);
  }
  state.thread = std::thread::id();
}

void EventLoop::Stop() {
  state_->stopped = true;
  state_->Wake();
}

void EventLoop::Post(Task task) {
  bool first = false;
  {
    const std::lock_guard lock(state_->mutex);
    first = state_->posted.empty();
    state_->posted.push_back(std::move(task));
  }
  if (first) state_->Wake();
}

bool EventLoop::InLoopThread() const { return state_->thread == std::this_thread::get_id(); }

Status EventLoop::Add(int fd, std::uint32_t events, EventHandler* handler) {
  CHECK_TRUE(fd >= 0 && handler != nullptr);
  const auto index = static_cast<std::size_t>(fd);
  if (state_->registrations.size() <= index)
    state_->registrations.resize(std::max(index + 1, 2 * state_->registrations.size()));
  Registration& row = state_->registrations[index];
  CHECK_TRUE(row.handler == nullptr);
  ++row.generation;
  SIGNET_RETURN_IF_ERROR(state_->Control(EPOLL_CTL_ADD, fd, events));
  row.handler = handler;
  return {};
}

Status EventLoop::Modify(int fd, std::uint32_t events, EventHandler* handler) {
  const auto index = static_cast<std::size_t>(fd);
  CHECK_TRUE(index < state_->registrations.size() && state_->registrations[index].handler);
  SIGNET_RETURN_IF_ERROR(state_->Control(EPOLL_CTL_MOD, fd, events));
  state_->registrations[index].handler = handler;
  return {};
}

void EventLoop::Remove(int fd, EventHandler* handler) {
  const auto index = static_cast<std::size_t>(fd);
  if (fd < 0 || index >= state_->registrations.size()) return;
  Registration& row = state_->registrations[index];
  if (row.handler != handler) return;
  row.handler = nullptr;
  epoll_ctl(state_->epoll.get(), EPOLL_CTL_DEL, fd, nullptr);
}

EventLoop::TimerId EventLoop::RunAfter(Duration delay, Task task) {
  State& state = *state_;
  const TimerId id = ++state.last_timer;
  state.timers.emplace(id, std::move(task));
  state.heap.push_back({state.clock.SteadyNow() + delay, id});
  std::push_heap(state.heap.begin(), state.heap.end());
  return id;
}

void EventLoop::Cancel(TimerId id) {
  if (state_->timers.erase(id) != 0) state_->CompactHeap();
}

SteadyTime EventLoop::now() const { return state_->now; }
const Clock& EventLoop::clock() const { return state_->clock; }

}  // namespace signet::net
