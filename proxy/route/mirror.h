// Copies of requests on their way to a second backend. A mirror gets what the first backend gets
// and its answer is read and dropped: nobody waits for it, and one that does not keep up is given
// up. It may outlive the request it copies.
//
// Threads: one worker's. Ownership: Mirrors owns each until it is over.
#pragma once

#include <list>
#include <memory>

#include "proxy/http/turn.h"
#include "proxy/http/upstream_pool.h"

namespace signet::proxy {

class Mirrors;

class Mirror final : public Mortal, private UpstreamWaiter, private ClientStreamEvents {
 public:
  Mirror(Mirrors& owner, RequestHead request, bool whole);
  ~Mirror() override;

  // In this order. After an end the mirror is on its own, and must not be called again.
  void Start(const UpstreamGroupPtr& group, UpstreamPool& pool);
  void SendData(std::string_view data);
  void SendEnd(const Fields& trailers);
  // The request it copies will not become whole.
  void Abandon();

  std::list<std::unique_ptr<Mirror>>::iterator place;

 private:
  static constexpr std::size_t kMaxWaiting = 256 * 1024;

  void OnUpstream(ClientCodec& codec, bool reused) override;
  void OnNoUpstream(const UpstreamFailure&) override;
  void OnHead(ResponseHead) override {}
  void OnData(std::string_view data) override;
  void OnEnd(const Fields& trailers) override;
  void OnFault(StreamFault fault) override;
  void OnDrained() override {}
  void Over();
  void Release();

  Mirrors& owner_;
  RequestHead request_;
  bool whole_;
  bool attached_ = true;  // somebody still sends
  bool over_ = false;
  UpstreamGroupPtr group_;  // while it waits for a connection
  ClientStream* up_ = nullptr;
  std::string early_body_;
  Fields early_trailers_;
  net::EventLoop::TimerId timer_ = 0;
};

// Those of one worker.
class Mirrors {
 public:
  // Both outlive this.
  Mirrors(net::EventLoop& loop, Turns& turns) : loop_(loop), turns_(turns) {}
  ~Mirrors();

  // Null when too many are on their way. The caller sends its body, and ends or abandons it.
  Mirror* Add(const RequestHead& request, bool whole);

 private:
  friend class Mirror;
  static constexpr std::size_t kMaxMirrors = 1024;

  net::EventLoop& loop_;
  Turns& turns_;
  std::list<std::unique_ptr<Mirror>> all_;
};

}  // namespace signet::proxy
