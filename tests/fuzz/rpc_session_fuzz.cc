// Any bytes as what a caller sends over a whole gRPC connection after HTTP/2's preface, in pieces,
// to a service that answers at once, late, too much, early, or not at all. Nothing may break, grow
// beyond its bounds, be handed on unasked, or happen to a call that is over; and each call that
// began ends once.
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "net/grpc/rpc_session.h"
#include "tests/support/fake_clock.h"

namespace signet::net {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr std::size_t kMostProduced = std::size_t{1} << 20;

RpcLimits Limits(bool any_authority = false) {
  RpcLimits limits;
  limits.any_authority = any_authority;
  limits.message_bytes = 1000;
  limits.connection_bytes = 4000;
  limits.answer_bytes = 10'000;
  limits.head_bytes = 2000;
  limits.streams = 8;
  return limits;
}

class Handler final : public RpcHandler {
 public:
  Handler(std::shared_ptr<RpcCall> call, std::string_view path) : call_(std::move(call)) {
    late_ = path.starts_with("/l");
    reads_ = !path.starts_with("/n");
    early_ = path.starts_with("/e");
    much_ = path.starts_with("/m");
    if (early_) call_->Finish({7, "not for you \x01%", "details"});
    if (reads_) Ask();
  }
  void OnMessage(std::string message) override {
    CHECK_TRUE(!over && asked_ && !half_closed_);
    CHECK_TRUE(message.size() <= Limits().message_bytes);
    asked_ = false;
    held_.push_back(std::move(message));
    if (!late_) Act();
  }
  void OnHalfClose() override {
    CHECK_TRUE(!over && asked_ && !half_closed_);
    asked_ = false;
    half_closed_ = true;
    if (!late_) Act();
  }
  void OnSent() override { CHECK_TRUE(!over); }
  void OnOver() override {
    CHECK_TRUE(!over);
    over = true;
  }
  void Act() {
    for (std::string& message : std::exchange(held_, {})) {
      const int times = much_ ? 20 : 1;
      for (int i = 0; i < times; ++i) call_->Send(message);
    }
    if (half_closed_)
      call_->Finish({});
    else if (!asked_ && reads_)
      Ask();
  }
  bool over = false;

 private:
  void Ask() {
    asked_ = true;
    call_->Read();
  }
  const std::shared_ptr<RpcCall> call_;
  bool late_ = false, reads_ = false, early_ = false, much_ = false;
  bool asked_ = false, half_closed_ = false;
  std::vector<std::string> held_;
};

class Service final : public RpcService {
 public:
  bool WantsField(std::string_view name) const override { return name == "te"; }
  std::shared_ptr<const RpcPeer> Meet(const PeerIdentity*, std::string) override { return nullptr; }
  std::shared_ptr<RpcHandler> Begin(const std::string& path, const std::shared_ptr<const RpcPeer>&,
                                    const std::shared_ptr<RpcCall>& call) override {
    CHECK_TRUE(path.size() <= Limits().head_bytes);
    for (const std::string& value : call->Field("te"))
      CHECK_TRUE(value.size() <= Limits().head_bytes);
    handlers.push_back(std::make_shared<Handler>(call, path));
    return handlers.back();
  }
  std::vector<std::shared_ptr<Handler>> handlers;
};

void Serve(std::string_view input, std::size_t piece, bool taken, bool any_authority) {
  static const test::FakeClock clock;
  static const auto loop = *EventLoop::Create(clock);
  RpcTurn turn({[](std::uint64_t) {}, [](std::uint64_t, ConnectionEnd) {}, [] {}});
  const auto mailbox = std::make_shared<RpcMailbox>(*loop, turn);
  mailbox->Open();
  Service service;
  {
    RpcSession session(service, nullptr, mailbox, Limits(any_authority), *loop, [] {});
    session.Receive(kPreface);
    std::string out;
    while (!input.empty() && !session.over()) {
      const std::string_view part = input.substr(0, piece);
      input.remove_prefix(part.size());
      session.Receive(part);
      for (const auto& handler : service.handlers)
        if (!handler->over) handler->Act();
      CHECK_TRUE(session.calls() <= 2 * Limits().streams + part.size() / 9);
      if (!taken) continue;
      out.clear();
      session.Produce(kMostProduced, &out);
      CHECK_TRUE(out.size() < kMostProduced);
    }
    session.Drain();
    out.clear();
    session.Produce(kMostProduced, &out);
    CHECK_TRUE(out.size() < kMostProduced);
  }
  for (const auto& handler : service.handlers) CHECK_TRUE(handler->over);
  mailbox->Close();
}

}  // namespace
}  // namespace signet::net

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  signet::net::Serve(input, std::size_t{1} + data[1] * 4, (data[0] & 1) != 0, (data[0] & 2) != 0);
  return 0;
}
