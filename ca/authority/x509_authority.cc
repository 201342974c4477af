#include "ca/authority/x509_authority.h"

#include <algorithm>
#include <utility>

#include "ca/x509/name.h"
#include "ca/x509/subject_key.h"
#include "ca/x509/tbs_writer.h"

namespace signet::ca {
namespace {

constexpr std::size_t kSerialOctets = 16;

// 127 random bits, positive, never zero (RFC 5280, 4.1.2.2), without leading zero octets.
Bytes NewSerial(Random& random) {
  Bytes serial(kSerialOctets);
  random.Fill(serial);
  serial.front() &= 0x7f;
  serial.erase(serial.begin(), std::find_if(serial.begin(), serial.end() - 1,
                                            [](std::uint8_t b) { return b != 0; }));
  if (serial.back() == 0 && serial.size() == 1) serial.back() = 1;
  return serial;
}

Status RefuseFindings(const Findings& findings) {
  if (findings.empty()) return {};
  std::string text;
  for (const Finding& finding : findings) {
    text += (text.empty() ? "" : "; ") + finding.rule + " " + finding.problem;
  }
  return Fail(Code::kInvalidArgument, kProfileRefused, std::move(text));
}

Status CheckMaySign(const Certificate& own, const Signer& signer) {
  if (!(own.public_key() == signer.public_key())) {
    return Fail(Code::kFailedPrecondition, kAuthorityKeyMismatch,
                "the certificate is over another key than the signer's");
  }
  if (!own.is_ca())
    return Fail(Code::kFailedPrecondition, kAuthorityMayNotSign,
                "basicConstraints: cA is not TRUE");
  if (!own.key_usage() || !own.key_usage()->key_cert_sign) {
    return Fail(Code::kFailedPrecondition, kAuthorityMayNotSign, "keyUsage has no keyCertSign");
  }
  if (own.subject_key_id().empty() || own.HasEmptySubject()) {
    return Fail(Code::kFailedPrecondition, kAuthorityMayNotSign,
                "no subject, or no subjectKeyIdentifier");
  }
  return {};
}

// pathLenConstraint of an authority directly below `chain` (leaf first): as asked, and less than
// every authority above still leaves. The one at place i has i authorities between it and the new
// one (RFC 5280, 4.2.1.9).
Result<std::optional<int>> PathLengthBelow(const Chain& chain, const DownstreamLimits& limits) {
  std::optional<int> allowed = limits.path_length;
  for (std::size_t i = 0; i < chain.size(); ++i) {
    if (!chain[i].path_length()) continue;
    const int left = *chain[i].path_length() - static_cast<int>(i) - 1;
    allowed = std::min(allowed.value_or(left), left);
  }
  if (!allowed || *allowed >= 0) return allowed;
  return Fail(Code::kFailedPrecondition, kAuthorityMayNotSign,
              "the path length of its certificate allows no authority below it");
}

}  // namespace

std::string IssuanceIntent::SerialDecimal() const {
  Bytes left = serial;
  std::string digits;
  do {  // long division by ten, from the last digit to the first
    unsigned rest = 0;
    for (std::uint8_t& byte : left) {
      const unsigned value = rest << 8 | byte;
      byte = static_cast<std::uint8_t>(value / 10);
      rest = value % 10;
    }
    digits.push_back(static_cast<char>('0' + rest));
  } while (std::ranges::any_of(left, [](std::uint8_t byte) { return byte != 0; }));
  return {digits.rbegin(), digits.rend()};
}

struct X509Authority::State {
  Chain chain;
  Chain upstream;
  std::shared_ptr<const Signer> signer;
  SignatureAlgorithm algorithm = SignatureAlgorithm::kEcdsaSha256;
  Bytes subject;
  Bytes key_id;
  std::string id;
  WallTime not_after;  // the earliest in the chain
};

Result<std::shared_ptr<const X509Authority>> X509Authority::Create(
    Chain chain, std::shared_ptr<const Signer> signer) {
  if (chain.empty() || signer == nullptr) {
    return Fail(Code::kInvalidArgument, kAuthorityMayNotSign, "no certificate or no signer");
  }
  SIGNET_RETURN_IF_ERROR(CheckMaySign(chain.front(), *signer));
  SIGNET_TRY(const KeyType type, signer->public_key().Type());
  auto state = std::make_shared<State>();
  state->algorithm = CertificateAlgorithm(type);
  state->subject = ToBytes(chain.front().subject());
  state->key_id = chain.front().subject_key_id();
  state->id = EncodeHex(state->key_id);
  state->not_after = chain.front().not_after();
  for (const Certificate& certificate : chain) {
    state->not_after = std::min(state->not_after, certificate.not_after());
    if (!certificate.IsSelfSigned()) state->upstream.push_back(certificate);
  }
  state->chain = std::move(chain);
  state->signer = std::move(signer);
  auto authority = std::make_shared<X509Authority>();
  authority->state_ = std::move(state);
  return authority;
}

Result<std::shared_ptr<const X509Authority>> X509Authority::CreateRoot(
    const RootProfile& profile, std::shared_ptr<const Signer> signer, Random& random,
    const RecordIntent& record) {
  SIGNET_TRY(const KeyType type, signer->public_key().Type());
  const SignatureAlgorithm algorithm = CertificateAlgorithm(type);
  const Bytes serial = NewSerial(random);
  SIGNET_TRY(const Bytes subject, RootSubject(profile, serial));
  const Bytes tbs = WriteRootTbs({.serial = serial,
                                  .algorithm = algorithm,
                                  .issuer = subject,
                                  .not_before = profile.not_before,
                                  .not_after = profile.not_after,
                                  .subject = subject,
                                  .subject_key = signer->public_key(),
                                  .uri_san = profile.uri_san,
                                  .dns_sans = {},
                                  .authority_key_id = {}});
  SIGNET_RETURN_IF_ERROR(RefuseFindings(
      LintTbs(tbs, Purpose::kRoot, profile.uri_san, subject, {}, profile.not_after)));
  SIGNET_RETURN_IF_ERROR(record({.serial = serial,
                                 .uri_san = profile.uri_san,
                                 .purpose = Purpose::kRoot,
                                 .not_before = profile.not_before,
                                 .not_after = profile.not_after,
                                 .authority_key_id = signer->public_key().SubjectKeyId()}));
  SIGNET_TRY(const Bytes signature, signer->Sign(algorithm, tbs));
  SIGNET_TRY(Certificate root, Certificate::Parse(WriteCertificate(tbs, algorithm, signature)));
  return Create({std::move(root)}, std::move(signer));
}

Status X509Authority::CheckAlive(WallTime now) const {
  if (now < state_->not_after) return {};
  return Fail(Code::kUnavailable, kAuthorityExpired,
              "authority " + state_->id + " ended " + FormatTime(state_->not_after));
}

Result<PreparedCertificate> X509Authority::PrepareDownstream(const PublicKey& subject_key,
                                                             const DownstreamProfile& profile,
                                                             Random& random, WallTime now) const {
  const State& state = *state_;
  SIGNET_RETURN_IF_ERROR(CheckAlive(now));
  SIGNET_RETURN_IF_ERROR(CheckSubjectKey(subject_key, {}));
  DownstreamProfile effective = profile;
  SIGNET_TRY(effective.limits.path_length, PathLengthBelow(state.chain, profile.limits));
  effective.not_after = std::min(profile.not_after, state.not_after);
  PreparedCertificate prepared;
  prepared.intent = {.serial = NewSerial(random),
                     .uri_san = profile.uri_san,
                     .purpose = Purpose::kDownstreamCa,
                     .not_before = profile.not_before,
                     .not_after = effective.not_after,
                     .authority_key_id = state.key_id};
  const std::size_t depth = std::max<std::size_t>(1, state.upstream.size());
  SIGNET_TRY(prepared.subject, DownstreamSubject(state.subject, depth, prepared.intent.serial));
  prepared.tbs = WriteDownstreamTbs({.serial = prepared.intent.serial,
                                     .algorithm = state.algorithm,
                                     .issuer = state.subject,
                                     .not_before = profile.not_before,
                                     .not_after = effective.not_after,
                                     .subject = prepared.subject,
                                     .subject_key = subject_key,
                                     .uri_san = profile.uri_san,
                                     .dns_sans = {},
                                     .authority_key_id = state.key_id},
                                    effective.limits);
  prepared.subject_key = subject_key;
  SIGNET_RETURN_IF_ERROR(RefuseFindings(
      LintDownstreamTbs(prepared.tbs, effective, {state.subject, state.key_id, state.not_after})));
  return prepared;
}

Result<PreparedCertificate> X509Authority::Prepare(const PublicKey& subject_key,
                                                   const LeafProfile& profile, Random& random,
                                                   WallTime now) const {
  const State& state = *state_;
  SIGNET_RETURN_IF_ERROR(CheckAlive(now));
  if (profile.purpose == Purpose::kRoot || profile.purpose == Purpose::kDownstreamCa) {
    return Fail(Code::kInvalidArgument, kProfileRefused, "not a leaf's purpose");
  }
  SIGNET_RETURN_IF_ERROR(CheckSubjectKey(subject_key, {}));
  SIGNET_TRY(const Bytes subject, LeafSubject(profile));
  const WallTime not_after = std::min(profile.not_after, state.not_after);
  PreparedCertificate prepared;
  prepared.intent = {.serial = NewSerial(random),
                     .uri_san = profile.uri_san,
                     .purpose = profile.purpose,
                     .not_before = profile.not_before,
                     .not_after = not_after,
                     .authority_key_id = state.key_id};
  prepared.tbs = WriteLeafTbs({.serial = prepared.intent.serial,
                               .algorithm = state.algorithm,
                               .issuer = state.subject,
                               .not_before = profile.not_before,
                               .not_after = not_after,
                               .subject = subject,
                               .subject_key = subject_key,
                               .uri_san = profile.uri_san,
                               .dns_sans = profile.dns_sans,
                               .authority_key_id = state.key_id});
  prepared.subject_key = subject_key;
  prepared.subject = subject;
  prepared.dns_sans = profile.dns_sans;
  prepared.own_subject = profile.subject.empty();
  SIGNET_RETURN_IF_ERROR(RefuseFindings(LintTbs(prepared.tbs, profile.purpose, profile.uri_san,
                                                state.subject, state.key_id, state.not_after)));
  return prepared;
}

Result<Certificate> X509Authority::Sign(const PreparedCertificate& prepared) const {
  if (!Equal(prepared.intent.authority_key_id, state_->key_id)) {
    return Fail(Code::kInternal, kAuthorityKeyMismatch,
                "another authority prepared this certificate");
  }
  SIGNET_TRY(const Bytes signature, state_->signer->Sign(state_->algorithm, prepared.tbs));
  const Bytes der = WriteCertificate(prepared.tbs, state_->algorithm, signature);
  // A subject from outside went through the lint alone; OpenSSL reads it too before it goes out.
  if (!prepared.own_subject) return Certificate::Parse(der);
  const PublicKey& key = prepared.subject_key;
  const bool rsa = key.HasType(KeyType::kRsa2048) || key.HasType(KeyType::kRsa4096);
  return Certificate::FromIssuedLeaf(
      der, {.serial = prepared.intent.serial,
            .subject = prepared.subject,
            .issuer = state_->subject,
            .not_before = prepared.intent.not_before,
            .not_after = prepared.intent.not_after,
            .public_key = key,
            .uri_san = prepared.intent.uri_san,
            .dns_sans = prepared.dns_sans,
            .key_usage_bits = static_cast<std::uint16_t>(rsa ? 0b101 : 0b001),
            .authority_key_id = state_->key_id});
}

const Certificate& X509Authority::certificate() const { return state_->chain.front(); }
const Chain& X509Authority::upstream_chain() const { return state_->upstream; }
const std::string& X509Authority::id() const { return state_->id; }

}  // namespace signet::ca
