#include "ca/x509/path.h"

#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <utility>

#include "ca/crypto/handle.h"
#include "ca/x509/name_constraints.h"

namespace signet::ca {
namespace {

using PolicyTreeHandle = Handle<X509_POLICY_TREE, X509_policy_tree_free>;

// The work one call may do, whatever the input. A path of the full depth takes 9 signature checks;
// the slowest key allowed (P-384) takes 0.8 ms for one.
constexpr int kMaxSignatureChecks = 10;
constexpr int kMaxCompletePaths = 8;

constexpr int kMinSecurityBits = 112;  // NIST SP 800-131A
constexpr int kMaxRsaBits = 8192;
constexpr int kMaxRsaExponentBits = 33;

tl::unexpected<Error> Refuse(Reason reason, std::string detail) {
  ERR_clear_error();
  return Fail(Code::kUnauthenticated, reason, std::move(detail));
}

std::string Describe(const Certificate& certificate) {
  return fmt::format("\"{}\" (serial {})", certificate.SubjectText().substr(0, 256),
                     certificate.SerialHex());
}

bool IsAllowedRsaKey(const EVP_PKEY* key) {
  BIGNUM* exponent = nullptr;
  if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent) != 1) return false;
  const BignumHandle owned(exponent);
  return EVP_PKEY_get_security_bits(key) >= kMinSecurityBits &&
         EVP_PKEY_get_bits(key) <= kMaxRsaBits && BN_num_bits(exponent) <= kMaxRsaExponentBits;
}

// RFC 5480, 2.1.1: a curve is named, not spelt out, though OpenSSL recognises the NIST ones spelt
// out.
bool IsAllowedEcKey(const EVP_PKEY* key) {
  std::array<char, 64> group{};
  int spelt_out = 0;
  if (EVP_PKEY_get_group_name(key, group.data(), group.size(), nullptr) != 1 ||
      EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &spelt_out) !=
          1 ||
      spelt_out != 0)
    return false;
  const std::string_view name(group.data());
  return name == SN_X9_62_prime256v1 || name == SN_secp384r1 || name == SN_secp521r1;
}

// Keys strong enough to trust and cheap enough to check: NIST curves by name, RSA from 2048 to 8192
// bits, Ed25519 and Ed448. Unnamed curves and vast exponents are how a peer would burn our time.
bool IsAllowedKey(const EVP_PKEY* key) {
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS:
      return IsAllowedRsaKey(key);
    case EVP_PKEY_EC:
      return IsAllowedEcKey(key);
    case EVP_PKEY_ED25519:
    case EVP_PKEY_ED448:
      return true;
    default:
      return false;
  }
}

Status CheckKey(const Certificate& certificate) {
  if (IsAllowedKey(certificate.public_key().handle())) return {};
  return Refuse(kPathInvalid, "key too weak or of an unusual type in " + Describe(certificate));
}

// SHA-1 and older are no proof of anything.
bool IsSignatureStrong(const Certificate& certificate) {
  int security_bits = 0;
  return X509_get_signature_info(certificate.handle(), nullptr, nullptr, &security_bits, nullptr) ==
             1 &&
         security_bits >= kMinSecurityBits;
}

// RFC 5280, 4.2: a critical extension that is not processed refuses the certificate. These are.
bool IsProcessedExtension(int nid) {
  switch (nid) {
    case NID_basic_constraints:
    case NID_key_usage:
    case NID_ext_key_usage:
    case NID_subject_alt_name:
    case NID_name_constraints:
    case NID_certificate_policies:
    case NID_policy_constraints:
    case NID_policy_mappings:
    case NID_inhibit_any_policy:
      return true;
    default:
      return false;
  }
}

Status CheckCriticalExtensions(const Certificate& certificate) {
  const X509* x509 = certificate.handle();
  for (int i = 0; i < X509_get_ext_count(x509); ++i) {
    X509_EXTENSION* extension = X509_get_ext(x509, i);
    if (X509_EXTENSION_get_critical(extension) == 0) continue;
    if (!IsProcessedExtension(OBJ_obj2nid(X509_EXTENSION_get_object(extension))))
      return Refuse(kPathInvalid, "unknown critical extension in " + Describe(certificate));
  }
  return {};
}

// RFC 5280, 6.1.3 (a)(2): both ends belong to the validity period, all of their second (4.1.2.5 has
// no fractions).
Status CheckValidity(const Certificate& certificate, WallTime time) {
  const WallTime now = std::chrono::floor<std::chrono::seconds>(time);
  if (now < certificate.not_before())
    return Refuse(kCertificateNotYetValid,
                  fmt::format("{} starts {}, now is {}", Describe(certificate),
                              FormatTime(certificate.not_before()), FormatTime(now)));
  if (now > certificate.not_after())
    return Refuse(kCertificateExpired,
                  fmt::format("{} ended {}, now is {}", Describe(certificate),
                              FormatTime(certificate.not_after()), FormatTime(now)));
  return {};
}

// What every certificate of a path must be, its anchor too.
Status CheckCertificate(const Certificate& certificate, WallTime now) {
  SIGNET_RETURN_IF_ERROR(CheckValidity(certificate, now));
  SIGNET_RETURN_IF_ERROR(CheckCriticalExtensions(certificate));
  if (!certificate.is_ca() &&
      X509_get_ext_by_NID(certificate.handle(), NID_name_constraints, -1) >= 0)
    return Refuse(kPathInvalid,
                  "name constraints in one that is no authority (RFC 5280, 4.2.1.10): " +
                      Describe(certificate));
  return CheckKey(certificate);
}

// What a certificate below the anchor must be as well: an anchor's own signature and serial number
// prove nothing and are not looked at.
Status CheckBelowAnchor(const Certificate& certificate) {
  if (!IsSignatureStrong(certificate))
    return Refuse(kPathInvalid, "signed with a broken digest: " + Describe(certificate));
  if (certificate.serial().empty())
    return Refuse(kPathInvalid, "serial number zero (RFC 5280, 4.1.2.2): " + Describe(certificate));
  if (certificate.HasEmptySubject() && !certificate.subject_alt_name_critical())
    return Refuse(kPathInvalid,
                  "neither a subject nor a critical subjectAltName (RFC 5280, "
                  "4.1.2.6): serial " +
                      certificate.SerialHex());
  return {};
}

// RFC 5280, 6.1.4 (k) and (n); an empty name names no issuer (4.1.2.6).
bool MayIssue(const Certificate& certificate) {
  return certificate.is_ca() && !certificate.HasEmptySubject() &&
         (!certificate.key_usage() || certificate.key_usage()->key_cert_sign);
}

// Names compare as RFC 5280, 7.1 has it: folded, not byte by byte.
bool IsNamedAsIssuer(const Certificate& issuer, const Certificate& child) {
  return X509_NAME_cmp(X509_get_subject_name(issuer.handle()),
                       X509_get_issuer_name(child.handle())) == 0;
}

bool KeyIdsMatch(const Certificate& issuer, const Certificate& child) {
  return !child.authority_key_id().empty() && child.authority_key_id() == issuer.subject_key_id();
}

using Path = std::vector<const Certificate*>;  // leaf first

// RFC 5280, 6.1.2 (d) and (e): any policy will do, unless a certificate of the path asks for an
// explicit one. OpenSSL bounds the tree (1000 nodes).
Status CheckPolicies(const Path& path) {
  const bool asks = std::any_of(path.begin(), path.end() - 1, [](const Certificate* certificate) {
    return X509_get_ext_by_NID(certificate->handle(), NID_policy_constraints, -1) >= 0;
  });
  if (!asks) return {};
  STACK_OF(X509)* certificates = sk_X509_new_null();
  for (const Certificate* certificate : path) sk_X509_push(certificates, certificate->handle());
  STACK_OF(ASN1_OBJECT)* any_policy = sk_ASN1_OBJECT_new_null();
  sk_ASN1_OBJECT_push(any_policy, OBJ_nid2obj(NID_any_policy));
  X509_POLICY_TREE* tree = nullptr;
  int explicit_policy = 0;
  const int verdict = X509_policy_check(&tree, &explicit_policy, certificates, any_policy, 0);
  const PolicyTreeHandle owned(tree);
  sk_ASN1_OBJECT_free(any_policy);
  sk_X509_free(certificates);  // the certificates stay their owners'
  if (verdict != X509_PCY_TREE_VALID)
    return Refuse(kPathInvalid, "certificate policies of " + Describe(*path.front()));
  return {};
}

// Depth-first from the leaf up, anchors before presented certificates, key identifiers before names
// alone; a path is judged when it reaches an anchor.
class PathBuilder {
 public:
  PathBuilder(std::span<const Certificate> presented, std::span<const Certificate> anchors,
              WallTime now, const PathPolicy& policy)
      : presented_(presented), anchors_(anchors), now_(now), policy_(policy) {}

  Result<Chain> Build() {
    const Certificate& leaf = presented_.front();
    SIGNET_RETURN_IF_ERROR(CheckCertificate(leaf, now_));
    SIGNET_RETURN_IF_ERROR(CheckBelowAnchor(leaf));
    path_.push_back(&leaf);
    if (!Extend()) {
      if (fault_) return Fail(std::move(*fault_));
      return Refuse(kPathUntrusted, Describe(leaf) + " leads to no authority of the bundle");
    }
    Chain chain;
    for (const Certificate* certificate : path_) chain.push_back(*certificate);
    return chain;
  }

 private:
  bool Extend() { return ExtendFrom(anchors_, true) || ExtendFrom(presented_, false); }

  bool ExtendFrom(std::span<const Certificate> candidates, bool are_anchors) {
    const Certificate& child = *path_.back();
    for (const bool want_key_ids : {true, false})
      for (const Certificate& candidate : candidates)
        if (KeyIdsMatch(candidate, child) == want_key_ids && Try(candidate, child, are_anchors))
          return true;
    return false;
  }

  bool Try(const Certificate& candidate, const Certificate& child, bool is_anchor) {
    if (!IsNamedAsIssuer(candidate, child) || IsOnPath(candidate)) return false;
    if (!MayIssue(candidate))
      return Note(Refuse(kPathInvalid, "not a certificate authority: " + Describe(candidate)));
    if (!is_anchor && IntermediateCount() + (candidate.self_issued() ? 0 : 1) > policy_.max_depth)
      return Note(Refuse(kChainTooLong, fmt::format("more than {} certificates between leaf and "
                                                    "authority",
                                                    policy_.max_depth)));
    if (Status key = CheckKey(candidate); !key) return Note(std::move(key));
    if (!IsSignedBy(child, candidate)) return false;
    if (Status fit = CheckAuthority(candidate, is_anchor); !fit) return Note(std::move(fit));
    path_.push_back(&candidate);
    if (is_anchor ? IsWholePathGood() : Extend()) return true;
    path_.pop_back();
    return false;
  }

  bool IsOnPath(const Certificate& candidate) const {
    return std::ranges::any_of(path_, [&](const Certificate* used) { return *used == candidate; });
  }

  // Authorities of the path so far; self-issued ones do not count (6.1.4 (l)).
  std::size_t IntermediateCount() const {
    return static_cast<std::size_t>(
        std::count_if(path_.begin() + 1, path_.end(),
                      [](const Certificate* authority) { return !authority->self_issued(); }));
  }

  // RFC 5280, 6.1.4 (k) to (n), for a certificate about to be put above the path so far.
  Status CheckAuthority(const Certificate& candidate, bool is_anchor) const {
    SIGNET_RETURN_IF_ERROR(CheckCertificate(candidate, now_));
    if (!is_anchor) SIGNET_RETURN_IF_ERROR(CheckBelowAnchor(candidate));
    if (candidate.path_length() && std::cmp_greater(IntermediateCount(), *candidate.path_length()))
      return Refuse(kPathInvalid, "path length constraint of " + Describe(candidate));
    return {};
  }

  bool IsSignedBy(const Certificate& child, const Certificate& issuer) {
    if (signature_checks_ == kMaxSignatureChecks)
      return Note(Refuse(kPathUntrusted, "too many candidates to check"));
    ++signature_checks_;
    // Also false when the algorithms inside and outside the signed part differ (4.1.1.2).
    const bool verified = X509_verify(child.handle(), issuer.public_key().handle()) == 1;
    ERR_clear_error();
    return verified;
  }

  bool IsWholePathGood() {
    if (++complete_paths_ > kMaxCompletePaths) return false;
    for (std::size_t size = 2; size <= path_.size(); ++size)
      if (Status names = CheckNameConstraints(std::span(path_).first(size), &name_budget_); !names)
        return Note(std::move(names));
    if (Status policies = CheckPolicies(path_); !policies) return Note(std::move(policies));
    return true;
  }

  // Keeps the first fault, which says more than "untrusted". Always false.
  bool Note(Status fault) {
    if (!fault_) fault_ = std::move(fault).error();
    return false;
  }

  const std::span<const Certificate> presented_;
  const std::span<const Certificate> anchors_;
  const WallTime now_;
  const PathPolicy& policy_;
  Path path_;
  int signature_checks_ = 0;
  int complete_paths_ = 0;
  NameComparisonBudget name_budget_;
  std::optional<Error> fault_;
};

}  // namespace

Result<Chain> BuildPath(std::span<const Certificate> presented,
                        std::span<const Certificate> anchors, WallTime now,
                        const PathPolicy& policy) {
  if (presented.empty()) return Refuse(kPathInvalid, "no certificate was presented");
  if (presented.size() > kMaxChainLength)
    return Refuse(kChainTooLong, fmt::format("{} certificates presented, at most {} are read",
                                             presented.size(), kMaxChainLength));
  if (anchors.empty()) return Refuse(kNoTrustAnchor, "the bundle is empty: nothing is trusted");
  return PathBuilder(presented, anchors, now, policy).Build();
}

}  // namespace signet::ca
