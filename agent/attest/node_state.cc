#include "agent/attest/node_state.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/file.h"
#include "identity/svid/x509_svid.h"

namespace signet::agent {
namespace {

constexpr std::string_view kFormat = "signet-agent-node-2";
constexpr std::string_view kFormatBefore = "signet-agent-node-1";  // without what binds the cache

}  // namespace

NodeState::NodeState(SealedFile file, identity::TrustDomain trust_domain)
    : file_(std::move(file)), trust_domain_(std::move(trust_domain)) {}

Result<std::unique_ptr<NodeState>> NodeState::Open(SealedFile file,
                                                   identity::TrustDomain trust_domain) {
  RemoveLeftovers(file.path());
  std::unique_ptr<NodeState> state(new NodeState(std::move(file), std::move(trust_domain)));
  SIGNET_RETURN_IF_ERROR(state->Read());
  return state;
}

Status NodeState::Read() {
  SIGNET_TRY(const auto stored, file_.Load());
  if (!stored) return {};
  RecordReader record(stored->view());
  SIGNET_TRY(const ByteView format, record.Next());
  if (AsText(format) != kFormat && AsText(format) != kFormatBefore)
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
  if (AsText(format) == kFormat) SIGNET_RETURN_IF_ERROR(ReadBinding(&record));
  values_.identity = std::make_shared<const NodeIdentity>(
      NodeIdentity{id, std::move(chain), std::make_shared<const ca::PrivateKey>(std::move(key))});
  values_.bundle = std::make_shared<const identity::Bundle>(std::move(bundle.bundle));
  values_.used_token = ToString(used_token);
  return {};
}

Status NodeState::ReadBinding(RecordReader* record) {
  SIGNET_TRY(const ByteView svid_before, record->Next());
  SIGNET_TRY(const ByteView generation, record->Next());
  if (svid_before.size() != values_.svid_before.size() || generation.size() != 8)
    return Fail(Code::kDataLoss, kRecordMalformed, file_.path());
  std::ranges::copy(svid_before, values_.svid_before.begin());
  for (const std::uint8_t byte : generation)
    values_.cache_generation = (values_.cache_generation << 8) | byte;
  return {};
}

Status NodeState::Write(const Values& values) const {
  Bytes generation;
  for (int shift = 56; shift >= 0; shift -= 8)
    generation.push_back(static_cast<std::uint8_t>((values.cache_generation >> shift) & 0xff));
  RecordWriter record;
  record.Add(kFormat);
  record.Add(values.identity->key->ToPkcs8().view());
  record.Add(ca::ConcatenateDer(values.identity->chain));
  record.Add(identity::FormatSpiffeBundle(*values.bundle));
  record.Add(values.used_token);
  record.Add(values.svid_before);
  record.Add(generation);
  return file_.Save(record.Finish());
}

NodeState::Values NodeState::Get() const {
  const std::lock_guard lock(mutex_);
  return values_;
}

void NodeState::Put(Values values) {
  const std::lock_guard lock(mutex_);
  std::swap(values_, values);
}

std::shared_ptr<const NodeIdentity> NodeState::identity() const { return Get().identity; }

std::shared_ptr<const identity::Bundle> NodeState::bundle() const { return Get().bundle; }

std::string NodeState::used_token() const { return Get().used_token; }

NodeState::CacheBinding NodeState::cache_binding() const {
  const Values values = Get();
  CacheBinding binding;
  if (values.identity) binding.svid = values.identity->chain.front().fingerprint();
  binding.svid_before = values.svid_before;
  binding.generation = values.cache_generation;
  return binding;
}

Status NodeState::SetCacheGeneration(std::uint64_t generation) {
  const std::lock_guard writing(write_mutex_);
  Values next = Get();
  if (!next.identity || !next.bundle || generation <= next.cache_generation) return {};
  next.cache_generation = generation;
  SIGNET_RETURN_IF_ERROR(Write(next));
  next.unkept = false;
  Put(std::move(next));
  return {};
}

Status NodeState::CheckRoom() const {
  constexpr std::size_t kMoreThanAnIdentity = 64 * 1024;
  const std::string probe = file_.path() + ".probe";
  const Status written = WriteFileAtomically(probe, Bytes(kMoreThanAnIdentity), 0600);
  unlink(probe.c_str());
  return written;
}

void NodeState::Renew(Values* values, NodeIdentity identity) {
  if (values->identity) values->svid_before = values->identity->chain.front().fingerprint();
  values->identity = std::make_shared<const NodeIdentity>(std::move(identity));
}

Status NodeState::SetIdentity(NodeIdentity identity, identity::Bundle bundle,
                              std::string used_token) {
  const std::lock_guard writing(write_mutex_);
  Values next = Get();
  Renew(&next, std::move(identity));
  next.bundle = std::make_shared<const identity::Bundle>(std::move(bundle));
  next.used_token = std::move(used_token);
  SIGNET_RETURN_IF_ERROR(Write(next));
  next.unkept = false;
  Put(std::move(next));
  return {};
}

Status NodeState::RenewIdentity(NodeIdentity identity) {
  const std::lock_guard writing(write_mutex_);
  Values next = Get();
  if (!next.bundle) return Fail(Code::kFailedPrecondition, kRecordMalformed, "not attested");
  Renew(&next, std::move(identity));
  SIGNET_RETURN_IF_ERROR(Write(next));
  next.unkept = false;
  Put(std::move(next));
  return {};
}

void NodeState::UseUnkept(NodeIdentity identity) {
  const std::lock_guard writing(write_mutex_);
  Values next = Get();
  Renew(&next, std::move(identity));
  next.unkept = true;
  Put(std::move(next));
}

Status NodeState::Keep() {
  const std::lock_guard writing(write_mutex_);
  Values next = Get();
  if (!next.unkept || !next.identity || !next.bundle) return {};
  SIGNET_RETURN_IF_ERROR(Write(next));
  next.unkept = false;
  Put(std::move(next));
  return {};
}

Status NodeState::SetBundle(identity::Bundle bundle) {
  if (bundle.x509_authorities.empty())
    return Fail(Code::kInvalidArgument, kBundleEmpty, "the one held stays in use");
  const std::lock_guard writing(write_mutex_);
  Values next = Get();
  if (next.bundle && *next.bundle == bundle) return {};
  // What was verified counts at once; a disk that fails must not keep a revoked authority in use.
  next.bundle = std::make_shared<const identity::Bundle>(std::move(bundle));
  Put(next);
  if (!next.identity) return {};
  SIGNET_RETURN_IF_ERROR(Write(next));
  next.unkept = false;
  Put(std::move(next));
  return {};
}

Status NodeState::Erase() {
  const std::lock_guard writing(write_mutex_);
  Put({});
  return file_.Erase();
}

}  // namespace signet::agent
