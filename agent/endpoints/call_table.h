// The methods of one socket, by path. A call of a method that is not here is told so, as SPIRE's
// agent does.
//
// Threads: Add…() before the socket is served; the rest on its loop.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "agent/endpoints/arrival.h"
#include "agent/workload/attestation_pool.h"

namespace signet::agent {

inline constexpr std::string_view kSecurityHeader = "workload.spiffe.io";

class CallTable final : public net::RpcService {
 public:
  // Begins a call: quick, and never null.
  using Opener = std::function<std::shared_ptr<net::RpcHandler>(const Arrival&)>;
  // `path`: "/package.Service/Method".
  void Add(const std::string& path, Opener opener);
  // One request, one answer, made on `pool`; null: on the loop, so it must be quick.
  template <class Request, class Response>
  void AddUnary(const std::string& path, AttestationPool* pool,
                std::function<grpc::Status(const Request&, Response*)> method);
  // A method that is known, and does nothing but say that.
  void AddUnimplemented(const std::string& path, const std::string& message);

  // net::RpcService.
  bool WantsField(std::string_view name) const override { return name == kSecurityHeader; }
  std::shared_ptr<const net::RpcPeer> Meet(const net::PeerIdentity* peer,
                                           std::string remote) override;
  std::shared_ptr<net::RpcHandler> Begin(const std::string& path,
                                         const std::shared_ptr<const net::RpcPeer>& peer,
                                         const std::shared_ptr<net::RpcCall>& call) override;

 private:
  using BytesMethod = std::function<grpc::Status(const std::string& request, std::string* answer)>;
  void AddBytes(const std::string& path, AttestationPool* pool, BytesMethod method);
  std::string NotFoundText(std::string_view path) const;

  std::unordered_map<std::string, Opener> methods_;
};

template <class Request, class Response>
void CallTable::AddUnary(const std::string& path, AttestationPool* pool,
                         std::function<grpc::Status(const Request&, Response*)> method) {
  AddBytes(path, pool, [method = std::move(method)](const std::string& bytes, std::string* answer) {
    Request request;
    if (!request.ParseFromString(bytes)) return MalformedRequest();
    Response response;
    const grpc::Status status = method(request, &response);
    if (status.ok()) *answer = response.SerializeAsString();
    return status;
  });
}

}  // namespace signet::agent
