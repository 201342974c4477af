#include "agent/attest/http_challenge_attestor.h"

#include <netinet/in.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <mutex>

#include "agent/attest/denial.h"
#include "identity/proof/http_challenge.h"
#include "net/address.h"
#include "net/http_server.h"

namespace signet::agent {
namespace {

// Shows the nonce, once there is one, at one path and nothing anywhere else.
class NoncePage {
 public:
  explicit NoncePage(std::string path) : path_(std::move(path)) {}

  void Show(std::string nonce) {
    const std::lock_guard lock(mutex_);
    nonce_ = std::move(nonce);
  }
  net::HttpResponse Answer(net::HeadStatus status, const net::HttpRequest& request) const {
    const auto empty = [](int code) { return net::HttpResponse{code, "text/plain", ""}; };
    if (status != net::HeadStatus::kComplete) return empty(400);
    if (request.path != path_) return empty(404);
    if (request.method != "GET") return empty(405);
    const std::lock_guard lock(mutex_);
    if (nonce_.empty()) return empty(404);
    return {200, "text/plain", nonce_ + "\n"};
  }

 private:
  const std::string path_;
  mutable std::mutex mutex_;
  std::string nonce_;
};

class HttpChallengeProof final : public NodeProof {
 public:
  HttpChallengeProof(std::string payload, const std::string& path)
      : payload_(std::move(payload)), page_(path) {}
  Status Listen(UniqueFd listener, const Clock& clock) {
    SIGNET_TRY(server_, net::HttpServer::Start(
                            std::move(listener),
                            [this](net::HeadStatus status, const net::HttpRequest& request) {
                              return page_.Answer(status, request);
                            },
                            clock));
    return {};
  }
  std::string_view payload() const override { return payload_; }
  Result<std::string> Respond(std::string_view challenge) override {
    SIGNET_TRY(auto nonce, identity::ParseHttpChallenge(challenge));
    page_.Show(std::move(nonce));
    return std::string("\n");  // SPIRE's servers take no empty response
  }

 private:
  const std::string payload_;
  NoncePage page_;
  std::unique_ptr<net::HttpServer> server_;  // ends before what it shows
};

Result<std::string> OwnHostName() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) == 0) return std::string(name.data());
  return Fail(Code::kFailedPrecondition, kNoProof,
              "this machine's name: " + ErrnoText(errno) + "; set hostname");
}

}  // namespace

Result<std::unique_ptr<NodeProof>> HttpChallengeAttestor::Begin() {
  identity::HttpChallengePayload said{options_.host_name, options_.agent_name,
                                      options_.advertised_port};
  if (said.host_name.empty()) {
    SIGNET_TRY(said.host_name, OwnHostName());
  }
  net::Address anywhere;
  anywhere.host = "0.0.0.0";
  anywhere.port = options_.port;
  auto listener = net::ListenTcp(anywhere);
  if (!listener) return Fail(Code::kFailedPrecondition, kNoProof, listener.error().Message());
  if (said.port == 0) {
    SIGNET_TRY(const auto bound, net::LocalAddress(listener->get()));
    said.port = ntohs(reinterpret_cast<const sockaddr_in&>(bound.storage).sin_port);
  }
  auto proof = std::make_unique<HttpChallengeProof>(identity::WriteHttpChallengePayload(said),
                                                    identity::HttpChallengePath(said.agent_name));
  SIGNET_RETURN_IF_ERROR(proof->Listen(*std::move(listener), clock_));
  return proof;
}

}  // namespace signet::agent
