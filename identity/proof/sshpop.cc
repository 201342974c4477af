#include "identity/proof/sshpop.h"

#include "ca/crypto/digest.h"
#include "ca/ssh/certificate.h"
#include "ca/ssh/private_key.h"
#include "identity/proof/message.h"

namespace signet::identity {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxSignatureBytes = 2048;

Result<Nonce> ReadNonce(const json& message) {
  SIGNET_TRY(const Bytes bytes, ReadProofBytes(message, "Nonce", kNonceBytes));
  return ToNonce(bytes);
}

Result<ca::SshSignature> ReadSignature(const json& message) {
  const auto found = message.find("Signature");
  const auto format =
      found != message.end() && found->is_object() ? found->find("Format") : message.end();
  if (found == message.end() || !found->is_object() || format == found->end() ||
      !format->is_string())
    return Fail(Code::kInvalidArgument, kProofMalformed, "Signature is missing or has no Format");
  SIGNET_TRY(Bytes blob, ReadProofBytes(*found, "Blob", kMaxSignatureBytes));
  return ca::SshSignature{format->get<std::string>(), std::move(blob)};
}

}  // namespace

std::string WriteSshPopPayload(ByteView certificate) {
  return json{{"Certificate", EncodeBase64(certificate)}}.dump();
}

Result<Bytes> ParseSshPopPayload(std::string_view payload) {
  SIGNET_TRY(const json message, ParseProofMessage(payload));
  return ReadProofBytes(message, "Certificate", ca::kMaxSshCertificateBytes);
}

std::string WriteSshPopChallenge(const Nonce& nonce) {
  return json{{"Nonce", EncodeBase64(nonce)}}.dump();
}

Result<std::string> AnswerSshPopChallenge(const ca::PrivateKey& key, std::string_view challenge,
                                          Random& random) {
  SIGNET_TRY(const json message, ParseProofMessage(challenge));
  SIGNET_TRY(const Nonce theirs, ReadNonce(message));
  const Nonce ours = DrawNonce(random);
  SIGNET_TRY(const auto signature, ca::SignAsSsh(key, ca::Sha256(JoinNonces(theirs, ours))));
  return json{
      {"Nonce", EncodeBase64(ours)},
      {"Signature",
       {{"Format", signature.format}, {"Blob", EncodeBase64(signature.blob)}, {"Rest", nullptr}}}}
      .dump();
}

Status CheckSshPopResponse(const ca::SshPublicKey& key, const Nonce& nonce,
                           std::string_view response) {
  SIGNET_TRY(const json message, ParseProofMessage(response));
  SIGNET_TRY(const Nonce theirs, ReadNonce(message));
  SIGNET_TRY(const auto signature, ReadSignature(message));
  const auto signed_bytes = ca::Sha256(JoinNonces(nonce, theirs));
  if (key.Verify(signed_bytes, signature, ca::SshSha1::kAllowed)) return {};
  return Fail(Code::kPermissionDenied, kProofInvalid,
              "the response is not signed with the certificate's key over this challenge");
}

}  // namespace signet::identity
