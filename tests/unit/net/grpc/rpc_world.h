// A service whose calls a test looks at and answers, and a session without a socket before it.
#pragma once

#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "net/grpc/rpc_session.h"
#include "net/grpc/rpc_wire.h"
#include "tests/support/fake_clock.h"
#include "tests/support/http2_caller.h"

namespace signet::net {

namespace h2 = test::h2;
using test::Http2Reader;

inline h2::List RpcHead(const std::string& path, const h2::List& more = {}) {
  h2::List fields = h2::Post(path);
  fields.emplace_back("content-type", "application/grpc");
  fields.insert(fields.end(), more.begin(), more.end());
  return fields;
}
inline std::string HeadersFrame(std::uint32_t id, const h2::List& fields, bool end = false) {
  return h2::Frame(h2::kHeaders, h2::kEndHeaders | (end ? h2::kEndStream : 0), id,
                   h2::Block(fields));
}
inline std::string DataFrame(std::uint32_t id, const std::string& bytes, bool end = false) {
  return h2::Frame(h2::kData, end ? h2::kEndStream : 0, id, bytes);
}
inline std::string Prefixed(const std::string& message) {
  std::string bytes;
  AppendRpcPrefix(static_cast<std::uint32_t>(message.size()), &bytes);
  return bytes + message;
}
// One whole call with one message.
inline std::string CallFrames(std::uint32_t id, const std::string& path,
                              const std::string& message) {
  return HeadersFrame(id, RpcHead(path)) + DataFrame(id, Prefixed(message), true);
}

// What happened to a call, and its way back. Paths say what the handler does by itself: "/echo"
// answers each message with itself, asks for the next and finishes at the end; "/once" answers the
// first one and finishes; all others leave it to the test.
//
// Threads: the loop's; what is read from others is guarded.
class TestHandler final : public RpcHandler {
 public:
  TestHandler(std::string call_path, std::shared_ptr<RpcCall> rpc_call)
      : path(std::move(call_path)), call(std::move(rpc_call)) {
    if (path == "/echo" || path == "/once") call->Read();
  }
  void OnMessage(std::string message) override {
    CHECK(over == 0);
    messages.push_back(message);
    if (path != "/echo" && path != "/once") return;
    call->Send(std::move(message));
    if (path == "/once") call->Finish({});
    if (path == "/echo") call->Read();
  }
  void OnHalfClose() override {
    CHECK(over == 0);
    ++half_closes;
    if (path == "/echo") call->Finish({});
  }
  void OnSent() override {
    CHECK(over == 0);
    ++sent;
    if (on_sent) on_sent();
  }
  void OnOver() override { ++over; }

  const std::string path;
  const std::shared_ptr<RpcCall> call;
  const std::vector<std::string> wanted = call->Field("x-wanted"), other = call->Field("x-other");
  std::vector<std::string> messages;
  std::function<void()> on_sent;
  int half_closes = 0, sent = 0, over = 0;
};

class TestService final : public RpcService {
 public:
  struct Peer final : RpcPeer {
    std::string name;
  };
  bool WantsField(std::string_view name) const override { return name == "x-wanted"; }
  std::shared_ptr<const RpcPeer> Meet(const PeerIdentity* peer, std::string) override {
    auto met = std::make_shared<Peer>();
    met->name = peer == nullptr ? "anonymous" : peer->name;
    return met;
  }
  std::shared_ptr<RpcHandler> Begin(const std::string& path, const std::shared_ptr<const RpcPeer>&,
                                    const std::shared_ptr<RpcCall>& call) override {
    if (path == "/refused") call->Finish({7, "100% \xc3\xbc\n", "details"});
    handlers.push_back(std::make_shared<TestHandler>(path, call));
    return handlers.back();
  }
  std::vector<std::shared_ptr<TestHandler>> handlers;
};

// A session whose loop does not run: the test's thread is the loop's.
struct SessionWorld {
  explicit SessionWorld(const RpcLimits& limits = {}, const std::string& settings = "")
      : session(service, nullptr, Open(), limits, *loop, [] {}) {
    Receive(h2::kPreface + h2::Frame(h2::kSettings, 0, 0, settings));
  }
  ~SessionWorld() { mailbox->Close(); }
  std::shared_ptr<RpcMailbox> Open() {
    mailbox->Open();
    return mailbox;
  }
  void Receive(const std::string& bytes) { session.Receive(bytes); }
  // Takes all the session says, and answers it as a peaceful peer does.
  void Exchange() {
    for (;;) {
      std::string out;
      session.Produce(64 * 1024, &out);
      if (out.empty()) break;
      held += out;
      std::string reply;
      while (const auto frame = Http2Reader::TakeFrame(&held)) reply += reader.Note(*frame);
      Receive(reply);
    }
  }
  Http2Reader::Answer& Answer(std::uint32_t id) {
    Exchange();
    return reader.answers()[id];
  }
  // The status of a call's trailers, or "none".
  std::string StatusOf(std::uint32_t id) {
    const auto& heads = Answer(id).heads;
    if (heads.empty() || !heads.back().contains("grpc-status")) return "none";
    return heads.back().at("grpc-status");
  }
  TestHandler& handler(std::size_t i = 0) { return *service.handlers.at(i); }

  test::FakeClock clock;
  std::unique_ptr<EventLoop> loop = *EventLoop::Create(clock);
  RpcTurn turn{{[](std::uint64_t) {}, [](std::uint64_t, ConnectionEnd) {}, [] {}}};
  std::shared_ptr<RpcMailbox> mailbox = std::make_shared<RpcMailbox>(*loop, turn);
  TestService service;
  RpcSession session;
  Http2Reader reader;
  std::string held;
};

}  // namespace signet::net
