// What benches that speak to signet-server themselves share: TLS connections that show an SVID, as
// gRPC channels, and a node that joins. Errors end the program.
//
// Threads: none.
#pragma once

#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>

#include "ca/x509/request.h"
#include "net/tls_front.h"
#include "tools/bench/bench_node.h"

namespace signet::bench {

// The server is looked at from outside; who it is does not matter here.
class AnyPeer final : public net::PeerVerifier {
 public:
  Result<std::shared_ptr<const net::PeerIdentity>> Verify(
      std::span<const ca::Certificate> presented) const override {
    auto peer = std::make_shared<net::PeerIdentity>();
    peer->chain.assign(presented.begin(), presented.end());
    peer->valid_until = presented.front().not_after();
    return peer;
  }
};

// A TLS connection of its own; null when refused.
inline std::shared_ptr<grpc::Channel> Dial(net::TlsDialer& dialer, const net::Address& address,
                                           const std::optional<net::TlsIdentity>& shown) {
  net::TlsOptions options;
  options.role = net::TlsRole::kClient;
  options.alpn = {"h2"};
  const auto context = net::TlsContext::Create(options, shown, std::make_shared<AnyPeer>());
  if (!context) Die("TLS context: " + context.error().Message());
  auto dialed = dialer.Dial(address, *context, std::chrono::seconds(10));
  if (!dialed) return nullptr;
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomInsecureChannelFromFd("localhost", dialed->plain.Release(), arguments);
}

struct JoinedNode {
  net::TlsIdentity identity;
  std::string path;  // of its SPIFFE ID
};

inline JoinedNode JoinNode(const std::shared_ptr<grpc::Channel>& anonymous,
                           const std::string& token) {
  auto key = ca::PrivateKey::Generate(ca::KeyType::kEcP256);
  if (!key) Die("key: " + key.error().Message());
  const auto csr = ca::MakeRequest(*key);
  if (!csr) Die("request: " + csr.error().Message());
  agent_api::AttestAgentRequest request;
  request.mutable_params()->mutable_data()->set_type("join_token");
  request.mutable_params()->mutable_data()->set_payload(token);
  request.mutable_params()->mutable_params()->set_csr(ToString(*csr));
  grpc::ClientContext context;
  const auto stub = agent_api::Agent::NewStub(anonymous);
  const auto stream = stub->AttestAgent(&context);
  stream->Write(request);
  agent_api::AttestAgentResponse response;
  const bool answered = stream->Read(&response);
  stream->WritesDone();
  Must(stream->Finish(), "AttestAgent");
  if (!answered) Die("AttestAgent: no answer");
  const auto& svid = response.result().svid();
  JoinedNode node;
  for (const std::string& der : svid.cert_chain()) {
    auto certificate = ca::Certificate::Parse(AsBytes(der));
    if (!certificate) Die("certificate: " + certificate.error().Message());
    node.identity.chain.push_back(std::move(*certificate));
  }
  node.identity.key = std::make_shared<const ca::PrivateKey>(std::move(*key));
  node.path = svid.id().path();
  return node;
}

}  // namespace signet::bench
