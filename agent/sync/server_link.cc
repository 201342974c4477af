#include "agent/sync/server_link.h"

#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>

#include "agent/attest/denial.h"
#include "net/tls_front.h"

namespace signet::agent {
namespace {

// A full revision is sent in parts, but SPIRE answers GetAuthorizedEntries in one message.
constexpr int kMaxAnswerBytes = 64 << 20;

}  // namespace

Result<ServerDialer::Dialed> TlsServerDialer::Dial(
    const NodeIdentity* identity, std::shared_ptr<const net::PeerVerifier> verifier) {
  net::TlsOptions options;
  options.role = net::TlsRole::kClient;
  options.alpn = {"h2"};
  std::optional<net::TlsIdentity> shown;
  if (identity != nullptr) shown = net::TlsIdentity{identity->chain, identity->key};
  SIGNET_TRY(auto context, net::TlsContext::Create(options, shown, std::move(verifier)));
  SIGNET_TRY(auto dialed, dialer_.Dial(server_, std::move(context), kDialTimeout));
  return Dialed{std::move(dialed.plain), dialed.peer->valid_until};
}

Result<ConnectionPtr> ServerLink::Dial(const NodeIdentity* identity,
                                       std::shared_ptr<const net::PeerVerifier> verifier) {
  SIGNET_TRY(auto dialed, dialer_.Dial(identity, std::move(verifier)));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxAnswerBytes);
  auto channel =
      grpc::CreateCustomInsecureChannelFromFd("signet-server", dialed.plain.Release(), arguments);
  return std::make_shared<const Connection>(Connection{std::move(channel), dialed.valid_until});
}

Result<ConnectionPtr> ServerLink::Connect() {
  const auto identity = state_.identity();
  const auto bundle = state_.bundle();
  if (!identity || !bundle) return Fail(Code::kFailedPrecondition, kAgentNotAttested);
  auto connection = Dial(identity.get(), std::make_shared<const ServerVerifier>(*bundle, clock_));
  {
    const std::lock_guard lock(mutex_);
    away_ = !connection;
    if (connection) current_ = *connection;
  }
  settled_.notify_all();
  return connection;
}

Result<ConnectionPtr> ServerLink::ConnectAnonymously(const identity::Bundle& trust) {
  return Dial(nullptr, std::make_shared<const ServerVerifier>(trust, clock_));
}

Result<ConnectionPtr> ServerLink::ConnectUnverified() {
  return Dial(nullptr, std::make_shared<const UnverifiedPeer>());
}

ConnectionPtr ServerLink::current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

ConnectionPtr ServerLink::Await(Duration patience) const {
  std::unique_lock lock(mutex_);
  settled_.wait_for(lock, patience, [&] { return current_ || away_ || stopping_; });
  return current_;
}

void ServerLink::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  settled_.notify_all();
}

void ServerLink::Drop(const ConnectionPtr& connection) {
  {
    const std::lock_guard lock(mutex_);
    if (!connection || current_ != connection) return;
    current_ = nullptr;
  }
  if (on_drop_) on_drop_();
}

}  // namespace signet::agent
