#include "identity/proof/x509pop.h"

#include "ca/crypto/proof.h"
#include "ca/x509/der.h"
#include "ca/x509/der_writer.h"
#include "identity/proof/message.h"

namespace signet::identity {
namespace {

using nlohmann::json;

constexpr const char* kRsa = "rsa_signature";
constexpr const char* kEcdsa = "ecdsa_signature";
constexpr std::size_t kMaxRsaSignatureBytes = 2048;  // RSA-16384
constexpr std::size_t kMaxEcIntegerBytes = 66;       // P-521

tl::unexpected<Error> Malformed(std::string detail) {
  return Fail(Code::kInvalidArgument, kProofMalformed, std::move(detail));
}

// The member of challenges and responses that fits a key; null: none does.
const char* MemberFor(const ca::PublicKey& key) {
  switch (ca::FamilyOf(key)) {
    case ca::KeyFamily::kRsa:
      return kRsa;
    case ca::KeyFamily::kEc:
      return kEcdsa;
    case ca::KeyFamily::kEd25519:
    case ca::KeyFamily::kOther:
      return nullptr;
  }
  return nullptr;
}

Result<const char*> RequireMember(const ca::PublicKey& key) {
  if (const char* member = MemberFor(key)) return member;
  return Fail(Code::kInvalidArgument, kProofInvalid,
              "x509pop knows RSA and EC keys, and the certificate's is neither");
}

Result<json> Enter(const json& message, const char* member) {
  const auto found = message.find(member);
  if (found == message.end() || !found->is_object())
    return Malformed(std::string(member) +
                     " is missing: the other side takes the key for one of "
                     "another kind");
  return *found;
}

// ECDSA-Sig-Value (RFC 3279, 2.2.3).
Bytes EcdsaSignature(ByteView r, ByteView s) {
  ca::DerWriter writer(160);
  const std::size_t sequence = writer.Begin(ca::kDerSequence);
  writer.UnsignedInteger(r);
  writer.UnsignedInteger(s);
  writer.End(sequence);
  return writer.Take();
}

// Its two integers as magnitudes, big-endian, without leading zeros.
Result<std::pair<Bytes, Bytes>> SplitEcdsaSignature(ByteView der) {
  const auto sequence = ca::ReadSoleDer(der, ca::kDerSequence);
  ca::DerReader reader(sequence ? sequence->content : ByteView());
  const auto r = reader.Read(ca::kDerInteger);
  const auto s = reader.Read(ca::kDerInteger);
  if (!r || !s) return Fail(Code::kInternal, ca::kSigningFailed, "not an ECDSA signature");
  const auto magnitude = [](ByteView content) {
    while (content.size() > 1 && content[0] == 0) content = content.subspan(1);
    return ToBytes(content);
  };
  return std::pair(magnitude(r->content), magnitude(s->content));
}

}  // namespace

std::string WriteX509PopPayload(const ca::Chain& chain) {
  json certificates = json::array();
  for (const auto& certificate : chain) certificates.push_back(EncodeBase64(certificate.der()));
  return json{{"certificates", std::move(certificates)}}.dump();
}

Result<std::vector<Bytes>> ParseX509PopPayload(std::string_view payload,
                                               std::size_t max_certificates) {
  SIGNET_TRY(const json message, ParseProofMessage(payload));
  const auto list = message.find("certificates");
  if (list == message.end() || !list->is_array() || list->empty())
    return Malformed("no certificate to attest");
  if (list->size() > max_certificates)
    return Malformed("too many intermediate certificates: " + std::to_string(list->size() - 1) +
                     ", and " + std::to_string(max_certificates - 1) + " are allowed");
  std::vector<Bytes> certificates;
  for (const json& element : *list) {
    auto der = element.is_string() ? DecodeBase64(element.get_ref<const std::string&>())
                                   : std::optional<Bytes>();
    if (!der || der->size() > ca::kMaxCertificateBytes)
      return Malformed("a certificate is not base64, or larger than 64 KiB");
    certificates.push_back(*std::move(der));
  }
  return certificates;
}

Result<std::string> WriteX509PopChallenge(const ca::PublicKey& key, const Nonce& nonce) {
  SIGNET_TRY(const char* member, RequireMember(key));
  json challenge = {{kRsa, nullptr}, {kEcdsa, nullptr}};
  challenge[member] = {{"nonce", EncodeBase64(nonce)}};
  return challenge.dump();
}

Result<std::string> AnswerX509PopChallenge(const ca::PrivateKey& key, std::string_view challenge,
                                           Random& random) {
  SIGNET_TRY(const char* member, RequireMember(key.public_key()));
  SIGNET_TRY(const json message, ParseProofMessage(challenge));
  SIGNET_TRY(const json posed, Enter(message, member));
  SIGNET_TRY(const Bytes bytes, ReadProofBytes(posed, "nonce", kNonceBytes));
  SIGNET_TRY(const Nonce theirs, ToNonce(bytes));
  const Nonce ours = DrawNonce(random);
  const bool rsa = ca::FamilyOf(key.public_key()) == ca::KeyFamily::kRsa;
  SIGNET_TRY(const Bytes signature, key.Sign(rsa ? ca::SignatureAlgorithm::kRsaPssSha256
                                                 : ca::SignatureAlgorithm::kEcdsaSha256,
                                             JoinNonces(theirs, ours)));
  json answer = {{"nonce", EncodeBase64(ours)}};
  if (rsa) {
    answer["signature"] = EncodeBase64(signature);
  } else {
    SIGNET_TRY(const auto integers, SplitEcdsaSignature(signature));
    answer["r"] = EncodeBase64(integers.first);
    answer["s"] = EncodeBase64(integers.second);
  }
  json response = {{kRsa, nullptr}, {kEcdsa, nullptr}};
  response[member] = std::move(answer);
  return response.dump();
}

Status CheckX509PopResponse(const ca::PublicKey& key, const Nonce& nonce,
                            std::string_view response) {
  SIGNET_TRY(const char* member, RequireMember(key));
  SIGNET_TRY(const json message, ParseProofMessage(response));
  SIGNET_TRY(const json answer, Enter(message, member));
  SIGNET_TRY(const Bytes bytes, ReadProofBytes(answer, "nonce", kNonceBytes));
  SIGNET_TRY(const Nonce theirs, ToNonce(bytes));
  const Bytes signed_bytes = JoinNonces(nonce, theirs);
  Status verified;
  if (ca::FamilyOf(key) == ca::KeyFamily::kRsa) {
    SIGNET_TRY(const Bytes signature, ReadProofBytes(answer, "signature", kMaxRsaSignatureBytes));
    verified =
        ca::VerifyProof(key, ca::ProofAlgorithm::kRsaPssSha256AnySalt, signed_bytes, signature);
  } else {
    SIGNET_TRY(const Bytes r, ReadProofBytes(answer, "r", kMaxEcIntegerBytes));
    SIGNET_TRY(const Bytes s, ReadProofBytes(answer, "s", kMaxEcIntegerBytes));
    verified = key.Verify(ca::SignatureAlgorithm::kEcdsaSha256, signed_bytes, EcdsaSignature(r, s));
  }
  if (verified) return {};
  return Fail(Code::kPermissionDenied, kProofInvalid,
              "the response is not signed with the certificate's key over this challenge");
}

}  // namespace signet::identity
