// A gRPC server's calls as its services see them: messages as bytes, a status at the end. What goes
// over the wire is rpc_session.h's business.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "net/tls.h"

namespace signet::net {

// The field of a request that says "1" when its call renews what is about to end: a claim, and no
// more.
inline constexpr std::string_view kRpcRenewalField = "signet-renewal";

// How a call ended. Codes are gRPC's.
struct RpcStatus {
  int code = 0;  // OK
  std::string message;
  std::string details;  // a serialized google.rpc.Status, or empty
  // How long the caller is asked to stay away, told as grpc-retry-pushback-ms (gRFC A6).
  std::optional<std::chrono::milliseconds> retry_after = std::nullopt;
};

// The other end of a connection, as the service knows it.
struct RpcPeer {
  RpcPeer() = default;
  RpcPeer(const RpcPeer&) = default;
  RpcPeer& operator=(const RpcPeer&) = default;
  virtual ~RpcPeer() = default;
};

// The service's way back to the caller.
//
// Threads: safe from any thread, also after the call or its server is gone: then nothing happens.
// What one thread asks for is done in that order.
class RpcCall {
 public:
  virtual ~RpcCall() = default;
  // Asks for one message more; answered by one OnMessage() or OnHalfClose(). A second one before
  // the answer changes nothing.
  virtual void Read() = 0;
  // What is not yet taken by the caller is kept: the service bounds it, by OnSent().
  virtual void Send(std::string message) = 0;
  // After what was sent. The first status counts.
  virtual void Finish(RpcStatus status) = 0;
  // When the caller stops waiting (grpc-timeout); far away if it did not say.
  virtual SteadyTime deadline() const = 0;
  // What the request holds under a name its service wants (RpcService::WantsField), in order. Only
  // while the call begins, and on the loop's thread.
  virtual std::vector<std::string> Field(std::string_view name) const = 0;
  // Nothing is read from the connection of this call until then: the network holds up who sends
  // more than it may. On the loop's thread only.
  virtual void HoldConnection(SteadyTime until) = 0;
};

// What a service does with a call.
//
// Threads: called on the server's loop thread: must be quick.
class RpcHandler {
 public:
  virtual ~RpcHandler() = default;
  virtual void OnMessage(std::string message) = 0;
  // The caller will send no more.
  virtual void OnHalfClose() = 0;
  // Everything asked to be sent is on its way.
  virtual void OnSent() {}
  // The call is over: it was finished, the caller gave up, or the connection is gone. Nothing
  // follows.
  virtual void OnOver() = 0;
};

// Threads: called on the server's loop thread: must be quick.
class RpcService {
 public:
  virtual ~RpcService() = default;
  // Whether a call may ask for this field of its request. Names are lower case.
  virtual bool WantsField(std::string_view /*name*/) const { return false; }
  // A new connection over TLS; `peer` null: anonymous. `remote` is its address.
  virtual std::shared_ptr<const RpcPeer> Meet(const PeerIdentity* peer, std::string remote) = 0;
  // A call begins. The first message comes when it is asked for. Never null; a call that is refused
  // is finished at once.
  virtual std::shared_ptr<RpcHandler> Begin(const std::string& path,
                                            const std::shared_ptr<const RpcPeer>& peer,
                                            const std::shared_ptr<RpcCall>& call) = 0;
};

}  // namespace signet::net
