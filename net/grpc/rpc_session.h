// The server's end of one gRPC connection: HTTP/2 (RFC 9113, by nghttp2) in and out as bytes, calls
// to a service and back. It has no socket; rpc_server.h gives it one.
//
// Bounds: a message, what is buffered of all calls of a connection in either direction, fields of a
// request, streams at a time. Of each call one message is read ahead of what its handler asked for,
// and a stream's window more; the connection's window is given back at once, so that a handler that
// reads late holds up its own call only. Output is produced only as far as it is taken. What costs
// the peer nothing draws on a budget; when that is used up, the connection ends with
// ENHANCE_YOUR_CALM.
//
// Compressed messages are refused: their size is known only when they are unpacked. Answers are
// wiped once they are sent, as they may hold keys; but for nghttp2's one buffer of 16 kB.
//
// Threads: the loop's, but for what RpcCall promises.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "net/grpc/rpc.h"
#include "net/grpc/rpc_mailbox.h"
#include "net/http2_budget.h"
#include "net/http2_memory.h"

namespace signet::net {

template <class Session>
struct Http2Callbacks;

struct RpcLimits {
  std::size_t message_bytes = std::size_t{16} << 20;  // of one request message
  // Of requests of one connection that wait to be whole or to be asked for; twice message_bytes if
  // that is more. The call that goes beyond is refused.
  std::size_t connection_bytes = std::size_t{32} << 20;
  // Of answers of one connection that the peer does not take. While it is more, a call that answers
  // is finished with RESOURCE_EXHAUSTED instead: so much and one message can wait.
  std::size_t answer_bytes = std::size_t{32} << 20;
  std::size_t head_bytes = 16 * 1024;  // fields of a request, each with 32 more (RFC 9113, 6.5.2)
  std::uint32_t streams = 256;
  // For local sockets, whose callers name no host: many say the socket's path in :authority, which
  // nghttp2 refuses there. Fields are then checked by the session, as far as they mean anything.
  bool any_authority = false;
};

class RpcSession;

// One call. Kept alive by its session until it is over, and by whoever holds it as RpcCall.
class RpcStream final : public RpcCall, public std::enable_shared_from_this<RpcStream> {
 public:
  RpcStream(RpcSession& session, std::int32_t id, std::shared_ptr<RpcMailbox> mailbox)
      : mailbox_(std::move(mailbox)), session_(&session), id_(id) {}

  // RpcCall.
  void Read() override;
  void Send(std::string message) override;
  void Finish(RpcStatus status) override;
  SteadyTime deadline() const override { return deadline_; }
  std::vector<std::string> Field(std::string_view name) const override;
  void HoldConnection(SteadyTime until) override;

  // What was put into the mailbox.
  void CarryOut(RpcMailbox::Wish wish);

 private:
  friend class RpcSession;
  friend struct Http2Callbacks<RpcSession>;
  // The request's fields, until the head is whole.
  struct Head {
    // RFC 9113, 8.3: pseudo-fields stand before all others, each once, and there are four.
    bool IsInOrder(std::string_view name);

    std::string method, path, content_type, timeout;
    std::vector<std::pair<std::string, std::string>> wanted;  // by the service
    std::size_t cost = 0;
    unsigned pseudo = 0;  // a bit for each that was there
    bool others = false;
  };

  bool MustQueue() const { return !mailbox_->InLoop() || queued_ != 0; }
  void Enqueue(RpcMailbox::Wish wish);
  void DoRead();
  void DoSend(std::string message);
  void Append(std::string_view message);
  void DoFinish(RpcStatus status);
  // Hands on what is there, as far as it is asked for.
  void Deliver();
  bool TakeMessage(std::string* message);
  // False: the call was finished for it.
  bool CheckPrefix();
  // What was received and not handed on.
  std::string_view held() const { return std::string_view(in_).substr(in_at_); }
  void DropInput();
  void DropOutput();
  void ConsumeAhead();
  void Consume(std::size_t bytes);
  std::size_t waiting() const { return out_.size() - out_at_; }

  const std::shared_ptr<RpcMailbox> mailbox_;
  std::atomic<std::size_t> queued_{0};  // wishes of other threads that were not carried out yet
  // The loop's.
  RpcSession* session_;  // null: the call is over
  const std::int32_t id_;
  std::shared_ptr<RpcHandler> handler_;
  Head head_;
  SteadyTime deadline_ = SteadyTime::max();
  std::string in_;
  std::size_t in_at_ = 0;       // what stands before was handed on
  std::size_t unconsumed_ = 0;  // of the rest, what the stream's window does not know of yet
  bool began_ = false;
  bool reading_ = false;
  bool delivering_ = false;
  bool in_ended_ = false;
  std::string out_;
  std::size_t out_at_ = 0;
  std::optional<RpcStatus> status_;
  bool answered_ = false;   // the response's head was submitted
  bool deferred_ = false;   // nghttp2 waits for more
  bool out_ended_ = false;  // the whole answer was sent
};

class RpcSession {
 public:
  // `on_output` is called when there may be something to produce, also from within this object's
  // functions. All references outlive it.
  RpcSession(RpcService& service, std::shared_ptr<const RpcPeer> peer,
             std::shared_ptr<RpcMailbox> mailbox, const RpcLimits& limits, const EventLoop& loop,
             std::function<void()> on_output);
  // All calls are over.
  ~RpcSession();
  RpcSession(const RpcSession&) = delete;
  RpcSession& operator=(const RpcSession&) = delete;

  void Receive(std::string_view bytes);
  // Appends what is to be sent, until `out` has about `most` bytes.
  void Produce(std::size_t most, std::string* out);
  // Everything was said: close once it is sent.
  bool over() const;
  // Takes no more calls, and is over when those under way are.
  void Drain();
  // The peer is not served any more: no call begins, and no message is handed on.
  void Stop() { stopped_ = true; }
  // Whether the peer's preface came, which ends with its settings.
  bool greeted() const { return greeted_; }
  void Ping();
  bool ping_unanswered() const { return ping_unanswered_; }
  std::size_t calls() const { return streams_.size(); }
  // Gives back memory that only sending needs, if everything was said. Now and then.
  void Rest();
  // When the peer last did more than answer pings.
  SteadyTime last_used() const { return last_used_; }
  // Until when nothing more is to be received (RpcCall::HoldConnection()).
  SteadyTime held_until() const { return held_until_; }

 private:
  friend class RpcStream;
  friend struct Http2Callbacks<RpcSession>;

  int OnBeginHeaders(std::int32_t id, bool trailers);
  int OnField(std::int32_t id, std::string_view name, std::string_view value);
  int OnFrame(const void* frame);
  int OnChunk(std::int32_t id, std::string_view data);
  int OnClose(std::int32_t id, std::uint32_t error);
  long ReadPending(std::int32_t id, std::span<std::uint8_t> out, std::uint32_t* flags);
  void OnFrameSent(const void* frame);

  void Begin(RpcStream& stream);
  void Refuse(RpcStream& stream, const char* http_status);
  void EndInput(RpcStream& stream);
  void SubmitHead(RpcStream& stream);
  void SubmitTrailersOnly(RpcStream& stream);
  void Resume(RpcStream& stream);
  void Charge(double cost = 1);
  std::shared_ptr<RpcStream> Find(std::int32_t id) const;
  void EndAll();

  RpcService& service_;
  const std::shared_ptr<const RpcPeer> peer_;
  const std::shared_ptr<RpcMailbox> mailbox_;
  const RpcLimits limits_;
  const EventLoop& loop_;
  const std::function<void()> on_output_;
  Http2Memory memory_;
  nghttp2_session* session_ = nullptr;
  Http2Budget budget_;
  std::unordered_map<std::int32_t, std::shared_ptr<RpcStream>> streams_;
  std::vector<std::shared_ptr<RpcStream>> sent_;  // those whose output has run out
  std::size_t buffered_ = 0;                      // bytes held() by all streams
  std::size_t unsent_ = 0;                        // bytes waiting() in all streams
  SteadyTime last_used_;
  SteadyTime held_until_{};
  bool ping_unanswered_ = false;
  bool greeted_ = false;
  bool sent_much_ = false;  // since the last Rest()
  bool all_said_ = false;   // by the last Produce()
  bool stopped_ = false;
  bool dead_ = false;
};

}  // namespace signet::net
