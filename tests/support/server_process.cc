#include "tests/support/server_process.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/create_channel_posix.h>

#include <csignal>
#include <fstream>
#include <stdexcept>

#include "base/clock.h"
#include "ca/x509/request.h"
#include "signet/status/v1/status.grpc.pb.h"

namespace signet::test {
namespace {

using std::chrono::seconds;

template <class T>
T Must(Result<T> result, const std::string& what) {
  if (!result) throw std::runtime_error(what + ": " + result.error().Message());
  return std::move(*result);
}

void Must(const grpc::Status& status, const std::string& what) {
  if (!status.ok()) {
    throw std::runtime_error(what + ": " + std::to_string(status.error_code()) + " " +
                             status.error_message());
  }
}

// A server that is not verified: tests of the server look at it from outside.
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

const SystemClock& RealClock() {
  static const SystemClock clock;
  return clock;
}

std::unique_ptr<grpc::ClientContext> Context() {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + seconds(20));
  return context;
}

}  // namespace

ServerProcess::ServerProcess(std::string bin, const std::string& settings)
    : bin_(std::move(bin)),
      data_dir_(folder_.File("data")),
      admin_socket_(folder_.File("admin.sock")),
      config_path_(folder_.File("server.yaml")),
      dialer_(Must(net::TlsDialer::Start(RealClock()), "dialer")) {
  Configure(settings);
}

void ServerProcess::Configure(const std::string& settings, const std::string& trust_domain) {
  std::ofstream(config_path_) << "trust_domain: " << trust_domain << "\ndata_dir: " << data_dir_
                              << "\nlisten: 127.0.0.1:0\nadmin_socket: " << admin_socket_ << "\n"
                              << settings;
}

void ServerProcess::Start() {
  process_ = std::make_unique<Process>(
      std::vector<std::string>{bin_ + "/signet-server", "run", "--config", config_path_},
      folder_.File("output"));
  if (!process_->WaitForSocket(admin_socket_, seconds(10)))
    throw std::runtime_error("signet-server does not serve:\n" + Output());
}

ProcessEnd ServerProcess::StartRefused() {
  process_ = std::make_unique<Process>(
      std::vector<std::string>{bin_ + "/signet-server", "run", "--config", config_path_},
      folder_.File("output"));
  const auto end = process_->Wait(seconds(10));
  if (!end) throw std::runtime_error("signet-server was expected to give up:\n" + Output());
  return *end;
}

ProcessEnd ServerProcess::Stop() {
  process_->Signal(SIGTERM);
  const auto end = process_->Wait(seconds(15));
  if (!end) throw std::runtime_error("signet-server did not end:\n" + Output());
  return *end;
}

net::Address ServerProcess::address() const {
  const auto channel = Admin();
  signet::status::v1::GetStatusResponse response;
  Must(signet::status::v1::Status::NewStub(channel)->GetStatus(Context().get(), {}, &response),
       "GetStatus");
  return Must(net::Address::Parse(response.listen_address()), "listen_address");
}

std::shared_ptr<grpc::Channel> ServerProcess::Admin() const {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 20);
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel("unix:" + admin_socket_, grpc::InsecureChannelCredentials(),
                                   arguments);
}

net::TlsDialer::Dialed ServerProcess::Dial(const TestIdentity* identity) const {
  net::TlsOptions options;
  options.role = net::TlsRole::kClient;
  options.alpn = {"h2"};
  std::optional<net::TlsIdentity> shown;
  if (identity != nullptr) shown = net::TlsIdentity{identity->chain, identity->key};
  const auto context =
      Must(net::TlsContext::Create(options, shown, std::make_shared<AnyPeer>()), "TLS context");
  auto dialed = dialer_->Dial(address(), context, seconds(10));
  return dialed ? std::move(*dialed) : net::TlsDialer::Dialed();
}

std::shared_ptr<grpc::Channel> ServerProcess::Tls(const TestIdentity* identity) const {
  auto dialed = Dial(identity);
  if (!dialed.plain.valid()) return nullptr;
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomInsecureChannelFromFd("localhost", dialed.plain.Release(), arguments);
}

ca::Chain ServerProcess::ServerChain() const {
  const auto dialed = Dial(nullptr);
  return dialed.peer ? dialed.peer->chain : ca::Chain();
}

UniqueFd ServerProcess::Raw() const { return Dial(nullptr).plain; }

ca::Chain ParseChain(const google::protobuf::RepeatedPtrField<std::string>& ders) {
  ca::Chain chain;
  for (const auto& der : ders)
    chain.push_back(Must(ca::Certificate::Parse(AsBytes(der)), "certificate"));
  return chain;
}

std::string CreateJoinToken(grpc::Channel& admin, std::int32_t ttl) {
  const std::shared_ptr<grpc::Channel> channel(std::shared_ptr<void>(), &admin);
  spire::api::server::agent::v1::CreateJoinTokenRequest request;
  request.set_ttl(ttl);
  spire::api::types::JoinToken token;
  Must(spire::api::server::agent::v1::Agent::NewStub(channel)->CreateJoinToken(Context().get(),
                                                                               request, &token),
       "CreateJoinToken");
  return token.value();
}

TestIdentity AttestAgent(grpc::Channel& anonymous, const std::string& token, grpc::Status* status) {
  const std::shared_ptr<grpc::Channel> channel(std::shared_ptr<void>(), &anonymous);
  TestIdentity identity;
  identity.key =
      std::make_shared<ca::PrivateKey>(Must(ca::PrivateKey::Generate(ca::KeyType::kEcP256), "key"));
  spire::api::server::agent::v1::AttestAgentRequest request;
  auto* params = request.mutable_params();
  params->mutable_data()->set_type("join_token");
  params->mutable_data()->set_payload(token);
  params->mutable_params()->set_csr(ToString(Must(ca::MakeRequest(*identity.key), "CSR")));
  const auto context = Context();
  const auto stub = spire::api::server::agent::v1::Agent::NewStub(channel);
  const auto stream = stub->AttestAgent(context.get());
  stream->Write(request);
  spire::api::server::agent::v1::AttestAgentResponse response;
  const bool answered = stream->Read(&response);
  stream->WritesDone();
  const auto outcome = stream->Finish();
  if (status != nullptr) *status = outcome;
  if (status == nullptr) Must(outcome, "AttestAgent");
  if (!answered) return identity;
  const auto& svid = response.result().svid();
  identity.chain = ParseChain(svid.cert_chain());
  identity.id = "spiffe://" + svid.id().trust_domain() + svid.id().path();
  return identity;
}

TestIdentity MakeAgent(const ServerProcess& server) {
  const auto token = CreateJoinToken(*server.Admin());
  const auto channel = server.Tls();
  if (!channel) throw std::runtime_error("anonymous TLS refused");
  return AttestAgent(*channel, token);
}

spire::api::types::Entry MakeEntry(const std::string& id, const std::string& path,
                                   const std::string& parent_id, const std::string& selector) {
  const std::string scheme = "spiffe://example.org";
  spire::api::types::Entry entry;
  entry.set_id(id);
  entry.mutable_spiffe_id()->set_trust_domain("example.org");
  entry.mutable_spiffe_id()->set_path(path);
  entry.mutable_parent_id()->set_trust_domain("example.org");
  entry.mutable_parent_id()->set_path(
      parent_id.starts_with(scheme) ? parent_id.substr(scheme.size()) : parent_id);
  auto* added = entry.add_selectors();
  added->set_type(selector.substr(0, selector.find(':')));
  added->set_value(selector.substr(selector.find(':') + 1));
  return entry;
}

void CreateEntry(grpc::Channel& admin, const spire::api::types::Entry& entry) {
  const std::shared_ptr<grpc::Channel> channel(std::shared_ptr<void>(), &admin);
  spire::api::server::entry::v1::BatchCreateEntryRequest request;
  *request.add_entries() = entry;
  spire::api::server::entry::v1::BatchCreateEntryResponse response;
  Must(spire::api::server::entry::v1::Entry::NewStub(channel)->BatchCreateEntry(Context().get(),
                                                                                request, &response),
       "BatchCreateEntry");
  const auto& status = response.results(0).status();
  if (status.code() != 0) throw std::runtime_error("BatchCreateEntry: " + status.message());
}

TestIdentity MintSvid(grpc::Channel& admin, const std::string& id, std::int32_t ttl) {
  const std::shared_ptr<grpc::Channel> channel(std::shared_ptr<void>(), &admin);
  TestIdentity identity;
  identity.key =
      std::make_shared<ca::PrivateKey>(Must(ca::PrivateKey::Generate(ca::KeyType::kEcP256), "key"));
  identity.id = id;
  spire::api::server::svid::v1::MintX509SVIDRequest request;
  request.set_csr(ToString(Must(ca::MakeRequest(*identity.key, id), "CSR")));
  request.set_ttl(ttl);
  spire::api::server::svid::v1::MintX509SVIDResponse response;
  Must(spire::api::server::svid::v1::SVID::NewStub(channel)->MintX509SVID(Context().get(), request,
                                                                          &response),
       "MintX509SVID");
  identity.chain = ParseChain(response.svid().cert_chain());
  return identity;
}

TestIdentity NewSvid(grpc::Channel& agent, const std::string& entry_id) {
  const std::shared_ptr<grpc::Channel> channel(std::shared_ptr<void>(), &agent);
  TestIdentity identity;
  identity.key =
      std::make_shared<ca::PrivateKey>(Must(ca::PrivateKey::Generate(ca::KeyType::kEcP256), "key"));
  spire::api::server::svid::v1::BatchNewX509SVIDRequest request;
  auto* params = request.add_params();
  params->set_entry_id(entry_id);
  params->set_csr(ToString(Must(ca::MakeRequest(*identity.key), "CSR")));
  spire::api::server::svid::v1::BatchNewX509SVIDResponse response;
  Must(spire::api::server::svid::v1::SVID::NewStub(channel)->BatchNewX509SVID(Context().get(),
                                                                              request, &response),
       "BatchNewX509SVID");
  const auto& result = response.results(0);
  if (result.status().code() != 0)
    throw std::runtime_error("BatchNewX509SVID: " + result.status().message());
  identity.chain = ParseChain(result.svid().cert_chain());
  identity.id = "spiffe://" + result.svid().id().trust_domain() + result.svid().id().path();
  return identity;
}

spire::api::types::Bundle GetBundle(grpc::Channel& channel_ref) {
  const std::shared_ptr<grpc::Channel> channel(std::shared_ptr<void>(), &channel_ref);
  spire::api::types::Bundle bundle;
  Must(spire::api::server::bundle::v1::Bundle::NewStub(channel)->GetBundle(Context().get(), {},
                                                                           &bundle),
       "GetBundle");
  return bundle;
}

}  // namespace signet::test
