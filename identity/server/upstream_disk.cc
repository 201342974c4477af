#include "identity/server/upstream_disk.h"

#include <algorithm>

#include "base/file.h"
#include "ca/crypto/pem_key.h"
#include "ca/x509/path.h"

namespace signet::identity {
namespace {

constexpr std::size_t kMaxFileBytes = 256 * 1024;
constexpr std::size_t kMaxRoots = 64;

tl::unexpected<Error> Unusable(const std::string& path, const std::string& why) {
  return Fail(Code::kFailedPrecondition, kUpstreamUnusable, path + ": " + why);
}

Result<std::vector<ca::Certificate>> ReadCertificates(const std::string& path, std::size_t limit) {
  const auto pem = ReadFile(path, kMaxFileBytes);
  if (!pem) return Unusable(path, pem.error().Message());
  auto certificates = ca::ParsePem(AsText(*pem), limit);
  if (!certificates) return Unusable(path, certificates.error().Message());
  if (certificates->empty()) return Unusable(path, "there is no certificate in it");
  return certificates;
}

}  // namespace

DiskUpstream::DiskUpstream(const DiskUpstreamConfig& config, std::unique_ptr<ca::KeyStore> token,
                           const Clock& clock, Random& random)
    : config_(config), token_(std::move(token)), clock_(clock), random_(random) {}

Result<std::unique_ptr<DiskUpstream>> DiskUpstream::Open(const DiskUpstreamConfig& config,
                                                         const Clock& clock, Random& random,
                                                         const Logger& log) {
  std::unique_ptr<ca::KeyStore> token;
  if (config.key_file.empty()) {
    SIGNET_TRY(token, ca::Pkcs11KeyStore::Create(config.token));
  }
  std::unique_ptr<DiskUpstream> upstream(new DiskUpstream(config, std::move(token), clock, random));
  std::vector<std::string> paths = {config.certificate_file};
  if (!config.key_file.empty()) paths.push_back(config.key_file);
  if (!config.bundle_file.empty()) paths.push_back(config.bundle_file);
  SIGNET_TRY(
      upstream->files_,
      TrustedFiles<Material>::Open(
          std::move(paths), "upstream authority",
          [disk = upstream.get()](const std::vector<std::string>&) { return disk->Read(); }, log));
  return upstream;
}

Result<std::shared_ptr<const ca::Signer>> DiskUpstream::ReadKey() const {
  if (token_ != nullptr) return token_->Find(config_.key_label);
  const auto pem = ReadSecretFile(config_.key_file, kMaxFileBytes);
  if (!pem) return Unusable(config_.key_file, pem.error().Message());
  auto key = ca::ParsePemPrivateKey(*pem);
  if (!key) return Unusable(config_.key_file, key.error().Message());
  return std::make_shared<const ca::PrivateKey>(*std::move(key));
}

// What is read must be whole: the key is the certificate's, and a path leads to a root.
Result<DiskUpstream::Material> DiskUpstream::Read() const {
  SIGNET_TRY(const auto presented, ReadCertificates(config_.certificate_file, ca::kMaxChainLength));
  Material material;
  if (config_.bundle_file.empty()) {
    if (!presented.back().IsSelfSigned()) {
      return Unusable(config_.certificate_file,
                      "its last certificate is no root; append the root, or name bundle_file");
    }
    material.roots = {presented.back()};
  } else {
    SIGNET_TRY(material.roots, ReadCertificates(config_.bundle_file, kMaxRoots));
  }
  if (std::ranges::find(material.roots, presented.front()) != material.roots.end()) {
    material.above = {presented.front()};  // a root that certifies by itself
  } else {
    auto path = ca::BuildPath(presented, material.roots, clock_.Now());
    if (!path) return Unusable(config_.certificate_file, path.error().Message());
    material.above = *std::move(path);
  }
  SIGNET_TRY(const auto signer, ReadKey());
  auto authority = ca::X509Authority::Create(material.above, signer);
  if (!authority) return Unusable(config_.certificate_file, authority.error().Message());
  material.authority = *std::move(authority);
  return material;
}

Result<ca::Chain> DiskUpstream::Certify(const Request& request,
                                        const ca::X509Authority::RecordIntent& record) {
  const auto material = files_->Current();
  const ca::DownstreamProfile profile{.uri_san = request.uri_san,
                                      .limits = config_.limits,
                                      .not_before = request.not_before,
                                      .not_after = request.not_after};
  SIGNET_TRY(const auto prepared,
             material->authority->PrepareDownstream(request.signer->public_key(), profile, random_,
                                                    clock_.Now()));
  SIGNET_RETURN_IF_ERROR(record(prepared.intent));
  SIGNET_TRY(ca::Certificate own, material->authority->Sign(prepared));
  ca::Chain chain = {std::move(own)};
  chain.insert(chain.end(), material->above.begin(), material->above.end());
  return chain;
}

UpstreamTrust DiskUpstream::Trust() {
  UpstreamTrust trust;
  for (const ca::Certificate& root : files_->Current()->roots)
    trust.x509.push_back({.certificate = root, .tainted = false});
  return trust;
}

}  // namespace signet::identity
