#include "tests/support/fake_spire_server.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/server_posix.h>
#include <sys/socket.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>

#include "google/rpc/status.pb.h"
#include "signet/sync/v1/sync.grpc.pb.h"
#include "spire/api/server/agent/v1/agent.grpc.pb.h"
#include "spire/api/server/bundle/v1/bundle.grpc.pb.h"
#include "spire/api/server/entry/v1/entry.grpc.pb.h"
#include "spire/api/server/svid/v1/svid.grpc.pb.h"

namespace signet::test {

namespace agent_api = spire::api::server::agent::v1;
namespace bundle_api = spire::api::server::bundle::v1;
namespace entry_api = spire::api::server::entry::v1;
namespace svid_api = spire::api::server::svid::v1;
namespace sync_api = signet::sync::v1;
namespace types = spire::api::types;
using Denial = types::PermissionDeniedDetails::Reason;

namespace {

types::Bundle ToMessage(const identity::Bundle& bundle) {
  types::Bundle message;
  message.set_trust_domain(bundle.trust_domain.name());
  message.set_sequence_number(bundle.sequence_number);
  for (const auto& authority : bundle.x509_authorities) {
    auto* added = message.add_x509_authorities();
    added->set_asn1(ToString(authority.certificate.der()));
    added->set_tainted(authority.tainted);
  }
  return message;
}

}  // namespace

struct FakeSpireServer::State final : agent_api::Agent::Service,
                                      bundle_api::Bundle::Service,
                                      entry_api::Entry::Service,
                                      svid_api::SVID::Service {
  struct PushService final : sync_api::Sync::Service {
    explicit PushService(State& s) : state(s) {}
    grpc::Status Subscribe(grpc::ServerContext* context,
                           grpc::ServerReaderWriter<sync_api::SubscribeResponse,
                                                    sync_api::SubscribeRequest>* stream) override {
      return state.Subscribe(context, stream);
    }
    State& state;
  };

  State(const SigningAuthority& a, const Clock& c, FakeServerOptions o)
      : authority(a), clock(c), options(o), push(*this), own_bundle(a.bundle()) {
    Start();
  }

  void Start() {
    grpc::ServerBuilder builder;
    builder.RegisterService(static_cast<agent_api::Agent::Service*>(this));
    builder.RegisterService(static_cast<bundle_api::Bundle::Service*>(this));
    builder.RegisterService(static_cast<entry_api::Entry::Service*>(this));
    builder.RegisterService(static_cast<svid_api::SVID::Service*>(this));
    if (options.push) builder.RegisterService(&push);
    // A synchronous server without a port needs one to be told so.
    server = builder.BuildAndStart();
    if (!server) throw std::runtime_error("fake server does not start");
  }

  // ---- under mutex
  grpc::Status Denied() const {
    google::rpc::Status details;
    types::PermissionDeniedDetails reason;
    reason.set_reason(denial);
    details.set_code(grpc::PERMISSION_DENIED);
    details.add_details()->PackFrom(reason);
    return {grpc::PERMISSION_DENIED, "authorization denied", details.SerializeAsString()};
  }
  std::string Digest() const {
    ca::Sha256Hasher hasher;
    const auto number = [&](std::uint64_t value, int bytes) {
      Bytes big_endian;
      for (int i = bytes - 1; i >= 0; --i)
        big_endian.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
      hasher.Update(big_endian);
    };
    for (const auto& [id, entry] : entries) {
      number(id.size(), 4);
      hasher.Update(AsBytes(id));
      number(static_cast<std::uint64_t>(entry.revision_number()), 8);
      number(static_cast<std::uint64_t>(entry.created_at()), 8);
    }
    return ToString(hasher.Finish());
  }
  sync_api::SubscribeResponse FullBatch() const {
    sync_api::SubscribeResponse response;
    auto* batch = response.mutable_batch();
    batch->set_revision(revision);
    batch->set_full(true);
    batch->set_last(true);
    for (const auto& [id, entry] : entries) *batch->add_upserts() = entry;
    *batch->add_bundles() = ToMessage(own_bundle);
    for (const auto& [name, bundle] : foreign) *batch->add_bundles() = ToMessage(bundle);
    return response;
  }
  void Changed() {
    ++revision;
    changed.notify_all();
  }

  // ---- services
  grpc::Status AttestAgent(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<agent_api::AttestAgentResponse, agent_api::AttestAgentRequest>*
          stream) override {
    agent_api::AttestAgentRequest request;
    stream->Read(&request);
    {
      const std::lock_guard lock(mutex);
      if (token_used || request.params().data().type() != "join_token" ||
          request.params().data().payload() != kToken)
        return {grpc::INVALID_ARGUMENT,
                "failed to attest: join token does not exist or has already been used"};
      token_used = true;
    }
    agent_api::AttestAgentResponse response;
    CertifyAgent(request.params().params().csr(), response.mutable_result()->mutable_svid());
    stream->Write(response);
    return grpc::Status::OK;
  }
  void CertifyAgent(const std::string& csr, types::X509SVID* svid) const {
    const auto chain =
        authority.CertifyRequest(AsBytes(csr), authority.trust_domain().IdString() + kAgentPath,
                                 clock.Now(), clock.Now() + options.agent_ttl, ca::Purpose::kAgent);
    svid->add_cert_chain(ToString(chain.front().der()));
  }
  grpc::Status RenewAgent(grpc::ServerContext*, const agent_api::RenewAgentRequest* request,
                          agent_api::RenewAgentResponse* response) override {
    const std::lock_guard lock(mutex);
    if (denial != Denial::PermissionDeniedDetails_Reason_UNKNOWN) return Denied();
    CertifyAgent(request->params().csr(), response->mutable_svid());
    ++renewals;
    changed.notify_all();
    return grpc::Status::OK;
  }
  grpc::Status GetBundle(grpc::ServerContext*, const bundle_api::GetBundleRequest*,
                         types::Bundle* bundle) override {
    const std::lock_guard lock(mutex);
    *bundle = ToMessage(own_bundle);
    return grpc::Status::OK;
  }
  grpc::Status GetFederatedBundle(grpc::ServerContext*,
                                  const bundle_api::GetFederatedBundleRequest* request,
                                  types::Bundle* bundle) override {
    const std::lock_guard lock(mutex);
    const auto found = foreign.find(request->trust_domain());
    if (found == foreign.end()) return {grpc::NOT_FOUND, "bundle not found"};
    *bundle = ToMessage(found->second);
    return grpc::Status::OK;
  }
  grpc::Status SyncAuthorizedEntries(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<entry_api::SyncAuthorizedEntriesResponse,
                               entry_api::SyncAuthorizedEntriesRequest>* stream) override {
    entry_api::SyncAuthorizedEntriesRequest request;
    entry_api::SyncAuthorizedEntriesResponse response;
    stream->Read(&request);
    {
      const std::lock_guard lock(mutex);
      if (denial != Denial::PermissionDeniedDetails_Reason_UNKNOWN) return Denied();
      for (const auto& [id, entry] : entries) {
        auto* row = response.add_entry_revisions();
        row->set_id(id);
        row->set_revision_number(entry.revision_number());
        row->set_created_at(entry.created_at());
      }
    }
    stream->Write(response);
    while (stream->Read(&request)) {
      response.Clear();
      const std::lock_guard lock(mutex);
      for (const std::string& id : request.ids()) *response.add_entries() = entries.at(id);
      stream->Write(response);
    }
    return grpc::Status::OK;
  }
  grpc::Status BatchNewX509SVID(grpc::ServerContext* context,
                                const svid_api::BatchNewX509SVIDRequest* request,
                                svid_api::BatchNewX509SVIDResponse* response) override {
    const std::lock_guard lock(mutex);
    ++mints;
    changed.notify_all();
    if (denial != Denial::PermissionDeniedDetails_Reason_UNKNOWN) return Denied();
    if (refuse_to_mint) return {grpc::INTERNAL, "out of order"};
    if (pause.count() > 0) {
      context->AddTrailingMetadata("grpc-retry-pushback-ms", std::to_string(pause.count()));
      return {grpc::RESOURCE_EXHAUSTED, "too many at once"};
    }
    for (const auto& params : request->params()) {
      auto* result = response->add_results();
      const auto entry = entries.find(params.entry_id());
      if (entry == entries.end()) {
        result->mutable_status()->set_code(grpc::NOT_FOUND);
        continue;
      }
      const std::string id = authority.trust_domain().IdString() + entry->second.spiffe_id().path();
      const auto chain = authority.CertifyRequest(AsBytes(params.csr()), id,
                                                  clock.Now() - std::chrono::seconds(10),
                                                  clock.Now() + options.svid_ttl);
      result->mutable_svid()->add_cert_chain(ToString(chain.front().der()));
    }
    return grpc::Status::OK;
  }
  grpc::Status Subscribe(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<sync_api::SubscribeResponse, sync_api::SubscribeRequest>* stream) {
    sync_api::SubscribeRequest first;
    if (!stream->Read(&first) || !first.has_hello()) return {grpc::INVALID_ARGUMENT, "hello"};
    {
      const std::lock_guard lock(mutex);
      if (crossing) {
        denial = *crossing;
        ++revision;
        sync_api::SubscribeResponse denied;
        denied.mutable_denied()->set_reason("told so by a test");
        stream->Write(FullBatch());
        stream->Write(denied);
        return Denied();
      }
    }
    std::thread reader([this, stream] {
      sync_api::SubscribeRequest request;
      while (stream->Read(&request)) {
        const std::lock_guard lock(mutex);
        if (request.has_applied())
          acknowledged = std::max(acknowledged, request.applied().revision());
        changed.notify_all();
      }
    });
    const grpc::Status status = Push(context, stream, first.hello().last_revision() == 0);
    context->TryCancel();
    reader.join();
    return status;
  }
  grpc::Status Push(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<sync_api::SubscribeResponse, sync_api::SubscribeRequest>* stream,
      bool from_nothing) {
    std::unique_lock lock(mutex);
    ++subscriptions;
    if (from_nothing) ++full_subscriptions;
    std::uint64_t sent = 0;
    int digests_sent = digests;
    while (!context->IsCancelled() && !away) {
      if (denial != Denial::PermissionDeniedDetails_Reason_UNKNOWN) {
        sync_api::SubscribeResponse response;
        response.mutable_denied()->set_reason("told so by a test");
        using types::PermissionDeniedDetails;
        if (denial == PermissionDeniedDetails::AGENT_BANNED ||
            denial == PermissionDeniedDetails::AGENT_NOT_ATTESTED)
          stream->Write(response);
        return Denied();
      }
      if (sent != revision) {
        sent = revision;
        stream->Write(FullBatch());
      }
      if (digests_sent != digests) {
        digests_sent = digests;
        sync_api::SubscribeResponse response;
        response.mutable_digest()->set_revision(revision);
        response.mutable_digest()->set_entries_sha256(truthful ? Digest() : std::string(32, 'x'));
        stream->Write(response);
      }
      changed.wait_for(lock, std::chrono::milliseconds(50));
    }
    return grpc::Status::OK;
  }

  const SigningAuthority& authority;
  const Clock& clock;
  const FakeServerOptions options;
  PushService push;
  mutable std::mutex mutex;
  mutable std::condition_variable changed;
  identity::Bundle own_bundle;
  std::map<std::string, identity::Bundle> foreign;
  std::map<std::string, types::Entry> entries;
  Denial denial = Denial::PermissionDeniedDetails_Reason_UNKNOWN;
  std::optional<Denial> crossing;
  bool token_used = false, refuse_to_mint = false, away = false, truthful = true;
  std::chrono::milliseconds pause{0};
  std::uint64_t revision = 1, acknowledged = 0;
  int digests = 0, subscriptions = 0, full_subscriptions = 0, mints = 0, renewals = 0;
  std::unique_ptr<grpc::Server> server;
};

FakeSpireServer::FakeSpireServer(const SigningAuthority& authority, const Clock& clock,
                                 FakeServerOptions options)
    : state_(std::make_unique<State>(authority, clock, options)) {}

FakeSpireServer::~FakeSpireServer() { GoAway(); }

UniqueFd FakeSpireServer::Connect() {
  const std::lock_guard lock(state_->mutex);
  if (state_->away) return UniqueFd();
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
    throw std::runtime_error("socketpair");
  grpc::AddInsecureChannelFromFd(state_->server.get(), ends[0]);
  return UniqueFd(ends[1]);
}

void FakeSpireServer::GoAway() {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->away) return;
    state_->away = true;
    state_->changed.notify_all();
  }
  state_->server->Shutdown(std::chrono::system_clock::now());
  state_->server->Wait();
}

void FakeSpireServer::ComeBack() {
  const std::lock_guard lock(state_->mutex);
  state_->away = false;
  state_->Start();
}

void FakeSpireServer::Put(const std::string& id, const std::string& path,
                          const std::vector<std::string>& selectors) {
  const std::lock_guard lock(state_->mutex);
  types::Entry& entry = state_->entries[id];
  const auto revision = entry.id().empty() ? 0 : entry.revision_number() + 1;
  entry.Clear();
  entry.set_id(id);
  entry.mutable_spiffe_id()->set_trust_domain(state_->authority.trust_domain().name());
  entry.mutable_spiffe_id()->set_path(path);
  for (const std::string& selector : selectors) {
    auto* added = entry.add_selectors();
    added->set_type(selector.substr(0, selector.find(':')));
    added->set_value(selector.substr(selector.find(':') + 1));
  }
  entry.set_revision_number(revision);
  entry.set_created_at(1000);
  for (const auto& [name, bundle] : state_->foreign) entry.add_federates_with(name);
  state_->Changed();
}

void FakeSpireServer::Remove(const std::string& id) {
  const std::lock_guard lock(state_->mutex);
  state_->entries.erase(id);
  state_->Changed();
}

void FakeSpireServer::PutBundle(const identity::Bundle& bundle) {
  const std::lock_guard lock(state_->mutex);
  state_->foreign[bundle.trust_domain.name()] = bundle;
  state_->Changed();
}

void FakeSpireServer::SetOwnBundle(const identity::Bundle& bundle) {
  const std::lock_guard lock(state_->mutex);
  state_->own_bundle = bundle;
  state_->Changed();
}

void FakeSpireServer::PushDigest(bool truthful) {
  const std::lock_guard lock(state_->mutex);
  state_->truthful = truthful;
  ++state_->digests;
  state_->changed.notify_all();
}

void FakeSpireServer::Deny(Denial reason) {
  const std::lock_guard lock(state_->mutex);
  state_->denial = reason;
  state_->changed.notify_all();
}

void FakeSpireServer::DenyBehindBatch(Denial reason) {
  const std::lock_guard lock(state_->mutex);
  state_->crossing = reason;
}

void FakeSpireServer::RefuseToMint(bool refuse) {
  const std::lock_guard lock(state_->mutex);
  state_->refuse_to_mint = refuse;
}

void FakeSpireServer::AskForPause(std::chrono::milliseconds pause) {
  const std::lock_guard lock(state_->mutex);
  state_->pause = pause;
}

std::uint64_t FakeSpireServer::revision() const {
  const std::lock_guard lock(state_->mutex);
  return state_->revision;
}

std::uint64_t FakeSpireServer::acknowledged() const {
  const std::lock_guard lock(state_->mutex);
  return state_->acknowledged;
}

int FakeSpireServer::subscriptions() const {
  const std::lock_guard lock(state_->mutex);
  return state_->subscriptions;
}

int FakeSpireServer::full_subscriptions() const {
  const std::lock_guard lock(state_->mutex);
  return state_->full_subscriptions;
}

int FakeSpireServer::mints() const {
  const std::lock_guard lock(state_->mutex);
  return state_->mints;
}

int FakeSpireServer::renewals() const {
  const std::lock_guard lock(state_->mutex);
  return state_->renewals;
}

bool FakeSpireServer::WaitUntil(const std::function<bool()>& holds) const {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::unique_lock lock(state_->mutex);
    state_->changed.wait_for(lock, std::chrono::milliseconds(20));
  }
  return true;
}

}  // namespace signet::test
