#include "agent/agent.h"

#include <sys/stat.h>
#include <unistd.h>

#include "files/renewal_action.h"

namespace signet::agent {
namespace {

std::string FolderOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

}  // namespace

struct Agent::Stores {
  FileLock lock;
  std::shared_ptr<const SecretBytes> kek;
  std::unique_ptr<NodeState> state;
};

Result<std::unique_ptr<Agent>> Agent::Create(const AgentConfig& config, AgentWorld world) {
  SIGNET_RETURN_IF_ERROR(EnsureDirectory(config.data_dir, 0700));
  SIGNET_TRY(auto lock, FileLock::Acquire(config.data_dir + "/lock"));
  SealKeySource seal_key = config.seal_key;
  if (seal_key.name.empty()) seal_key.name = config.data_dir + "/kek";
  SIGNET_TRY(auto kek, LoadSealKey(seal_key));
  SIGNET_TRY(auto state, NodeState::Open(SealedFile(config.data_dir + "/node.sealed", kek, "node"),
                                         config.trust_domain));
  return std::unique_ptr<Agent>(
      new Agent(config, world, Stores{std::move(lock), std::move(kek), std::move(state)}));
}

Agent::Agent(const AgentConfig& config, AgentWorld world, Stores stores)
    : config_(config),
      world_(world),
      lock_(std::move(stores.lock)),
      state_(std::move(stores.state)),
      cache_(config.trust_domain),
      cache_store_(config.data_dir + "/cache.sealed", config.disk_cache ? stores.kek : nullptr,
                   {cache_, *state_, world.clock, world.random, world.log, world.metrics}),
      denials_(SealedFile(config.data_dir + "/denials.sealed", stores.kek, "denials"), world.log),
      unix_attestor_(config.unix_attestor, world.metrics),
      attestors_(
          unix_attestor_,
          MakeWorkloadAttestors(config.workload_attestors, world.clock, world.log, world.metrics),
          config.workload_attestors.timeout, world.clock, world.log, world.metrics),
      link_(world.dialer, *state_, world.clock),
      node_authority_(link_),
      svid_issuer_(link_),
      node_attestor_(
          MakeNodeAttestor(config.node_attestor, {*state_, world.clock, world.random, world.log})),
      keeper_({*state_, node_authority_, *node_attestor_}, config.attest, world.clock, world.random,
              world.log, world.metrics),
      minter_(
          {cache_, svid_issuer_, interest_, world.clock, world.random, world.log, world.metrics},
          MintOptions{{}, config.most_svids, config.workload_key_type}),
      sync_(link_, cache_, *state_, SyncOptions{config.sync_interval}, world.clock, world.random,
            world.log, world.metrics),
      jwt_issuer_(link_),
      jwts_(cache_, jwt_issuer_, world.clock, world.metrics),
      files_({cache_, [this](const std::vector<std::string>& ids) { minter_.Want(ids); }, interest_,
              world.clock, world.random, world.log, world.metrics},
             config.files, files::RunAction),
      reporter_({*state_, cache_, cache_store_, minter_, sync_, jwts_,
                 [this] { return attestors_.Records(); }, [this] { return files_.Problems(); },
                 world.clock},
                config.server.ToString(), config.most_svids),
      endpoints_(
          {cache_, [this](const net::PeerCredentials& peer) { return attestors_.Attest(peer); },
           [this](const std::vector<std::string>& ids) { minter_.Want(ids); }, interest_, jwts_,
           [this] { return reporter_.Figures(); }, [this] { return reporter_.Status(); },
           world.clock, world.random, world.log, world.metrics},
          config.endpoints, config.limits) {}

Agent::~Agent() { StopParts(); }

void Agent::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  keeper_.RequestStop();
}

ExitCode Agent::Run(const std::function<void()>& serving) {
  // Before the token is spent: an agent that cannot open its socket must not cost one.
  if (const auto listener = Listen(); !listener) {
    world_.log.Error("cannot open the socket", {{"error", listener.error().Message()}});
    return ExitCode::kInUse;
  }
  net::RemoveSocketFile(config_.socket);
  if (const auto& admin = config_.endpoints.admin_socket) {
    if (const auto listener = Endpoints::ListenAdmin(*admin); !listener) {
      world_.log.Error("cannot open the admin socket", {{"error", listener.error().Message()}});
      return ExitCode::kInUse;
    }
    net::RemoveSocketFile(admin->path);
  }
  if (const ExitCode attested = EnsureAttested(); attested != ExitCode::kClean) return attested;
  if (!state_->identity()) return ExitCode::kClean;  // asked to stop before
  if (const Status restored = cache_store_.Restore(); !restored)
    world_.log.Error("what was kept is refused and will be written anew; starting without it",
                     {{"error", restored.error().Message()}});
  // Before anything kept is served.
  if (const Status restored = denials_.Restore(); !restored) {
    world_.log.Error(
        "the denials kept cannot be read: nothing is served before the server has said who is "
        "revoked",
        {{"error", restored.error().Message()}});
    cache_.Erase();
  }
  TakeDenials();
  if (const Status socket = OpenSocket(); !socket) {
    world_.log.Error("cannot open the socket", {{"error", socket.error().Message()}});
    return ExitCode::kInUse;
  }
  StartParts();
  serving();
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stopping_ || denied_; });
  }
  StopParts();
  return denied_ ? ExitCode::kDenied : ExitCode::kClean;
}

Result<UniqueFd> Agent::Listen() const {
  SIGNET_RETURN_IF_ERROR(EnsureDirectory(FolderOf(config_.socket), 0755));
  net::UnixListenOptions options;
  options.mode = config_.socket_mode;
  return net::ListenUnix(config_.socket, options);
}

Status Agent::OpenSocket() {
  SIGNET_TRY(auto listener, Listen());
  SIGNET_RETURN_IF_ERROR(endpoints_.Open(std::move(listener)));
  opened_ = true;
  return {};
}

ExitCode Agent::EnsureAttested() {
  if (state_->identity()) return ExitCode::kClean;
  const Status attested = keeper_.AttestUntilDone();
  if (attested || attested.error().reason == kStopped) return ExitCode::kClean;
  world_.log.Error("this node cannot be attested", {{"error", attested.error().Message()}});
  return attested.error().reason == kTrustBundleUnusable ? ExitCode::kUsage
                                                         : ExitCode::kNotAttested;
}

void Agent::StartParts() {
  reporter_.ExportMetrics(&world_.metrics);
  cache_.Observe([this] { endpoints_.Wake(); });
  cache_.Observe([this] { minter_.Wake(); });
  cache_.Observe([this] { cache_store_.Wake(); });
  cache_.Observe([this] { files_.Wake(); });
  cache_.Observe([this] { endpoints_.SetServing(cache_.Current()->synced); });
  denials_.Observe([this] { TakeDenials(); });
  world_.metrics.GaugeFrom("signet_agent_denials", "Denials held", [this] {
    return static_cast<double>(denials_.Current().denials->all().size());
  });
  link_.OnDrop([this] { sync_.Interrupt(); });
  endpoints_.SetServing(cache_.Current()->synced);
  const auto identity = state_->identity();
  world_.log.Info("agent runs", {{"agent_id", identity->id.ToString()},
                                 {"svid_expires", FormatTime(identity->not_after())},
                                 {"socket", config_.socket}});
  cache_store_.Start();
  keeper_.Start([this] { OnRenewed(); });
  minter_.Start();
  files_.Start();
  sync_.Start(SyncEvents{[this] { OnConnected(); }, [this](const Error& e) { return OnDenied(e); },
                         [this](DenialDelta delta) { return denials_.Apply(std::move(delta)); },
                         [this] { return denials_.Current().denials; }});
  reporter_.SetServing(true);
}

void Agent::StopParts() {
  reporter_.SetServing(false);
  sync_.Stop();
  files_.Stop();
  minter_.Stop();
  keeper_.Stop();
  cache_store_.Stop();
  jwt_issuer_.Stop();
  if (!opened_) return;
  endpoints_.Stop();
  net::RemoveSocketFile(config_.socket);
}

void Agent::OnRenewed() {
  cache_store_.OnAgentSvid();
  link_.DropCurrent();
}

void Agent::OnConnected() {
  minter_.OnConnected();
  const auto identity = state_->identity();
  if (!identity || identity->not_after() > world_.clock.Now()) return keeper_.Wake();
  // Expired while the server was away: it may still renew, and does nothing else for us.
  const Status renewed = keeper_.RenewOnce();
  if (renewed) return OnRenewed();
  world_.log.Warn("the expired agent SVID was not renewed", {{"error", renewed.error().Message()}});
}

void Agent::TakeDenials() {
  const DenialBoard::State held = denials_.Current();
  const std::size_t dropped = cache_.SetDenials(held.denials, held.revision, world_.clock.Now());
  if (dropped > 0)
    world_.log.Warn("SVIDs dropped: revoked",
                    {{"count", dropped}, {"denials", held.denials->all().size()}});
  minter_.OnConnected();  // who was refused may be forgiven
}

bool Agent::OnDenied(const Error& error) {
  if (AnswerTo(error) == DenialAnswer::kReattest) return Reattest();
  // Evicted, and welcome again if its proof still is: a server that is away is asked later.
  if (error.reason == kAgentNotAttested && keeper_.can_reattest()) {
    const Status again = AttestAgain();
    if (again || (again.error().reason != kAttestationRefused && again.error().reason != kNoProof))
      return true;
  }
  world_.log.Error(
      "the server denies this agent: everything held is erased; to let it join again, unban it on "
      "the "
      "server if it is banned, and start it with a new join token",
      {{"error", error.Message()}});
  const Status state_erased = state_->Erase();
  const Status cache_erased = cache_store_.Erase();
  cache_.Erase();
  jwts_.Clear();
  for (const Status& erased : {state_erased, cache_erased})
    if (!erased) world_.log.Error("not erased from disk", {{"error", erased.error().Message()}});
  {
    const std::lock_guard lock(mutex_);
    denied_ = true;
  }
  changed_.notify_all();
  return false;
}

Status Agent::AttestAgain() {
  SIGNET_RETURN_IF_ERROR(keeper_.AttestOnce());
  cache_store_.OnAgentSvid();
  return {};
}

bool Agent::Reattest() {
  const Status attested = AttestAgain();
  if (attested) return true;
  world_.log.Error(
      "the server wants this agent to attest again; SVIDs held are served while they last. Put a "
      "new join "
      "token into join_token_file, or restart with one",
      {{"error", attested.error().Message()}});
  return true;
}

net::Health Agent::health() const { return reporter_.Health(); }

}  // namespace signet::agent
