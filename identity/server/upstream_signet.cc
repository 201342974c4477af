#include "identity/server/upstream_signet.h"

#include <fmt/format.h>

#include <algorithm>

#include "ca/x509/path.h"
#include "ca/x509/request.h"
#include "identity/svid/x509_svid.h"

namespace signet::identity {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

// A single turn that fails is not worth a word to an operator.
constexpr unsigned kTurnsBeforeTrouble = 3;

tl::unexpected<Error> Unusable(std::string why) {
  return Fail(Code::kFailedPrecondition, kUpstreamUnusable, std::move(why));
}

}  // namespace

SignetUpstream::SignetUpstream(std::unique_ptr<UpstreamPeer> peer, std::string name,
                               const TrustDomain& trust_domain, const Timing& timing,
                               const UpstreamParts& parts)
    : peer_(std::move(peer)),
      name_(std::move(name)),
      trust_domain_(trust_domain),
      timing_(timing),
      parts_(parts),
      answers_(parts.metrics.Counter("signet_server_upstream_polls_total",
                                     "Questions for the bundle above, by how they ended",
                                     {{"result", "answered"}})),
      failures_(parts.metrics.Counter("signet_server_upstream_polls_total",
                                      "Questions for the bundle above, by how they ended",
                                      {{"result", "failed"}})),
      grants_(parts.metrics.Counter("signet_server_upstream_grants_total",
                                    "X.509 authorities of ours certified above")),
      answered_at_(parts.metrics.Gauge("signet_server_upstream_answer_seconds",
                                       "When the authority above last answered, Unix time")) {}

std::unique_ptr<SignetUpstream> SignetUpstream::Start(std::unique_ptr<UpstreamPeer> peer,
                                                      std::string name,
                                                      const TrustDomain& trust_domain,
                                                      const Timing& timing,
                                                      const UpstreamParts& parts) {
  std::unique_ptr<SignetUpstream> upstream(
      new SignetUpstream(std::move(peer), std::move(name), trust_domain, timing, parts));
  upstream->Ask();
  upstream->thread_ = std::thread([raw = upstream.get()] { raw->Run(); });
  return upstream;
}

SignetUpstream::~SignetUpstream() { Stop(); }

void SignetUpstream::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  peer_->Stop();
  if (thread_.joinable()) thread_.join();
}

void SignetUpstream::Run() {
  Duration pause = timing_.retry.first;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      if (wake_.wait_for(lock, pause, [this] { return stopping_; })) return;
    }
    pause = Ask();
  }
}

Duration SignetUpstream::Ask() {
  const auto answer = peer_->FetchTrust();
  HeldSource held;
  {
    const std::lock_guard lock(mutex_);
    held = held_;
  }
  if (answer && held) Report(held());
  return NoteAnswer(answer);
}

// What was heard counts, whatever becomes of what is told.
void SignetUpstream::Report(const std::vector<std::string>& held) {
  const Status told = peer_->ReportHeld(held);
  if (!told && told_)
    parts_.log.Warn("the authority above does not take what is held here; its rotations may wait",
                    {{"server", name_}, {"error", told.error().Message()}});
  told_ = told.has_value();
}

void SignetUpstream::SetHeldSource(HeldSource source) {
  const std::lock_guard lock(mutex_);
  held_ = std::move(source);
}

Duration SignetUpstream::NoteAnswer(const Result<UpstreamTrust>& answer) {
  const WallTime now = parts_.clock.Now();
  const std::lock_guard lock(mutex_);
  if (answer) {
    if (failed_turns_ >= kTurnsBeforeTrouble)
      parts_.log.Info("the authority above answers again", {{"server", name_}});
    trust_ = *answer;
    trouble_.reset();
    failed_turns_ = 0;
    answers_.Add();
    answered_at_.Set(static_cast<double>(UnixSeconds(now)));
    const double jitter = 0.9 + parts_.random.Unit() * 0.2;
    return std::chrono::duration_cast<Duration>(timing_.poll * jitter);
  }
  if (stopping_) return timing_.poll;
  failures_.Add();
  if (!trouble_) trouble_since_ = now;
  trouble_ = answer.error();
  if (++failed_turns_ == kTurnsBeforeTrouble) {
    parts_.log.Warn("the authority above does not answer; what it said last stays",
                    {{"server", name_}, {"error", answer.error().Message()}});
  }
  return DrawBackoff(failed_turns_ - 1, timing_.retry, parts_.random);
}

// Whatever it answered: we must be able to sign with it, and others to verify what we sign. A
// certificate for a key that is thrown away shows both, name constraints and all.
Status SignetUpstream::CheckGrant(const UpstreamPeer::Grant& grant, const Request& request,
                                  const ca::X509Authority::RecordIntent& record) const {
  const WallTime now = parts_.clock.Now();
  SIGNET_TRY(const ca::Chain path, ca::BuildPath(grant.chain, grant.roots, now));
  SIGNET_TRY(const auto authority, ca::X509Authority::Create(path, request.signer));
  SIGNET_TRY(const auto key, ca::PrivateKey::Generate(ca::KeyType::kEcP256));
  const WallTime from = std::max(request.not_before, path.front().not_before());
  const ca::LeafProfile profile{.purpose = ca::Purpose::kServer,
                                .uri_san = ServerId(trust_domain_).ToString(),
                                .dns_sans = {},
                                .subject = {},
                                .not_before = from,
                                .not_after = now + minutes(1)};
  SIGNET_TRY(const auto prepared,
             authority->Prepare(key.public_key(), profile, parts_.random, now));
  SIGNET_RETURN_IF_ERROR(record(prepared.intent));
  SIGNET_TRY(ca::Certificate leaf, authority->Sign(prepared));
  ca::Chain shown = {std::move(leaf)};
  shown.insert(shown.end(), grant.chain.begin(), grant.chain.end());
  Bundle bundle;
  for (const ca::Certificate& root : grant.roots)
    bundle.x509_authorities.push_back({.certificate = root, .tainted = false});
  const auto verified = VerifyX509Svid(shown, {{trust_domain_, bundle}}, now);
  if (!verified)
    return Unusable("nobody would accept what the certificate it made signs: " +
                    verified.error().Message());
  return {};
}

Result<ca::Chain> SignetUpstream::Certify(const Request& request,
                                          const ca::X509Authority::RecordIntent& record) {
  SIGNET_TRY(const Bytes csr, ca::MakeRequest(*request.signer, request.uri_san));
  const auto ttl = std::chrono::ceil<seconds>(request.not_after - parts_.clock.Now());
  SIGNET_TRY(const UpstreamPeer::Grant grant, peer_->NewDownstreamCa(csr, ttl));
  SIGNET_RETURN_IF_ERROR(CheckGrant(grant, request, record));
  grants_.Add();
  const std::lock_guard lock(mutex_);
  for (const ca::Certificate& root : grant.roots) {
    if (std::ranges::find(trust_.x509, root, &X509BundleAuthority::certificate) ==
        trust_.x509.end())
      trust_.x509.push_back({.certificate = root, .tainted = false});
  }
  return grant.chain;
}

UpstreamTrust SignetUpstream::Trust() {
  const std::lock_guard lock(mutex_);
  return trust_;
}

Status SignetUpstream::PublishJwt(const JwtBundleAuthority& authority) {
  SIGNET_TRY(auto keys, peer_->PublishJwt(authority));
  const std::lock_guard lock(mutex_);
  trust_.jwt = std::move(keys);
  return {};
}

std::vector<std::string> SignetUpstream::Problems() const {
  const std::lock_guard lock(mutex_);
  if (!trouble_ || failed_turns_ < kTurnsBeforeTrouble) return {};
  return {fmt::format(
      "the authority above at {} has not answered since {}: {}; this server goes on until its own "
      "authority ends",
      name_, FormatTime(trouble_since_), trouble_->Message())};
}

}  // namespace signet::identity
