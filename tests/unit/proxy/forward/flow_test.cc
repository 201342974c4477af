#include "proxy/forward/flow.h"

#include <catch2/catch.hpp>
#include <deque>
#include <string>

namespace signet::proxy {
namespace {

using net::IoResult;
using net::IoStatus;

// A stream in memory: what it gives, how much it takes, and how it ends are the test's to say.
class ScriptedStream final : public ByteStream {
 public:
  void Gives(std::string bytes) { incoming_.push_back(std::move(bytes)); }
  void Ends() { ended_ = true; }
  void Breaks() { broken_ = true; }
  void TakesAtMost(std::size_t bytes) { room_ = bytes; }
  void RefusesWrites() { refuses_ = true; }
  void HoldsCloseBack(bool yes) { holds_close_ = yes; }

  const std::string& written() const { return written_; }
  bool write_closed() const { return write_closed_; }
  int reads() const { return reads_; }

  IoResult Read(std::span<std::uint8_t> out) override {
    ++reads_;
    if (incoming_.empty())
      return {broken_ ? IoStatus::kError : ended_ ? IoStatus::kEof : IoStatus::kWantRead};
    std::string& next = incoming_.front();
    const std::size_t count = std::min(out.size(), next.size());
    std::copy_n(next.begin(), count, out.begin());
    next.erase(0, count);
    if (next.empty()) incoming_.pop_front();
    return {IoStatus::kOk, count};
  }
  IoResult Write(ByteView bytes) override {
    REQUIRE_FALSE(write_closed_);
    if (refuses_) return {IoStatus::kError};
    if (room_ == 0) return {IoStatus::kWantWrite};
    const std::size_t count = std::min(bytes.size(), room_);
    room_ -= count;
    written_ += AsText(bytes.first(count));
    return {IoStatus::kOk, count};
  }
  IoStatus CloseWrite() override {
    if (holds_close_) return IoStatus::kWantWrite;
    write_closed_ = true;
    return IoStatus::kOk;
  }
  void OnReady(std::uint32_t) override {}

 private:
  std::deque<std::string> incoming_;
  std::string written_;
  std::size_t room_ = 1U << 30;
  int reads_ = 0;
  bool ended_ = false, broken_ = false, refuses_ = false, holds_close_ = false;
  bool write_closed_ = false;
};

struct World {
  ScriptedStream source, destination;
  BufferPool pool{4};
  Flow flow{source, destination, pool};
  FlowStop Pump(std::size_t budget = 1U << 30) { return flow.Pump(&budget); }
};

TEST_CASE("a flow passes bytes on and holds no buffer while it waits") {
  World world;
  world.source.Gives("hello ");
  world.source.Gives("world");
  CHECK(world.Pump() == FlowStop::kIdle);
  CHECK(world.destination.written() == "hello world");
  CHECK(world.flow.bytes() == 11);
  CHECK(world.pool.in_use() == 0);
  CHECK_FALSE(world.destination.write_closed());
}

TEST_CASE("the end of the source closes the destination's write half after the last byte") {
  World world;
  world.source.Gives("last words");
  world.source.Ends();
  CHECK(world.Pump() == FlowStop::kEnded);
  CHECK(world.flow.state() == FlowState::kClosed);
  CHECK(world.destination.written() == "last words");
  CHECK(world.destination.write_closed());
  CHECK(world.pool.in_use() == 0);
}

TEST_CASE("an end that the destination cannot take yet is passed on later") {
  World world;
  world.source.Ends();
  world.destination.HoldsCloseBack(true);
  CHECK(world.Pump() == FlowStop::kBlocked);
  CHECK(world.flow.state() == FlowState::kDraining);
  world.destination.HoldsCloseBack(false);
  CHECK(world.Pump() == FlowStop::kEnded);
  CHECK(world.flow.state() == FlowState::kClosed);
}

TEST_CASE("a destination that takes nothing stops the reading at one buffer") {
  World world;
  world.destination.TakesAtMost(10);
  for (int i = 0; i < 10; ++i) world.source.Gives(std::string(kBufferBytes, 'x'));
  CHECK(world.Pump() == FlowStop::kBlocked);
  CHECK(world.flow.pending() == kBufferBytes - 10);
  CHECK(world.pool.in_use() == 1);
  const int reads = world.source.reads();
  CHECK(world.Pump() == FlowStop::kBlocked);
  CHECK(world.source.reads() == reads);
  world.destination.TakesAtMost(1U << 30);
  CHECK(world.Pump() == FlowStop::kIdle);
  CHECK(world.flow.bytes() == 10 * kBufferBytes);
}

TEST_CASE("a flow stops at its budget and goes on with the next") {
  World world;
  for (int i = 0; i < 8; ++i) world.source.Gives(std::string(kBufferBytes, 'x'));
  CHECK(world.Pump(2 * kBufferBytes) == FlowStop::kBudget);
  CHECK(world.flow.bytes() == 2 * kBufferBytes);
  CHECK(world.Pump(100 * kBufferBytes) == FlowStop::kIdle);
  CHECK(world.flow.bytes() == 8 * kBufferBytes);
}

TEST_CASE("a source that breaks off is never passed on as an orderly end") {
  World world;
  world.source.Gives("half a mess");
  world.source.Breaks();
  CHECK(world.Pump() == FlowStop::kEnded);
  CHECK(world.flow.state() == FlowState::kBroken);
  CHECK(world.flow.source_broke());
  CHECK(world.destination.written() == "half a mess");
  CHECK_FALSE(world.destination.write_closed());
}

TEST_CASE("what came before a break is written once the destination takes it") {
  World world;
  world.source.Gives("half");
  world.source.Breaks();
  world.destination.TakesAtMost(0);
  CHECK(world.Pump() == FlowStop::kBlocked);
  CHECK(world.flow.state() == FlowState::kFailing);
  world.destination.TakesAtMost(100);
  CHECK(world.Pump() == FlowStop::kEnded);
  CHECK(world.destination.written() == "half");
}

TEST_CASE("a destination that takes no more breaks the flow but is not the source's fault") {
  World world;
  world.source.Gives("x");
  world.destination.RefusesWrites();
  CHECK(world.Pump() == FlowStop::kEnded);
  CHECK(world.flow.state() == FlowState::kBroken);
  CHECK_FALSE(world.flow.source_broke());
  CHECK(world.pool.in_use() == 0);
}

TEST_CASE("an ended flow stays ended") {
  World world;
  world.source.Ends();
  CHECK(world.Pump() == FlowStop::kEnded);
  world.source.Gives("too late");
  CHECK(world.Pump() == FlowStop::kEnded);
  CHECK(world.destination.written().empty());
}

TEST_CASE("only the stated moves between flow states exist") {
  const FlowState all[] = {FlowState::kOpen, FlowState::kDraining, FlowState::kFailing,
                           FlowState::kClosed, FlowState::kBroken};
  int allowed = 0;
  for (const FlowState from : all)
    for (const FlowState to : all) allowed += MayMove(from, to) ? 1 : 0;
  CHECK(allowed == 6);
  CHECK_FALSE(MayMove(FlowState::kFailing, FlowState::kClosed));
  CHECK_FALSE(MayMove(FlowState::kClosed, FlowState::kOpen));
}

TEST_CASE("the pool keeps a bounded number of unused buffers") {
  BufferPool pool(2);
  std::vector<std::unique_ptr<Buffer>> taken;
  for (int i = 0; i < 5; ++i) taken.push_back(pool.Take());
  CHECK(pool.in_use() == 5);
  for (auto& buffer : taken) pool.Return(std::move(buffer));
  CHECK(pool.in_use() == 0);
}

}  // namespace
}  // namespace signet::proxy
