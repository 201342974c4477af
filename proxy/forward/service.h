// What a connection carries when it is not passed on byte for byte: a protocol that this proxy
// speaks itself. The connection keeps what both have in common: handshake, seats, trust, its end.
//
// Threads: one worker's.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "proxy/telemetry/live.h"
#include "proxy/telemetry/outcome.h"

namespace signet::proxy {

class Service {
 public:
  virtual ~Service() = default;
  virtual void Start() = 0;
  // Epoll's bits of the connection's one socket.
  virtual void OnReady(std::uint32_t events) = 0;
  // Rules, bundles or the identity changed, and the connection as such may go on.
  virtual void DecideAgain() = 0;
  // Takes up what the last turn's budget cut short (ServiceOwner::RequeueService).
  virtual void Continue() {}
  // Its time is up: where its protocol can say so, it takes nothing new, and does not surprise who
  // is about to ask.
  virtual void Retire() = 0;
  // Finish what is in progress and take nothing new.
  virtual void BeginDrain() = 0;
  // Everything in progress ends with the connection.
  virtual void Abandon() = 0;
  // Bytes from and to the side that connected.
  virtual std::uint64_t received() const = 0;
  virtual std::uint64_t sent() const = 0;
  virtual std::vector<LiveRequest> requests() const = 0;
};

// The connection, as its service sees it.
class ServiceOwner {
 public:
  virtual ~ServiceOwner() = default;
  // The service is over. `orderly`: the socket was closed in order already.
  virtual void OnServiceEnd(Ending ending, bool orderly, std::string_view detail) = 0;
  // Of a service that has to find out first whether it carries anything: from now on it does;
  // false: there is no room, and the connection is over.
  virtual bool OnServiceOpening() = 0;
  // It never will, and is over.
  virtual void OnServiceRefused(Refusal refusal, std::string_view why) = 0;
  // Continue() is called in the next turn of the loop.
  virtual void RequeueService() = 0;
};

}  // namespace signet::proxy
