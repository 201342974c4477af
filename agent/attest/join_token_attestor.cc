#include "agent/attest/join_token_attestor.h"

#include "agent/attest/denial.h"
#include "base/file.h"
#include "ca/crypto/digest.h"

namespace signet::agent {
namespace {

constexpr std::size_t kTokenLimit = 4096;

std::string TokenDigest(const SecretBytes& token) { return EncodeHex(ca::Sha256(token.view())); }

SecretBytes WithoutSpace(const SecretBytes& text) {
  constexpr std::string_view kSpace = " \t\r\n";
  std::string_view rest = AsText(text.view());
  while (!rest.empty() && kSpace.find(rest.front()) != rest.npos) rest.remove_prefix(1);
  while (!rest.empty() && kSpace.find(rest.back()) != rest.npos) rest.remove_suffix(1);
  return SecretBytes(AsBytes(rest));
}

class JoinTokenProof final : public NodeProof {
 public:
  explicit JoinTokenProof(SecretBytes token) : token_(std::move(token)) {}
  std::string_view payload() const override { return AsText(token_.view()); }
  Result<std::string> Respond(std::string_view) override {
    return Fail(Code::kFailedPrecondition, kAttestationRefused,
                "the server poses a challenge, which join tokens do not have");
  }
  std::string spent() const override { return TokenDigest(token_); }

 private:
  const SecretBytes token_;
};

}  // namespace

Result<SecretBytes> JoinTokenAttestor::ReadToken() const {
  SecretBytes token;
  if (options_.token) {
    token = options_.token->Clone();
  } else if (!options_.token_path.empty()) {
    auto content = ReadSecretFile(options_.token_path, kTokenLimit);
    if (!content && content.error().reason == kFilePermissionsLax) {
      log_.Warn("the join token file is readable by others", {{"file", options_.token_path}});
      SIGNET_TRY(const Bytes open, ReadFile(options_.token_path, kTokenLimit));
      content = SecretBytes(open);
    }
    if (!content) return Fail(Code::kFailedPrecondition, kNoProof, content.error().Message());
    token = WithoutSpace(*content);
  }
  if (token.empty())
    return Fail(
        Code::kFailedPrecondition, kNoProof,
        "make one with `signet token create` and give it by --join-token or join_token_file");
  if (TokenDigest(token) == state_.used_token())
    return Fail(
        Code::kFailedPrecondition, kNoProof,
        "the one given was used up by this agent; make a new one with `signet token create`");
  return token;
}

Result<std::unique_ptr<NodeProof>> JoinTokenAttestor::Begin() {
  SIGNET_TRY(SecretBytes token, ReadToken());
  return std::make_unique<JoinTokenProof>(std::move(token));
}

}  // namespace signet::agent
