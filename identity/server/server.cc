#include "identity/server/server.h"

#include <grpc/support/log.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "base/check.h"
#include "base/file.h"
#include "base/metrics.h"
#include "ca/keys/key_store.h"
#include "identity/api/acknowledgements.h"
#include "identity/api/agent_service.h"
#include "identity/api/audit_service.h"
#include "identity/api/bundle_service.h"
#include "identity/api/call_gate.h"
#include "identity/api/debug_service.h"
#include "identity/api/entries_service.h"
#include "identity/api/entry_service.h"
#include "identity/api/health_service.h"
#include "identity/api/local_authority_service.h"
#include "identity/api/log_keeper.h"
#include "identity/api/logger_service.h"
#include "identity/api/nested_service.h"
#include "identity/api/revocation_service.h"
#include "identity/api/router.h"
#include "identity/api/status_service.h"
#include "identity/api/svid_service.h"
#include "identity/api/sync_hub.h"
#include "identity/api/trust_domain_service.h"
#include "identity/server/admin_listener.h"
#include "identity/server/authority_health.h"
#include "identity/server/authority_keeper.h"
#include "identity/server/bundle_publisher.h"
#include "identity/server/health_board.h"
#include "identity/server/held_authorities.h"
#include "identity/server/housekeeping.h"
#include "identity/server/issuer.h"
#include "identity/server/jwt_issuer.h"
#include "identity/server/server_identity.h"
#include "identity/server/upstream_open.h"
#include "identity/store/sqlite/sqlite_store.h"
#include "identity/workload/fetch_identity.h"
#include "net/admin_server.h"
#include "net/grpc/rpc_server.h"
#include "net/tls_front.h"

namespace signet::identity {
namespace {

using std::chrono::seconds;

constexpr std::size_t kAdminConnections = 1024;
constexpr auto kRenewalGrace = std::chrono::hours(1);
constexpr auto kStuckAfter = seconds(60);
constexpr auto kStartPatience = seconds(20);  // with what stands above, at a first start
constexpr auto kStartPause = seconds(1);

// A key in a token is waited for, so more than the cores' number sign at a time there.
std::size_t SignerCount(const ServerConfig& config) {
  const std::size_t cores = std::max(1U, std::thread::hardware_concurrency());
  return config.key_store.type == KeyStoreType::kPkcs11 ? 4 * cores : cores;
}

std::size_t WorkerCount(const ServerLimits& limits) {
  if (limits.workers != 0) return limits.workers;
  return std::max<std::size_t>(8, 4 * std::thread::hardware_concurrency());
}

net::RpcServerLimits CallLimits(const ServerLimits& limits) {
  net::RpcServerLimits result;
  result.calls.message_bytes = limits.message_bytes;
  return result;
}

}  // namespace

// In the order of dependence: what stands below may use what stands above.
struct Server::State {
  State(const ServerConfig& c, const Clock& k, Random& r, const Logger& l)
      : config(c), clock(k), random(r), log(l), started_at(k.Now()) {}

  Status Open();  // what is durable
  Status MakeAuthorities();
  Result<std::unique_ptr<AuthorityKeeper>> StartKeeper(const AuthoritySettings& settings);
  Status Federate();
  void MakeApi();
  Status Listen();
  net::Health Health() const;
  void AdoptLocal(UniqueFd connection, const net::PeerCredentials& peer);
  void ExportMetrics();
  void SignLastCheckpoint();

  const ServerConfig config;
  const Clock& clock;
  Random& random;
  const Logger& log;
  const WallTime started_at;
  Metrics metrics;
  HealthBoard board;
  std::optional<FileLock> lock;
  std::unique_ptr<SqliteStore> store;
  std::unique_ptr<Registry> registry;
  std::unique_ptr<ca::KeyStore> keys;
  std::unique_ptr<LogKeeper> log_keeper;
  std::unique_ptr<UpstreamAuthority> upstream;  // null: none
  std::unique_ptr<AuthorityKeeper> keeper;
  std::unique_ptr<WorkerPool> signers;
  std::unique_ptr<Journal> journal;
  std::unique_ptr<Issuer> issuer;
  std::unique_ptr<JwtIssuer> jwt_issuer;  // null: disabled
  std::unique_ptr<ServerIdentity> identity;
  std::unique_ptr<FederationKeeper> federation;

  std::unique_ptr<Acknowledgements> acknowledgements;
  std::unique_ptr<NestedService> nested;
  std::unique_ptr<HeldAuthorities> held;
  std::unique_ptr<Authorizer> authorizer;
  std::unique_ptr<RateLimiter> signing;
  std::unique_ptr<RateLimiter> jwt_signing;
  std::unique_ptr<RateLimiter> publishing;
  std::unique_ptr<CallGate> gate;
  std::unique_ptr<SyncHub> hub;
  std::unique_ptr<NodeAttestors> attestors;
  std::unique_ptr<AgentService> agents;
  std::unique_ptr<EntryService> entries;
  std::unique_ptr<EntriesService> owned_entries;
  std::unique_ptr<BundleService> bundles;
  std::unique_ptr<SvidService> svids;
  std::unique_ptr<TrustDomainService> trust_domains;
  std::unique_ptr<HealthService> health;
  std::unique_ptr<AuditService> audit;
  std::unique_ptr<StatusService> status;
  std::unique_ptr<DebugService> debug;
  std::unique_ptr<LoggerService> logger;
  std::unique_ptr<LocalAuthorityService> local_authorities;
  std::unique_ptr<RevocationService> revocation;
  std::unique_ptr<WorkerPool> workers;
  std::unique_ptr<Router> router;
  std::unique_ptr<net::RpcServer> rpc;

  std::string listen_address;
  std::string metrics_address;
  std::unique_ptr<net::TlsFront> front;
  std::unique_ptr<Housekeeping> housekeeping;
  std::unique_ptr<net::AdminServer> admin_http;
  std::unique_ptr<BundlePublisher> publisher;  // null: nothing is published
  std::unique_ptr<AdminListener> admin_listener;
  std::atomic<bool> serving = false;  // set once everything above is there
};

Status Server::State::Open() {
  SIGNET_RETURN_IF_ERROR(EnsureDirectory(config.data_dir, 0750));
  SIGNET_TRY(lock, FileLock::Acquire(config.LockPath()));
  SIGNET_TRY(store, SqliteStore::Open(config.DatabasePath(), config.trust_domain, log));
  SIGNET_TRY(registry, Registry::Load(*store, config.trust_domain, clock, random));
  SIGNET_RETURN_IF_ERROR(EnsureDirectory(config.KeyFolder(), 0700));
  SIGNET_TRY(keys, OpenKeyStore(config.key_store, config.KeyFolder(), config.credentials_folder));
  SIGNET_TRY(attestors, MakeNodeAttestors(config.node_attestors,
                                          {config.trust_domain, *registry, clock, random, log}));
  SIGNET_TRY(log_keeper, LogKeeper::Start({*store, *keys, config.trust_domain, config.LogHeadPath(),
                                           clock, log, metrics}));
  return {};
}

// A first start needs the server above, or an entry for this one, that may be about to be there.
Result<std::unique_ptr<AuthorityKeeper>> Server::State::StartKeeper(
    const AuthoritySettings& settings) {
  const SteadyTime until = clock.SteadyNow() + kStartPatience;
  for (;;) {
    auto started =
        AuthorityKeeper::Start(*store, *registry, *keys, settings, clock, random, log, metrics);
    if (started || upstream == nullptr || clock.SteadyNow() >= until) return started;
    const Error& error = started.error();
    if (error.code != Code::kUnavailable && error.code != Code::kDeadlineExceeded &&
        error.reason != kWorkloadApiFailed)
      return started;
    std::this_thread::sleep_for(kStartPause);
  }
}

Status Server::State::MakeAuthorities() {
  AuthoritySettings settings;
  settings.ca_ttl = config.ca_ttl;
  settings.ca_key_type = config.ca_key_type;
  settings.jwt_key_type = config.jwt_key_type;
  settings.ca_subject = config.ca_subject;
  settings.keep_jwt = !config.disable_jwt_svids;
  if (config.upstream) {
    SIGNET_TRY(upstream,
               OpenUpstream(*config.upstream, config.trust_domain, {clock, random, log, metrics}));
    settings.upstream = upstream.get();
  }
  SIGNET_TRY(keeper, StartKeeper(settings));
  signers = std::make_unique<WorkerPool>(SignerCount(config),
                                         QueueLimits::Of(config.limits.queued_calls));
  journal = std::make_unique<Journal>(*store, *signers);
  IssuerSettings issuing;
  issuing.default_x509_svid_ttl = config.default_x509_svid_ttl;
  issuing.agent_ttl = config.agent_ttl;
  issuing.ca_ttl = config.ca_ttl;
  issuing.downstream = config.downstream;
  issuing.csr_key_types = config.csr_key_types;
  issuer = std::make_unique<Issuer>(*keeper, *journal, issuing, clock, random, metrics);
  if (!config.disable_jwt_svids) {
    jwt_issuer = std::make_unique<JwtIssuer>(
        *keeper, *journal, JwtIssuerSettings{config.default_jwt_svid_ttl, config.jwt_issuer}, clock,
        random, metrics);
  }
  identity = std::make_unique<ServerIdentity>(
      config.trust_domain, *issuer, *keeper,
      std::make_shared<OwnBundleVerifier>(*registry, kRenewalGrace, clock), clock, log);
  return identity->Tick();
}

Status Server::State::Federate() {
  SIGNET_TRY(federation, FederationKeeper::Start(config.federation.settings,
                                                 {*registry, clock, random, log, metrics}));
  if (!config.federation.endpoint) return {};
  SIGNET_TRY(publisher, BundlePublisher::Start(*config.federation.endpoint,
                                               {*registry, *identity, clock, log, metrics}));
  return {};
}

void Server::State::MakeApi() {
  const auto look = [this] { return Health(); };
  acknowledgements = std::make_unique<Acknowledgements>(*registry, clock);
  nested = std::make_unique<NestedService>(*registry, clock);
  const auto holders = [this](const std::string& id, Revision published_at) {
    return nested->Of(id, acknowledgements->Of(published_at));
  };
  keeper->SetAcknowledgementSource(holders);
  held = std::make_unique<HeldAuthorities>(*registry, holders);
  if (upstream) upstream->SetHeldSource([this] { return held->List(); });
  authorizer = std::make_unique<Authorizer>(*registry, clock,
                                            AuthorizationSettings{config.admin_ids, kRenewalGrace});
  signing = std::make_unique<RateLimiter>(config.limit_signing ? kSigningRate : 0, clock);
  jwt_signing = std::make_unique<RateLimiter>(config.limit_signing ? kSigningRate : 0, clock);
  publishing = std::make_unique<RateLimiter>(config.limit_signing ? kSigningRate : 0, clock);
  QueueLimits queue = QueueLimits::Of(config.limits.queued_calls);
  queue.heavy_at_once = std::max<std::size_t>(1, WorkerCount(config.limits) / 4);
  workers = std::make_unique<WorkerPool>(WorkerCount(config.limits), queue);
  CallGateSettings calls;
  if (!config.limit_calls) calls.calls_per_second = 0;
  gate = std::make_unique<CallGate>(calls, clock, random);
  router = std::make_unique<Router>(*authorizer, *workers, clock, log, metrics);
  router->SetGate(*gate);
  hub = std::make_unique<SyncHub>(*registry, *authorizer, *acknowledgements, clock, log, metrics);
  hub->Register(router.get());
  agents = std::make_unique<AgentService>(
      AgentService::Parts{*registry, *issuer, *acknowledgements, *attestors, clock, random, log},
      AttestAgent::Settings{config.agent_id_selector, config.limit_attestation});
  agents->Register(router.get());
  entries = std::make_unique<EntryService>(*registry, *authorizer);
  entries->Register(router.get());
  owned_entries = std::make_unique<EntriesService>(*registry);
  owned_entries->Register(router.get());
  bundles = std::make_unique<BundleService>(
      BundleService::Parts{*registry, *keeper, *authorizer, *acknowledgements, *publishing, log});
  bundles->Register(router.get());
  svids = std::make_unique<SvidService>(SvidService::Parts{
      *registry, *issuer, jwt_issuer.get(), *signing, *jwt_signing, log_keeper->refusals()});
  svids->Register(router.get());
  trust_domains =
      std::make_unique<TrustDomainService>(TrustDomainService::Parts{*registry, *federation, log});
  trust_domains->Register(router.get());
  audit = std::make_unique<AuditService>(*store, *log_keeper, config.trust_domain);
  audit->Register(router.get());
  router->SetRefusalSink(
      [this](const Caller& caller, std::string_view method, std::string_view why) {
        log_keeper->refusals().Add(caller.AsActor(), method, why);
      });
  health = std::make_unique<HealthService>(look);
  health->Register(router.get());
  status = std::make_unique<StatusService>(StatusService::Parts{
      *registry, *keeper, *hub, *store, clock, look, started_at, listen_address});
  status->Register(router.get());
  debug = std::make_unique<DebugService>(*registry, *identity, clock);
  debug->Register(router.get());
  logger = std::make_unique<LoggerService>(log);
  logger->Register(router.get());
  local_authorities = std::make_unique<LocalAuthorityService>(*keeper, jwt_issuer != nullptr);
  local_authorities->Register(router.get());
  revocation = std::make_unique<RevocationService>(*registry, log);
  revocation->Register(router.get());
  nested->Register(router.get());
  rpc = std::make_unique<net::RpcServer>(*router, CallLimits(config.limits));
}

Status Server::State::Listen() {
  SIGNET_TRY(auto listener, net::ListenTcp(config.listen));
  SIGNET_TRY(auto bound, net::LocalAddress(listener.get()));
  listen_address = bound.ToString();
  MakeApi();
  net::TlsFrontLimits limits;
  limits.max_connections = config.limits.connections;
  limits.max_per_address = config.limits.connections_per_address;
  SIGNET_TRY(front, net::TlsFront::Start(
                        std::move(listener), [this] { return identity->Context(); }, *rpc, limits,
                        clock, log, metrics));
  housekeeping = std::make_unique<Housekeeping>(
      HousekeepingParts{*registry, *keeper, *identity, *log_keeper, *front, board, config.data_dir,
                        [this] { agents->EndOverdueAttestations(); }, config.node_pruning},
      config.ca_ttl, clock, log);
  ExportMetrics();
  if (config.metrics) {
    SIGNET_TRY(admin_http,
               net::AdminServer::Start(*config.metrics, [this] { return Health(); }, metrics));
    metrics_address = config.metrics->host + ":" + std::to_string(admin_http->port());
  }
  // Last: who finds the admin socket finds a server that serves.
  const auto& socket = config.admin_socket;
  SIGNET_RETURN_IF_ERROR(
      EnsureDirectory(std::filesystem::path(socket.path).parent_path().string(), 0750));
  SIGNET_TRY(auto admin,
             net::ListenUnix(socket.path,
                             {.mode = socket.mode, .owner = socket.owner, .group = socket.group}));
  serving = true;
  SIGNET_TRY(admin_listener, AdminListener::Start(
                                 std::move(admin),
                                 [this](UniqueFd connection, const net::PeerCredentials& peer) {
                                   AdoptLocal(std::move(connection), peer);
                                 },
                                 log));
  return {};
}

net::Health Server::State::Health() const {
  net::Health result;
  result.problems = board.Problems();
  if (const Status found = log_keeper->Found(); !found)
    result.problems.push_back(found.error().Message());
  const auto now = clock.Now();
  const auto active = keeper->Active();
  bool can_issue = active != nullptr && now < active->certificate().not_after();
  const auto slots = keeper->Slots();
  for (std::string& problem : AuthorityProblems(kX509Authority, slots, now))
    result.problems.push_back(std::move(problem));
  if (jwt_issuer != nullptr) {
    for (std::string& problem : AuthorityProblems(kJwtAuthority, slots, now))
      result.problems.push_back(std::move(problem));
  }
  if (upstream) std::ranges::move(upstream->Problems(), std::back_inserter(result.problems));
  if (const Status writable = store->CheckWritable(); !writable) {
    result.problems.push_back(writable.error().Message());
    can_issue = false;
  }
  const bool has_svid = now < identity->valid_until();
  if (!has_svid)
    result.problems.push_back("the server's own SVID has expired: agents cannot connect");
  if (!serving) result.problems.push_back("not serving");
  if (serving && clock.SteadyNow() > housekeeping->last_turn() + kStuckAfter) {
    result.live = false;
    result.problems.push_back("housekeeping is stuck");
  }
  result.ready = serving && can_issue && has_svid && result.live;
  return result;
}

void Server::State::AdoptLocal(UniqueFd connection, const net::PeerCredentials& peer) {
  if (rpc->local_connections() >= kAdminConnections) {
    log.Warn("admin socket: too many connections", {{"limit", kAdminConnections}});
    return;
  }
  auto caller = std::make_shared<Caller>();
  caller->kind = CallerKind::kLocal;
  caller->pid = peer.pid;
  caller->uid = peer.uid;
  rpc->AdoptLocal(std::move(connection), std::move(caller));
}

void Server::State::ExportMetrics() {
  const auto gauge = [this](const char* name, const char* help, std::function<double()> read) {
    metrics.GaugeFrom(name, help, std::move(read));
  };
  gauge("signet_server_connections", "Open API connections.",
        [this] { return static_cast<double>(rpc->connections()); });
  gauge("signet_server_entries", "Registration entries.",
        [this] { return static_cast<double>(registry->CountEntries({})); });
  gauge("signet_server_agents", "Attested agents on record.",
        [this] { return static_cast<double>(registry->CountNodes({})); });
  gauge("signet_server_denials", "Denials kept.",
        [this] { return static_cast<double>(registry->Denials()->all().size()); });
  gauge("signet_server_revision", "The trust domain's current revision.",
        [this] { return static_cast<double>(registry->revision()); });
  gauge("signet_server_queued_calls", "Calls that wait for a worker.",
        [this] { return static_cast<double>(workers->queued()); });
  gauge("signet_server_svid_expiry_seconds", "End of the server's own SVID, Unix time.",
        [this] { return static_cast<double>(UnixSeconds(identity->valid_until())); });
}

// What was recorded since the last one is covered too: a tail cut while nothing runs shows.
void Server::State::SignLastCheckpoint() {
  if (!log_keeper) return;
  Status last = log_keeper->Tick();
  if (last) {
    if (const auto checkpoint = log_keeper->MakeCheckpoint(); !checkpoint)
      last = Fail(checkpoint.error());
  }
  if (!last) log.Error("no last checkpoint of the log", {{"error", last.error().Message()}});
}

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<Server>> Server::Start(const ServerConfig& config, const Clock& clock,
                                              Random& random, const Logger& log) {
  // gRPC, the client of a server above, logs in a format of its own what its statuses say anyway.
  gpr_set_log_function([](gpr_log_func_args*) {});
  std::unique_ptr<Server> server(new Server(std::make_unique<State>(config, clock, random, log)));
  State& state = *server->state_;
  SIGNET_RETURN_IF_ERROR(state.Open());
  SIGNET_RETURN_IF_ERROR(state.MakeAuthorities());
  SIGNET_RETURN_IF_ERROR(state.Federate());
  SIGNET_RETURN_IF_ERROR(state.Listen());
  log.Info("serving", {{"trust_domain", config.trust_domain.name()},
                       {"address", state.listen_address},
                       {"admin_socket", config.admin_socket.path},
                       {"metrics", state.metrics_address}});
  return server;
}

Server::~Server() { Stop(std::chrono::milliseconds(0)); }

void Server::Stop(std::chrono::milliseconds grace) {
  State& state = *state_;
  state.serving = false;
  if (state.front) state.front->StopAccepting();
  state.admin_listener.reset();
  if (state.hub) state.hub->Stop();
  if (state.front) state.rpc->Drain(grace);
  state.admin_http.reset();
  state.publisher.reset();
  state.housekeeping.reset();
  if (state.upstream) state.upstream->Stop();
  state.SignLastCheckpoint();
  state.front.reset();  // and all connections
  state.workers.reset();
  if (state.router) state.router->AwaitCalls();
  state.federation.reset();
  state.hub.reset();
}

const std::string& Server::listen_address() const { return state_->listen_address; }
const std::string& Server::metrics_address() const { return state_->metrics_address; }
net::Health Server::health() const { return state_->Health(); }

}  // namespace signet::identity
