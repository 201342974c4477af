// Upstream connections of one worker: opened when a request needs one, kept for a while after it,
// and shared only by requests of the same listener, the same protocol and the same two identities.
// A caller's requests never follow another caller's on one connection, so what one of them could
// smuggle would reach itself only.
//
// Threads: one worker's.
#pragma once

#include <deque>
#include <list>
#include <map>
#include <tuple>

#include "proxy/forward/connection.h"
#include "proxy/http/http_settings.h"
#include "proxy/http/turn.h"
#include "proxy/http/upstream.h"

namespace signet::proxy {

class UpstreamConnection;

struct UpstreamKind {
  bool http2 = false;
  bool tls = false;
};

// The connections that requests of one kind share.
struct UpstreamGroup {
  std::shared_ptr<Lane> lane;
  HttpVersion version = HttpVersion::kHttp11;
  std::vector<UpstreamConnection*> all;   // connecting, idle and busy
  std::vector<UpstreamConnection*> idle;  // HTTP/1: the one used last is used first
  std::deque<UpstreamWaiter*> waiters;    // nobody is assigned yet
  std::size_t connecting = 0;
};
using UpstreamGroupPtr = std::shared_ptr<UpstreamGroup>;

class UpstreamPool {
 public:
  // All outlive this.
  UpstreamPool(ConnectionHost& host, Turns& turns);
  ~UpstreamPool();

  // `identity`: the caller's (inbound) or this proxy's own (outbound).
  UpstreamGroupPtr GroupOf(const std::shared_ptr<Lane>& lane, const std::string& identity,
                           HttpVersion version);
  void Want(const UpstreamGroupPtr& group, bool fresh, UpstreamWaiter& waiter);
  static void Withdraw(UpstreamGroup& group, UpstreamWaiter& waiter);

  // After rules, bundles or the identity changed: what no longer holds is cut.
  void DecideAgain();
  // Ends all.
  void CutAll();
  std::size_t connections() const { return all_.size(); }

 private:
  friend class UpstreamConnection;
  using Key = std::tuple<const Lane*, std::string, HttpVersion>;

  // From connections.
  std::unique_ptr<ClientCodec> MakeCodec(OutputBuffer& out, ClientHost& client,
                                         const UpstreamKind& kind);
  void OnOpen(UpstreamConnection& connection);
  void OnRoom(UpstreamConnection& connection);
  void OnOver(UpstreamConnection& connection, const UpstreamFailure* failure);
  void Serve(UpstreamGroup& group, UpstreamConnection& connection);
  void OpenFor(const UpstreamGroupPtr& group);
  void LookAtAges();
  void Sweep();
  void ArmSweep();

  ConnectionHost& host_;
  Turns& turns_;
  std::map<Key, UpstreamGroupPtr> groups_;
  std::list<std::unique_ptr<UpstreamConnection>> all_;
  net::EventLoop::TimerId sweep_ = 0;
};

}  // namespace signet::proxy
