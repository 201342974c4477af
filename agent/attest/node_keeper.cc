#include "agent/attest/node_keeper.h"

#include <algorithm>
#include "agent/cache/renewal.h"

#include "ca/x509/request.h"

namespace signet::agent {
namespace {

constexpr Duration kLongestNap = std::chrono::seconds(5);  // the wall clock may be set meanwhile

// Whether no authority that the bundle still trusts stands at the end of the chain: it was tainted,
// or is gone. Soon the server will not take this SVID any more.
bool IsDistrusted(const NodeIdentity& identity, const identity::Bundle& bundle) {
  const Bytes& issuer = identity.chain.back().authority_key_id();
  return !issuer.empty() &&
         std::ranges::none_of(bundle.x509_authorities, [&](const auto& authority) {
           return !authority.tainted && authority.certificate.subject_key_id() == issuer;
         });
}

}  // namespace

NodeKeeper::NodeKeeper(const NodeParts& parts, AttestOptions options, const Clock& clock,
                       Random& random, const Logger& log, Metrics& metrics)
    : state_(parts.state),
      authority_(parts.authority),
      attestor_(parts.attestor),
      options_(std::move(options)),
      clock_(clock),
      random_(random),
      log_(log),
      renewals_(
          metrics.Counter("signet_agent_node_renewals_total", "Renewals of the agent's own SVID")),
      failures_(metrics.Counter("signet_agent_node_renewal_failures_total",
                                "Attempts to renew the agent's own SVID that failed")) {}

NodeKeeper::~NodeKeeper() { Stop(); }

Result<identity::Bundle> NodeKeeper::LoadTrust() const {
  if (!options_.pin) return LoadTrustBundle(options_.trust_bundle_path, options_.trust_domain);
  SIGNET_TRY(const auto shown, authority_.FetchUnverifiedBundle());
  SIGNET_TRY(auto pinned, KeepPinned(shown, *options_.pin));
  pinned.trust_domain = options_.trust_domain;
  return pinned;
}

Result<NodeIdentity> NodeKeeper::CheckChain(ca::Chain chain, ca::PrivateKey key,
                                            const identity::Bundle& bundle) const {
  const identity::BundleMap bundles{{options_.trust_domain, bundle}};
  auto verified = identity::VerifyX509Svid(chain, bundles, clock_.Now());
  if (!verified) return Fail(Code::kInternal, kNodeSvidWrong, verified.error().Message());
  if (!verified->id.IsMemberOf(options_.trust_domain) ||
      !identity::IsAgentPath(verified->id.path()))
    return Fail(Code::kInternal, kNodeSvidWrong,
                verified->id.ToString() + " is not an agent of this trust domain");
  if (!(chain.front().public_key() == key.public_key()))
    return Fail(Code::kInternal, kNodeSvidWrong, "it is over another key");
  return NodeIdentity{verified->id, std::move(chain),
                      std::make_shared<const ca::PrivateKey>(std::move(key))};
}

Status NodeKeeper::AttestOnce() {
  const std::lock_guard attesting(attest_mutex_);
  SIGNET_TRY(const auto proof, attestor_.Begin());
  SIGNET_TRY(const identity::Bundle trust, LoadTrust());
  // Before the token is spent: a server that cannot be verified must not cost one.
  SIGNET_TRY(const identity::Bundle bundle, authority_.FetchBundle(trust));
  if (bundle.trust_domain != options_.trust_domain)
    return Fail(Code::kFailedPrecondition, kNodeSvidWrong,
                "the server is of trust domain " + bundle.trust_domain.name());
  // Nor one whose result could not be kept.
  SIGNET_RETURN_IF_ERROR(state_.CheckRoom());
  SIGNET_TRY(auto key, ca::PrivateKey::Generate(ca::KeyType::kEcP256));
  SIGNET_TRY(const Bytes request, ca::MakeRequest(key));
  SIGNET_TRY(auto chain, authority_.Attest(trust, attestor_.type(), *proof, request));
  SIGNET_TRY(auto identity, CheckChain(std::move(chain), std::move(key), bundle));
  const std::string id = identity.id.ToString();
  const WallTime expires = identity.not_after();
  SIGNET_RETURN_IF_ERROR(state_.SetIdentity(std::move(identity), bundle, proof->spent()));
  log_.Info("node attested", {{"agent_id", id}, {"expires", FormatTime(expires)}});
  return {};
}

Status NodeKeeper::AttestUntilDone() {
  for (unsigned failures = 0;; ++failures) {
    Status done = AttestOnce();
    if (done) return done;
    const Reason& reason = done.error().reason;
    if (reason == kAttestationRefused || reason == kNoProof || reason == kTrustBundleUnusable)
      return done;
    const Duration pause = PauseAfter(failures);
    log_.Warn("node attestation not possible yet",
              {{"error", done.error().Message()}, {"retry_in", FormatDuration(pause)}});
    if (!Pause(pause)) return Fail(Code::kCancelled, kStopped);
  }
}

Duration NodeKeeper::PauseAfter(unsigned failures) {
  return std::max(DrawBackoff(failures, {}, random_),
                  DrawPause(authority_.TakePauseAsked(), random_));
}

Status NodeKeeper::RenewOnce() {
  const auto current = state_.identity();
  const auto bundle = state_.bundle();
  if (!current || !bundle) return Fail(Code::kFailedPrecondition, kAgentNotAttested);
  SIGNET_TRY(auto key, ca::PrivateKey::Generate(ca::KeyType::kEcP256));
  SIGNET_TRY(const Bytes request, ca::MakeRequest(key));
  auto chain = authority_.Renew(request);
  // A node that can prove itself again is asked to, instead (SPIRE: AGENT_MUST_REATTEST).
  if (!chain && chain.error().reason == kAgentMustReattest && attestor_.can_repeat())
    return AttestOnce();
  if (!chain) return Fail(chain.error());
  SIGNET_TRY(auto renewed, CheckChain(*std::move(chain), std::move(key), *bundle));
  if (renewed.id != current->id)
    return Fail(Code::kInternal, kNodeSvidWrong,
                renewed.id.ToString() + " instead of " + current->id.ToString());
  const WallTime expires = renewed.not_after();
  if (const Status kept = state_.RenewIdentity(renewed); !kept) {
    // A failing disk may take the next one: the old one is let go only when its end is near.
    const Duration life = current->not_after() - current->not_before();
    if (clock_.Now() < current->not_after() - life / 3) return kept;
    log_.Error("the new agent SVID is in use but not on disk: a restart now needs a new join token",
               {{"error", kept.error().Message()}});
    state_.UseUnkept(std::move(renewed));
  }
  renewals_.Add();
  log_.Info("agent SVID renewed", {{"expires", FormatTime(expires)}});
  return {};
}

void NodeKeeper::Start(std::function<void()> renewed) {
  renewed_ = std::move(renewed);
  thread_ = std::thread([this] { Loop(); });
}

void NodeKeeper::RequestStop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
}

void NodeKeeper::Stop() {
  RequestStop();
  if (!thread_.joinable()) return;
  thread_.join();
  KeepUnkept();
}

void NodeKeeper::KeepUnkept() {
  if (const Status kept = state_.Keep(); !kept)
    log_.Warn("the agent SVID in use is still not on disk", {{"error", kept.error().Message()}});
}

void NodeKeeper::Wake() {
  {
    const std::lock_guard lock(mutex_);
    awake_ = true;
  }
  changed_.notify_all();
}

bool NodeKeeper::Pause(Duration duration) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, duration, [&] { return stopping_ || awake_; });
  awake_ = false;
  return !stopping_;
}

void NodeKeeper::Loop() {
  std::shared_ptr<const NodeIdentity> planned;  // the identity `due` was drawn for
  WallTime due;
  std::shared_ptr<const identity::Bundle> in_vain;  // under which a renewal gave no better SVID
  unsigned failures = 0;
  Duration nap = Duration::zero();
  while (Pause(nap)) {
    KeepUnkept();
    const auto current = state_.identity();
    const auto bundle = state_.bundle();
    if (current != planned) {
      const bool is_new = planned != nullptr;  // else: as found at the start
      planned = current;
      if (current)
        due = is_new ? RenewalOfNew(current->not_before(), current->not_after(), clock_.Now(),
                                    current->chain.front().fingerprint())
                     : RenewalTime(current->not_before(), current->not_after(),
                                   current->chain.front().fingerprint());
    }
    nap = current ? std::clamp<Duration>(due - clock_.Now(), Duration::zero(), kLongestNap)
                  : kLongestNap;
    const bool distrusted =
        current && bundle && bundle != in_vain && IsDistrusted(*current, *bundle);
    if (!current || (nap > Duration::zero() && !distrusted)) continue;
    const Status done = RenewOnce();
    if (done) {
      failures = 0;
      if (const auto fresh = state_.identity();
          distrusted && fresh && IsDistrusted(*fresh, *bundle))
        in_vain = bundle;
      renewed_();
      continue;
    }
    nap = std::max<Duration>(PauseAfter(failures++), std::chrono::milliseconds(10));
    failures_.Add();
    log_.Warn("agent SVID not renewed",
              {{"error", done.error().Message()}, {"expires", FormatTime(current->not_after())}});
  }
}

}  // namespace signet::agent
