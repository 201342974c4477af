#include "identity/server/upstream_peer.h"

#include <grpcpp/create_channel_posix.h>
#include <grpcpp/grpcpp.h>

#include <mutex>

#include "base/log.h"
#include "identity/server/upstream_messages.h"
#include "identity/workload/expected_peer.h"
#include "identity/workload/fetch_identity.h"
#include "net/tls_front.h"
#include "signet/nested/v1/nested.grpc.pb.h"
#include "spire/api/server/bundle/v1/bundle.grpc.pb.h"
#include "spire/api/server/svid/v1/svid.grpc.pb.h"

namespace signet::identity {
namespace {

namespace bundle_api = spire::api::server::bundle::v1;
namespace nested_api = signet::nested::v1;
namespace svid_api = spire::api::server::svid::v1;
namespace types = spire::api::types;

using std::chrono::seconds;

constexpr seconds kDialTimeout{5};
constexpr seconds kCallTimeout{10};
constexpr int kMaxAnswerBytes = 16 << 20;
constexpr std::size_t kMaxMessage = 512;

tl::unexpected<Error> Unusable(std::string what) {
  return Fail(Code::kFailedPrecondition, kUpstreamUnusable, std::move(what));
}

Error FromGrpc(const grpc::Status& status) {
  std::string detail = EscapeForLog(status.error_message(), kMaxMessage);
  if (status.error_code() == grpc::PERMISSION_DENIED)
    detail += "; is the entry of this server marked as downstream?";
  return Error{static_cast<Code>(status.error_code()), kUpstreamAnswered, std::move(detail)};
}

class DialedPeer final : public UpstreamPeer {
 public:
  DialedPeer(const SignetUpstreamConfig& config, const TrustDomain& trust_domain,
             std::unique_ptr<net::TlsDialer> dialer, const Clock& clock, Random& random)
      : config_(config),
        trust_domain_(trust_domain),
        dialer_(std::move(dialer)),
        clock_(clock),
        instance_(random.Uuid()) {}

  Result<UpstreamTrust> FetchTrust() override;
  Result<Grant> NewDownstreamCa(const Bytes& request, seconds ttl) override;
  Result<std::vector<JwtBundleAuthority>> PublishJwt(const JwtBundleAuthority& authority) override;
  Status ReportHeld(const std::vector<std::string>& authorities) override;
  void Stop() override;

 private:
  // One call, on a connection that is made when there is none.
  template <class Stub, class Method, class Request, class Response>
  Status Call(Method method, const Request& request, Response* response);
  Status Connect();
  Result<WorkloadIdentity> FetchIdentity();
  // Stop() cancels `context` from here on; false when stopped already.
  bool Enter(grpc::ClientContext* context);
  void Leave();

  const SignetUpstreamConfig config_;
  const TrustDomain trust_domain_;
  const std::unique_ptr<net::TlsDialer> dialer_;
  const Clock& clock_;
  const std::string instance_;

  std::mutex turn_;  // one call at a time; guards what follows
  std::shared_ptr<grpc::Channel> channel_;
  bool waits_for_us_ = true;  // false: this channel's server knows no ReportHeld
  WallTime renew_at_;
  Bundle verified_by_;

  std::mutex mutex_;  // guards what follows
  grpc::ClientContext* in_progress_ = nullptr;
  bool stopped_ = false;
};

bool DialedPeer::Enter(grpc::ClientContext* context) {
  const std::lock_guard lock(mutex_);
  if (stopped_) return false;
  in_progress_ = context;
  return true;
}

void DialedPeer::Leave() {
  const std::lock_guard lock(mutex_);
  in_progress_ = nullptr;
}

void DialedPeer::Stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  if (in_progress_ != nullptr) in_progress_->TryCancel();
}

Result<WorkloadIdentity> DialedPeer::FetchIdentity() {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
  if (!Enter(&context)) return Fail(Code::kCancelled, kUpstreamUnusable, "stopping");
  auto identity = FetchWorkloadIdentity(config_.workload_api_socket, context, clock_);
  Leave();
  if (identity && identity->id.trust_domain() != trust_domain_)
    return Unusable("the agent gives this server an identity of another trust domain: " +
                    identity->id.ToString());
  return identity;
}

Status DialedPeer::Connect() {
  const WallTime now = clock_.Now();
  if (channel_ != nullptr && now < renew_at_) return {};
  channel_ = nullptr;
  SIGNET_TRY(const WorkloadIdentity identity, FetchIdentity());
  net::TlsOptions options;
  options.role = net::TlsRole::kClient;
  options.alpn = {"h2"};
  SIGNET_TRY(auto context,
             net::TlsContext::Create(options, identity.tls,
                                     std::make_shared<const ExpectedPeer>(
                                         ServerId(trust_domain_), identity.bundles, clock_)));
  SIGNET_TRY(auto dialed, dialer_->Dial(config_.server, std::move(context), kDialTimeout));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxAnswerBytes);
  channel_ =
      grpc::CreateCustomInsecureChannelFromFd("signet-server", dialed.plain.Release(), arguments);
  waits_for_us_ = true;
  renew_at_ = now + (std::min(identity.valid_until, dialed.peer->valid_until) - now) / 2;
  verified_by_ = identity.bundles.at(trust_domain_);
  return {};
}

template <class Stub, class Method, class Request, class Response>
Status DialedPeer::Call(Method method, const Request& request, Response* response) {
  SIGNET_RETURN_IF_ERROR(Connect());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
  if (!Enter(&context)) return Fail(Code::kCancelled, kUpstreamUnusable, "stopping");
  Stub stub(channel_);
  const grpc::Status status = (stub.*method)(&context, request, response);
  Leave();
  if (status.ok()) return {};
  if (status.error_code() != grpc::UNIMPLEMENTED)
    channel_ = nullptr;  // the next call comes with the identity of its moment
  return Fail(FromGrpc(status));
}

Result<UpstreamTrust> DialedPeer::FetchTrust() {
  const std::lock_guard turn(turn_);
  types::Bundle bundle;
  SIGNET_RETURN_IF_ERROR(Call<bundle_api::Bundle::Stub>(&bundle_api::Bundle::Stub::GetBundle,
                                                        bundle_api::GetBundleRequest(), &bundle));
  SIGNET_TRY(UpstreamTrust trust, ReadUpstreamTrust(bundle, trust_domain_));
  // Whom it takes for the server above must hold by what is trusted now.
  const bool is_new = std::ranges::any_of(trust.x509, [&](const X509BundleAuthority& root) {
    return std::ranges::find(verified_by_.x509_authorities, root.certificate,
                             &X509BundleAuthority::certificate) ==
           verified_by_.x509_authorities.end();
  });
  if (is_new || trust.x509.size() != verified_by_.x509_authorities.size()) channel_ = nullptr;
  return trust;
}

Result<UpstreamPeer::Grant> DialedPeer::NewDownstreamCa(const Bytes& request, seconds ttl) {
  const std::lock_guard turn(turn_);
  svid_api::NewDownstreamX509CARequest call;
  call.set_csr(ToString(request));
  call.set_preferred_ttl(static_cast<std::int32_t>(ttl.count()));
  svid_api::NewDownstreamX509CAResponse answer;
  SIGNET_RETURN_IF_ERROR(
      Call<svid_api::SVID::Stub>(&svid_api::SVID::Stub::NewDownstreamX509CA, call, &answer));
  return ReadUpstreamGrant(answer);
}

Result<std::vector<JwtBundleAuthority>> DialedPeer::PublishJwt(
    const JwtBundleAuthority& authority) {
  const std::lock_guard turn(turn_);
  bundle_api::PublishJWTAuthorityRequest call;
  auto* const key = call.mutable_jwt_authority();
  key->set_key_id(authority.key_id);
  key->set_public_key(ToString(authority.public_key));
  key->set_expires_at(authority.expires_at);
  bundle_api::PublishJWTAuthorityResponse answer;
  SIGNET_RETURN_IF_ERROR(Call<bundle_api::Bundle::Stub>(
      &bundle_api::Bundle::Stub::PublishJWTAuthority, call, &answer));
  return ReadUpstreamKeys(answer.jwt_authorities());
}

Status DialedPeer::ReportHeld(const std::vector<std::string>& authorities) {
  const std::lock_guard turn(turn_);
  if (channel_ != nullptr && !waits_for_us_) return {};
  nested_api::ReportHeldRequest call;
  call.set_instance(instance_);
  call.mutable_authorities()->Assign(authorities.begin(), authorities.end());
  nested_api::ReportHeldResponse answer;
  const Status status =
      Call<nested_api::Nested::Stub>(&nested_api::Nested::Stub::ReportHeld, call, &answer);
  if (status || status.error().code != Code::kUnimplemented) return status;
  waits_for_us_ = false;
  return {};
}

}  // namespace

Result<std::unique_ptr<UpstreamPeer>> DialUpstreamPeer(const SignetUpstreamConfig& config,
                                                       const TrustDomain& trust_domain,
                                                       const Clock& clock, Random& random) {
  SIGNET_TRY(auto dialer, net::TlsDialer::Start(clock));
  return std::make_unique<DialedPeer>(config, trust_domain, std::move(dialer), clock, random);
}

}  // namespace signet::identity
