#include "net/web_identity.h"

#include <openssl/pem.h>
#include <sys/stat.h>

#include "net/tls_internal.h"

namespace signet::net {
namespace {

constexpr std::size_t kMaxFileBytes = 256 * 1024;
constexpr Duration kLookInterval = std::chrono::seconds(2);

using BioPtr = std::unique_ptr<BIO, FreeWith<BIO_free_all>>;
using Pkcs8Ptr = std::unique_ptr<PKCS8_PRIV_KEY_INFO, FreeWith<PKCS8_PRIV_KEY_INFO_free>>;

tl::unexpected<Error> Unusable(const std::string& path, const std::string& why) {
  return Fail(Code::kFailedPrecondition, kWebIdentityUnusable, path + ": " + why);
}

int NoPassphrase(char*, int, int, void*) { return -1; }

Result<ca::PrivateKey> ParseKeyPem(ByteView pem) {
  ERR_clear_error();
  const auto failed = [] {
    return Fail(Code::kInvalidArgument, ca::kKeyMalformed,
                "no unencrypted private key in PEM (" + TakeSslError() + ")");
  };
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (bio == nullptr) return failed();
  const PkeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  const Pkcs8Ptr info(key == nullptr ? nullptr : EVP_PKEY2PKCS8(key.get()));
  const int size = info == nullptr ? 0 : i2d_PKCS8_PRIV_KEY_INFO(info.get(), nullptr);
  if (size <= 0) return failed();
  SecretBytes der(static_cast<std::size_t>(size));
  std::uint8_t* out = der.mutable_view().data();
  if (i2d_PKCS8_PRIV_KEY_INFO(info.get(), &out) != size) return failed();
  return ca::PrivateKey::FromPkcs8(der.view());
}

}  // namespace

TlsOptions DocumentServerOptions() {
  TlsOptions options;
  options.role = TlsRole::kServer;
  options.client_certificate = ClientCertificate::kNotAskedFor;
  options.alpn = {"http/1.1"};
  options.versions = TlsVersions::k12And13;
  return options;
}

Result<TlsIdentity> LoadWebIdentity(const std::string& certificate_path,
                                    const std::string& key_path) {
  const auto pem = ReadFile(certificate_path, kMaxFileBytes);
  if (!pem) return Unusable(certificate_path, pem.error().Message());
  auto chain = ca::ParsePem(AsText(*pem), ca::kMaxChainLength);
  if (!chain) return Unusable(certificate_path, chain.error().Message());
  if (chain->empty()) return Unusable(certificate_path, "there is no certificate in it");
  const auto secret = ReadSecretFile(key_path, kMaxFileBytes);
  if (!secret) return Unusable(key_path, secret.error().Message());
  auto key = ParseKeyPem(secret->view());
  if (!key) return Unusable(key_path, key.error().Message());
  return TlsIdentity{*std::move(chain), std::make_shared<const ca::PrivateKey>(*std::move(key))};
}

WebIdentity::WebIdentity(Files files, const Clock& clock, const Logger& log)
    : files_(std::move(files)), clock_(clock), log_(log), next_look_(clock.SteadyNow()) {}

Result<std::unique_ptr<WebIdentity>> WebIdentity::Open(Files files, const Clock& clock,
                                                       const Logger& log) {
  std::unique_ptr<WebIdentity> identity(new WebIdentity(std::move(files), clock, log));
  identity->seen_ = identity->Look();
  SIGNET_RETURN_IF_ERROR(identity->Load());
  return identity;
}

WebIdentity::Stamp WebIdentity::StampOf(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return {};
  constexpr std::int64_t kNanoseconds = 1'000'000'000;
  return {status.st_mtim.tv_sec * kNanoseconds + status.st_mtim.tv_nsec, status.st_ino,
          status.st_size};
}

WebIdentity::Stamps WebIdentity::Look() const {
  return {StampOf(files_.certificate), StampOf(files_.key)};
}

Status WebIdentity::Load() {
  SIGNET_TRY(const TlsIdentity identity, LoadWebIdentity(files_.certificate, files_.key));
  SIGNET_TRY(context_, TlsContext::Create(DocumentServerOptions(), identity, nullptr));
  return {};
}

std::shared_ptr<const TlsContext> WebIdentity::Context() {
  const std::lock_guard lock(mutex_);
  const SteadyTime now = clock_.SteadyNow();
  if (now < next_look_) return context_;
  next_look_ = now + kLookInterval;
  const Stamps stamps = Look();
  if (stamps == seen_) return context_;
  seen_ = stamps;
  if (const Status loaded = Load(); loaded) {
    log_.Info("web certificate reloaded", {{"file", files_.certificate}});
  } else {
    log_.Error("web certificate not reloaded; the one before stays in use",
               {{"error", loaded.error().Message()}});
  }
  return context_;
}

}  // namespace signet::net
