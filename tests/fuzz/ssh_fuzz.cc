// Any bytes as an SSH key, a line with one, a private key, a certificate, and as the signed part of
// a certificate, which is then really signed: what is read after the signature was verified.
#include "base/check.h"
#include "ca/ssh/certificate.h"
#include "ca/ssh/private_key.h"
#include "ca/ssh/wire.h"

namespace {

using namespace signet;
using namespace signet::ca;

const WallTime kNow = FromUnixSeconds(1'800'000'000);

const PrivateKey& AuthorityKey() {
  static const auto key = *PrivateKey::Generate(KeyType::kEcP256);
  return key;
}

const std::vector<SshPublicKey>& Authorities() {
  static const std::vector<SshPublicKey> authorities = [] {
    Bytes fields;
    AppendSshString(AsBytes("nistp256"), &fields);
    AppendSshString(AuthorityKey().public_key().spki().last(65), &fields);
    return std::vector<SshPublicKey>{*SshPublicKey::FromFields("ecdsa-sha2-nistp256", fields)};
  }();
  return authorities;
}

Bytes Signed(ByteView fields) {
  Bytes blob = ToBytes(fields);
  AppendSshString(Authorities()[0].blob(), &blob);
  const auto signature = *SignAsSsh(AuthorityKey(), blob);
  Bytes encoded;
  AppendSshString(AsBytes(signature.format), &encoded);
  AppendSshString(signature.blob, &encoded);
  AppendSshString(encoded, &blob);
  return blob;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes(data, size);
  if (const auto key = SshPublicKey::FromBlob(bytes)) {
    CHECK_TRUE(Equal(key->blob(), bytes));
    CHECK_TRUE(SshPublicKey::ParseLine(key->type() + " " + EncodeBase64(bytes) + " x").has_value());
  }
  std::string type;
  if (const auto blob = ParseSshLine(AsText(bytes), &type)) CHECK_TRUE(!blob->empty());
  CHECK_TRUE(!SshHostCertificate::VerifyHost(bytes, Authorities(), kNow));
  if (const auto certificate = SshHostCertificate::VerifyHost(Signed(bytes), Authorities(), kNow))
    CHECK_TRUE(!certificate->principals().empty() && certificate->principals().size() <= 256);
  (void)ParseSshPrivateKey(SecretBytes(bytes));
  (void)SshSignature::Parse(bytes);
  return 0;
}
