#include "identity/proof/message.h"

#include <algorithm>

#include "ca/jose/strict_json.h"
#include "identity/proof/nonce.h"

namespace signet::identity {

Nonce DrawNonce(Random& random) {
  Nonce nonce{};
  random.Fill(nonce);
  return nonce;
}

Result<Nonce> ToNonce(ByteView bytes) {
  Nonce nonce{};
  if (bytes.size() != nonce.size())
    return Fail(Code::kInvalidArgument, kProofMalformed,
                "a nonce has 32 bytes, this one " + std::to_string(bytes.size()));
  std::copy(bytes.begin(), bytes.end(), nonce.begin());
  return nonce;
}

Bytes JoinNonces(const Nonce& server, const Nonce& node) {
  Bytes joined(server.begin(), server.end());
  joined.insert(joined.end(), node.begin(), node.end());
  return joined;
}

Result<nlohmann::json> ParseProofMessage(std::string_view text) {
  auto parsed = ca::ParseStrictJson(text, kMaxProofBytes);
  if (!parsed) return Fail(Code::kInvalidArgument, kProofMalformed, parsed.error().Message());
  if (!parsed->is_object())
    return Fail(Code::kInvalidArgument, kProofMalformed, "not a JSON object");
  return parsed;
}

Result<Bytes> ReadProofBytes(const nlohmann::json& object, const char* name, std::size_t max) {
  const auto member = object.find(name);
  if (member == object.end() || !member->is_string())
    return Fail(Code::kInvalidArgument, kProofMalformed,
                std::string(name) + " is missing or not a string");
  auto bytes = DecodeBase64(member->get_ref<const std::string&>());
  if (!bytes || bytes->empty() || bytes->size() > max)
    return Fail(Code::kInvalidArgument, kProofMalformed,
                std::string(name) + " is not base64 of 1 to " + std::to_string(max) + " bytes");
  return *std::move(bytes);
}

}  // namespace signet::identity
