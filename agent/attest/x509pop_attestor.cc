#include "agent/attest/x509pop_attestor.h"

#include "agent/attest/denial.h"
#include "base/file.h"
#include "ca/crypto/pem_key.h"
#include "identity/proof/x509pop.h"

namespace signet::agent {
namespace {

constexpr std::size_t kMaxFileBytes = 256 * 1024;

tl::unexpected<Error> Unusable(const std::string& path, const Error& error) {
  return Fail(Code::kFailedPrecondition, kNoProof, path + ": " + error.Message());
}

Status ReadCertificates(const std::string& path, ca::Chain* chain) {
  const auto pem = ReadFile(path, kMaxFileBytes);
  if (!pem) return Unusable(path, pem.error());
  const auto read = ca::ParsePem(AsText(*pem), ca::kMaxChainLength);
  if (!read) return Unusable(path, read.error());
  chain->insert(chain->end(), read->begin(), read->end());
  return {};
}

class X509PopProof final : public NodeProof {
 public:
  X509PopProof(const ca::Chain& chain, ca::PrivateKey key, Random& random)
      : payload_(identity::WriteX509PopPayload(chain)), key_(std::move(key)), random_(random) {}
  std::string_view payload() const override { return payload_; }
  Result<std::string> Respond(std::string_view challenge) override {
    return identity::AnswerX509PopChallenge(key_, challenge, random_);
  }

 private:
  const std::string payload_;
  const ca::PrivateKey key_;
  Random& random_;
};

}  // namespace

Result<std::unique_ptr<NodeProof>> X509PopAttestor::Begin() {
  ca::Chain chain;
  SIGNET_RETURN_IF_ERROR(ReadCertificates(options_.certificate_path, &chain));
  if (!options_.intermediates_path.empty())
    SIGNET_RETURN_IF_ERROR(ReadCertificates(options_.intermediates_path, &chain));
  const auto pem = ReadSecretFile(options_.private_key_path, kMaxFileBytes);
  if (!pem) return Unusable(options_.private_key_path, pem.error());
  auto key = ca::ParsePemPrivateKey(*pem);
  if (!key) return Unusable(options_.private_key_path, key.error());
  if (chain.empty() || !(chain.front().public_key() == key->public_key()))
    return Fail(Code::kFailedPrecondition, kNoProof,
                options_.private_key_path + " is not the key of the first certificate in " +
                    options_.certificate_path);
  return std::make_unique<X509PopProof>(chain, *std::move(key), random_);
}

}  // namespace signet::agent
