// Asks endpoints whether they are well, whoever else asks them: a connection (TCP), a GET that must
// be answered 2xx (HTTP), or grpc.health.v1.Health/Check that must say SERVING (gRPC). HTTP and
// gRPC go the way requests go, so by mutual TLS to a peer that must be who it is expected to be.
//
// Threads: one worker's; each worker asks for itself.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "proxy/http/turn.h"
#include "proxy/http/upstream_pool.h"
#include "proxy/route/dice.h"
#include "proxy/upstream/backends.h"

namespace signet::proxy {

class EndpointCheck;

class HealthChecks {
 public:
  // All outlive this.
  HealthChecks(ConnectionHost& host, Turns& turns, UpstreamPool& pool, Dice& dice);
  ~HealthChecks();

  struct Watched {
    EndpointPtr endpoint;
    mesh::HealthCheck how;
  };
  // From now on these and no others; what is asked already goes on.
  void Watch(const std::vector<Watched>& endpoints);

 private:
  friend class EndpointCheck;

  ConnectionHost& host_;
  Turns& turns_;
  UpstreamPool& pool_;
  Dice& dice_;
  std::map<const EndpointState*, std::unique_ptr<EndpointCheck>> checks_;
};

// What grpc.health.v1.Health/Check is asked and answers: one gRPC message each, with its five bytes
// before it.
std::string GrpcHealthRequest(std::string_view service);
bool GrpcHealthServing(std::string_view body);

}  // namespace signet::proxy
