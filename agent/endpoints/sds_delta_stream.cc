#include "agent/endpoints/sds_delta_stream.h"

#include <algorithm>
#include <iterator>

namespace signet::agent {
namespace {

constexpr std::size_t kNonceBytes = 4;
constexpr const char* kWildcard = "*";

// All that a subscription stands for: everything, what it names, or both.
SecretSelection SelectFor(const DeltaSubscription& subscription, const WorkloadView& view,
                          ValidationForm form, const SdsOptions& options) {
  SecretSelection selection;
  selection.kind = AnswerKind::kSend;
  if (subscription.is_wildcard()) selection = SelectSecrets(view, {}, form, options);
  if (subscription.names().empty()) return selection;
  SecretSelection named = SelectSecrets(view, subscription.names(), form, options);
  if (!subscription.is_wildcard() || named.kind == AnswerKind::kEnd) {
    selection.kind = named.kind;
    selection.status = named.status;
  }
  selection.unknown = std::move(named.unknown);
  std::move(named.secrets.begin(), named.secrets.end(), std::back_inserter(selection.secrets));
  selection.missing.insert(selection.missing.end(), named.missing.begin(), named.missing.end());
  return selection;
}

}  // namespace

bool DeltaSubscription::Take(const Request& request) {
  for (const std::string& name : request.resource_names_subscribe()) {
    if (name.empty()) continue;
    if (name == kWildcard) {
      wildcard_ = true;
    } else {
      names_.insert(name);
      held_.erase(name);  // subscribing again asks for it again
      told_removed_.erase(name);
    }
    owes_answer_ = true;
    if (names_.size() > kMaxSecretNames) return false;
  }
  if (!started_) {
    wildcard_ = wildcard_ || names_.empty();
    owes_answer_ = true;
    if (static_cast<std::size_t>(request.initial_resource_versions_size()) > kMaxSecretNames)
      return false;
    for (const auto& [name, version] : request.initial_resource_versions()) held_[name] = version;
    started_ = true;
  }
  for (const std::string& name : request.resource_names_unsubscribe()) {
    if (name == kWildcard) wildcard_ = false;
    names_.erase(name);
    held_.erase(name);
    told_removed_.erase(name);
  }
  return true;
}

std::optional<DeltaSubscription::Response> DeltaSubscription::Changes(
    const SecretSelection& selection) const {
  Response response;
  std::set<std::string> present;
  for (const NamedSecret& named : selection.secrets) {
    const std::string& name = named.secret.name();
    if (!present.insert(name).second) continue;  // one secret a name: the first, as elsewhere
    const auto held = held_.find(name);
    if (held != held_.end() && held->second == named.version) continue;
    auto* resource = response.add_resources();
    resource->set_name(name);
    resource->set_version(named.version);
    resource->mutable_resource()->PackFrom(named.secret);
  }
  // With an SVID still to come, nothing can be said of what is not there.
  std::set<std::string> gone;
  if (selection.missing.empty())
    for (const auto& [name, version] : held_)
      if (!present.contains(name)) gone.insert(name);
  for (const std::string& name : selection.unknown)
    if (names_.contains(name) && !told_removed_.contains(name)) gone.insert(name);
  for (const std::string& name : gone) response.add_removed_resources(name);
  if (response.resources().empty() && gone.empty() && !owes_answer_) return std::nullopt;
  return response;
}

void DeltaSubscription::NoteSent(const Response& response) {
  owes_answer_ = false;
  for (const auto& resource : response.resources()) {
    held_[resource.name()] = resource.version();
    told_removed_.erase(resource.name());
  }
  for (const std::string& name : response.removed_resources()) {
    held_.erase(name);
    if (names_.contains(name)) told_removed_.insert(name);
  }
}

DeltaSecretStream::DeltaSecretStream(const SdsContext& context, CallerGate::Admission admission)
    : SubscriptionStream(context.streams, std::move(admission),
                         WaitTimes{Duration::max(), Duration::max()}),
      context_(context) {}

grpc::Status DeltaSecretStream::Take(const Request& request) {
  if (!subscription_) subscription_.emplace();
  if (!subscription_->Take(request)) return {grpc::StatusCode::INVALID_ARGUMENT, "too many names"};
  if (!request.type_url().empty()) type_url_ = request.type_url();
  if (request.has_node()) node_ = request.node();
  if (request.has_error_detail()) LogNack(context_, *caller(), request.error_detail().message());
  return grpc::Status::OK;
}

Answer<DeltaSubscription::Response> DeltaSecretStream::Compose(const Snapshot& snapshot,
                                                               WallTime now) {
  Answer<Response> answer;
  answer.kind = AnswerKind::kSilent;
  if (!selectors() || !subscription_) return answer;
  const WorkloadView view = ViewFor(snapshot, *selectors(), now, EqualHints::kAll);
  SecretSelection selection =
      SelectFor(*subscription_, view, FormFor(node_, context_.options), context_.options);
  if (selection.kind == AnswerKind::kSend) {
    if (auto changes = subscription_->Changes(selection)) {
      answer.kind = AnswerKind::kSend;
      answer.response = *std::move(changes);
    }
  } else {
    answer.kind = selection.kind;
    answer.status = selection.status;
  }
  answer.missing = std::move(selection.missing);
  return answer;
}

void DeltaSecretStream::Stamp(Response* response) {
  subscription_->NoteSent(*response);
  std::array<std::uint8_t, kNonceBytes> random{};
  context_.random.Fill(random);
  response->set_nonce(EncodeHex(random));
  response->set_system_version_info(std::to_string(++version_));
  response->set_type_url(type_url_);
}

}  // namespace signet::agent
