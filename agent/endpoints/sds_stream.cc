#include "agent/endpoints/sds_stream.h"

namespace signet::agent {
namespace {

namespace discovery = envoy::service::discovery::v3;

constexpr std::size_t kNonceBytes = 4;

// The answer to `names`; unknown ones end the call.
Answer<discovery::DiscoveryResponse> Answered(const WorkloadView& view,
                                              const std::set<std::string>& names,
                                              ValidationForm form, const SdsOptions& options) {
  Answer<discovery::DiscoveryResponse> answer;
  SecretSelection selection = SelectSecrets(view, names, form, options);
  answer.kind = selection.kind;
  answer.status = selection.status;
  answer.missing = std::move(selection.missing);
  if (!selection.unknown.empty() && answer.kind != AnswerKind::kNotReady) {
    answer.kind = AnswerKind::kEnd;
    answer.status = NotAuthorized(selection.unknown);
  }
  if (answer.kind != AnswerKind::kSend) return answer;
  ca::Sha256Hasher hasher;
  for (const std::string& name : names) hasher.Update(AsBytes(name + "\n"));
  // Who the caller is belongs to every answer, as in SPIRE: an identity gained or lost is told on
  // each of its streams.
  for (const Grant& grant : view.grants) hasher.Update(AsBytes(grant.entry->id + "\n"));
  for (const NamedSecret& named : selection.secrets) {
    answer.response.add_resources()->PackFrom(named.secret);
    hasher.Update(AsBytes(named.secret.name() + "\n" + named.version));
  }
  answer.fingerprint = hasher.Finish();
  return answer;
}

}  // namespace

void LogNack(const SdsContext& context, const Caller& caller, const std::string& text) {
  if (const auto left_out = context.nack_lines.Admit())
    context.log.Warn("a proxy did not take its secrets", {{"pid", caller.credentials.pid},
                                                          {"uid", caller.credentials.uid},
                                                          {"why", EscapeForLog(text, 512)},
                                                          {"not_listed_before", *left_out}});
}

std::optional<std::set<std::string>> ReadNames(
    const google::protobuf::RepeatedPtrField<std::string>& names) {
  std::set<std::string> read;
  for (const std::string& name : names) {
    if (!name.empty()) read.insert(name);
    if (read.size() > kMaxSecretNames) return std::nullopt;
  }
  return read;
}

Answer<discovery::DiscoveryResponse> AnswerSecrets(const WorkloadView& view,
                                                   const discovery::DiscoveryRequest& request,
                                                   const SdsOptions& options) {
  const auto names = ReadNames(request.resource_names());
  if (!names) {
    Answer<discovery::DiscoveryResponse> answer;
    answer.status = {grpc::StatusCode::INVALID_ARGUMENT, "too many names"};
    return answer;
  }
  auto answer = Answered(view, *names, FormFor(request.node(), options), options);
  answer.response.set_type_url(request.type_url());
  return answer;
}

SecretStream::SecretStream(const SdsContext& context, CallerGate::Admission admission)
    // A proxy waits for its secrets as long as its operator told it to.
    : SubscriptionStream(context.streams, std::move(admission),
                         WaitTimes{Duration::max(), Duration::max()}),
      context_(context) {}

grpc::Status SecretStream::Take(const Request& request) {
  auto names = ReadNames(request.resource_names());
  if (!names) return {grpc::StatusCode::INVALID_ARGUMENT, "too many names"};
  if (!nonce_.empty() && request.response_nonce() != nonce_) return grpc::Status::OK;  // stale
  asked_anew_ = asked_anew_ || names_ != names || request.has_node();
  names_ = std::move(names);
  type_url_ = request.type_url();
  if (request.has_node()) node_ = request.node();
  if (request.has_error_detail()) LogNack(context_, *caller(), request.error_detail().message());
  return grpc::Status::OK;
}

Answer<discovery::DiscoveryResponse> SecretStream::Compose(const Snapshot& snapshot, WallTime now) {
  if (!selectors() || !names_) {
    Answer<Response> answer;
    answer.kind = AnswerKind::kSilent;
    return answer;
  }
  const WorkloadView view = ViewFor(snapshot, *selectors(), now, EqualHints::kAll);
  const auto digest = DigestOfView(view);
  if (!asked_anew_ && digest && digest == seen_) {  // most changes are of others
    Answer<Response> answer;
    answer.kind = AnswerKind::kSilent;
    return answer;
  }
  auto answer = Answered(view, *names_, FormFor(node_, context_.options), context_.options);
  if (answer.kind != AnswerKind::kSend) return answer;
  next_view_ = digest;
  if (answer.missing.empty()) {
    seen_ = digest;
    asked_anew_ = false;
  }
  return answer;
}

void SecretStream::Stamp(Response* response) {
  if (view_ != next_view_) ++version_;
  view_ = next_view_;
  std::array<std::uint8_t, kNonceBytes> random{};
  context_.random.Fill(random);
  nonce_ = EncodeHex(random);
  response->set_nonce(nonce_);
  response->set_version_info(std::to_string(version_));
  response->set_type_url(type_url_);
}

}  // namespace signet::agent
