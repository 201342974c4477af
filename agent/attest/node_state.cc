#include "agent/attest/node_state.h"

#include <unistd.h>

#include "base/file.h"
#include "identity/svid/x509_svid.h"

namespace signet::agent {
namespace {

constexpr std::string_view kFormat = "signet-agent-node-1";

}  // namespace

NodeState::NodeState(SealedFile file, identity::TrustDomain trust_domain)
    : file_(std::move(file)), trust_domain_(std::move(trust_domain)) {}

Result<std::unique_ptr<NodeState>> NodeState::Open(SealedFile file,
                                                   identity::TrustDomain trust_domain) {
  std::unique_ptr<NodeState> state(new NodeState(std::move(file), std::move(trust_domain)));
  SIGNET_RETURN_IF_ERROR(state->Read());
  return state;
}

Status NodeState::Read() {
  SIGNET_TRY(const auto stored, file_.Load());
  if (!stored) return {};
  RecordReader record(stored->view());
  SIGNET_TRY(const ByteView format, record.Next());
  if (AsText(format) != kFormat)
    return Fail(Code::kDataLoss, kRecordMalformed, file_.path() + " has an unknown format");
  SIGNET_TRY(const ByteView key_der, record.Next());
  SIGNET_TRY(const ByteView chain_der, record.Next());
  SIGNET_TRY(const ByteView bundle_json, record.Next());
  SIGNET_TRY(const ByteView used_token, record.Next());
  SIGNET_TRY(auto key, ca::PrivateKey::FromPkcs8(key_der));
  SIGNET_TRY(auto chain, ca::ParseConcatenatedDer(chain_der, ca::kMaxChainLength));
  if (chain.empty()) return Fail(Code::kDataLoss, kRecordMalformed, file_.path() + " has no SVID");
  SIGNET_TRY(const auto id, identity::ParseX509Svid(chain.front()));
  if (!id.IsMemberOf(trust_domain_))
    return Fail(Code::kFailedPrecondition, kStoredForeign,
                id.ToString() + "; use another data_dir, or remove " + file_.path());
  SIGNET_TRY(auto bundle, identity::ParseSpiffeBundle(trust_domain_, AsText(bundle_json)));
  identity_ = std::make_shared<const NodeIdentity>(
      NodeIdentity{id, std::move(chain), std::make_shared<const ca::PrivateKey>(std::move(key))});
  bundle_ = std::make_shared<const identity::Bundle>(std::move(bundle.bundle));
  used_token_ = ToString(used_token);
  return {};
}

Status NodeState::Write(const NodeIdentity& identity, const identity::Bundle& bundle,
                        const std::string& used_token) const {
  RecordWriter record;
  record.Add(kFormat);
  record.Add(identity.key->ToPkcs8().view());
  record.Add(ca::ConcatenateDer(identity.chain));
  record.Add(identity::FormatSpiffeBundle(bundle));
  record.Add(used_token);
  return file_.Save(record.Finish());
}

std::shared_ptr<const NodeIdentity> NodeState::identity() const {
  const std::lock_guard lock(mutex_);
  return identity_;
}

std::shared_ptr<const identity::Bundle> NodeState::bundle() const {
  const std::lock_guard lock(mutex_);
  return bundle_;
}

std::string NodeState::used_token() const {
  const std::lock_guard lock(mutex_);
  return used_token_;
}

Status NodeState::CheckRoom() const {
  constexpr std::size_t kMoreThanAnIdentity = 64 * 1024;
  const std::string probe = file_.path() + ".probe";
  const Status written = WriteFileAtomically(probe, Bytes(kMoreThanAnIdentity), 0600);
  unlink(probe.c_str());
  return written;
}

Status NodeState::SetIdentity(NodeIdentity identity, identity::Bundle bundle,
                              std::string used_token) {
  const std::lock_guard lock(mutex_);
  SIGNET_RETURN_IF_ERROR(Write(identity, bundle, used_token));
  identity_ = std::make_shared<const NodeIdentity>(std::move(identity));
  bundle_ = std::make_shared<const identity::Bundle>(std::move(bundle));
  used_token_ = std::move(used_token);
  unkept_ = false;
  return {};
}

Status NodeState::RenewIdentity(NodeIdentity identity) {
  const std::lock_guard lock(mutex_);
  if (!bundle_) return Fail(Code::kFailedPrecondition, kRecordMalformed, "not attested");
  SIGNET_RETURN_IF_ERROR(Write(identity, *bundle_, used_token_));
  identity_ = std::make_shared<const NodeIdentity>(std::move(identity));
  unkept_ = false;
  return {};
}

void NodeState::UseUnkept(NodeIdentity identity) {
  const std::lock_guard lock(mutex_);
  identity_ = std::make_shared<const NodeIdentity>(std::move(identity));
  unkept_ = true;
}

Status NodeState::Keep() {
  const std::lock_guard lock(mutex_);
  if (!unkept_ || !identity_ || !bundle_) return {};
  SIGNET_RETURN_IF_ERROR(Write(*identity_, *bundle_, used_token_));
  unkept_ = false;
  return {};
}

Status NodeState::SetBundle(identity::Bundle bundle) {
  const std::lock_guard lock(mutex_);
  if (bundle_ && *bundle_ == bundle) return {};
  // What was verified counts at once; a disk that fails must not keep a revoked authority in use.
  bundle_ = std::make_shared<const identity::Bundle>(std::move(bundle));
  return identity_ ? Write(*identity_, *bundle_, used_token_) : Status{};
}

Status NodeState::Erase() {
  const std::lock_guard lock(mutex_);
  identity_ = nullptr;
  bundle_ = nullptr;
  return file_.Erase();
}

}  // namespace signet::agent
