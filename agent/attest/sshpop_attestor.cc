#include "agent/attest/sshpop_attestor.h"

#include "agent/attest/denial.h"
#include "base/file.h"
#include "ca/ssh/private_key.h"
#include "identity/proof/sshpop.h"

namespace signet::agent {
namespace {

constexpr std::size_t kMaxFileBytes = 64 * 1024;

tl::unexpected<Error> Unusable(const std::string& path, const Error& error) {
  return Fail(Code::kFailedPrecondition, kNoProof, path + ": " + error.Message());
}

class SshPopProof final : public NodeProof {
 public:
  SshPopProof(ByteView certificate, ca::PrivateKey key, Random& random)
      : payload_(identity::WriteSshPopPayload(certificate)),
        key_(std::move(key)),
        random_(random) {}
  std::string_view payload() const override { return payload_; }
  Result<std::string> Respond(std::string_view challenge) override {
    return identity::AnswerSshPopChallenge(key_, challenge, random_);
  }

 private:
  const std::string payload_;
  const ca::PrivateKey key_;
  Random& random_;
};

}  // namespace

Result<std::unique_ptr<NodeProof>> SshPopAttestor::Begin() {
  const auto line = ReadFile(options_.host_cert_path, kMaxFileBytes);
  if (!line) return Unusable(options_.host_cert_path, line.error());
  std::string type;
  const auto certificate = ca::ParseSshLine(AsText(*line), &type);
  if (!certificate) return Unusable(options_.host_cert_path, certificate.error());
  const auto text = ReadSecretFile(options_.host_key_path, kMaxFileBytes);
  if (!text) return Unusable(options_.host_key_path, text.error());
  auto key = ca::ParseSshPrivateKey(*text);
  if (!key) return Unusable(options_.host_key_path, key.error());
  return std::make_unique<SshPopProof>(*certificate, *std::move(key), random_);
}

}  // namespace signet::agent
