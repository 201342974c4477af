#include "ca/ssh/private_key.h"

#include <array>
#include <optional>

#include "ca/crypto/handle.h"
#include "ca/crypto/pem_key.h"
#include "ca/crypto/proof.h"
#include "ca/ssh/wire.h"
#include "ca/x509/der.h"
#include "ca/x509/der_writer.h"

namespace signet::ca {
namespace {

constexpr std::string_view kBegin = "-----BEGIN OPENSSH PRIVATE KEY-----";
constexpr std::string_view kEnd = "-----END OPENSSH PRIVATE KEY-----";
constexpr std::string_view kMagic{"openssh-key-v1\0", 15};
constexpr std::size_t kMaxTextBytes = 32 * 1024;
constexpr std::size_t kDerBytes = 16 * 1024;  // so that no copy of a secret is left behind

tl::unexpected<Error> Malformed(std::string detail) {
  return Fail(Code::kInvalidArgument, kSshMalformed, std::move(detail));
}

std::optional<SecretBytes> Unarmour(std::string_view text) {
  const auto begin = text.find(kBegin);
  const auto end = text.find(kEnd);
  if (begin == text.npos || end == text.npos || end < begin + kBegin.size()) return std::nullopt;
  std::string base64;
  for (const char c : text.substr(begin + kBegin.size(), end - begin - kBegin.size()))
    if (c != '\n' && c != '\r') base64.push_back(c);
  auto bytes = DecodeBase64(base64);
  WipeBytes({reinterpret_cast<std::uint8_t*>(base64.data()), base64.size()});
  if (!bytes) return std::nullopt;
  SecretBytes secret(*bytes);
  WipeBytes(*bytes);
  return secret;
}

// PrivateKeyInfo (RFC 5208, 5) around a key in its own format.
Result<PrivateKey> FromInner(ByteView algorithm, ByteView inner) {
  DerWriter writer(kDerBytes);
  const std::size_t info = writer.Begin(kDerSequence);
  writer.UnsignedInteger({});
  writer.Raw(algorithm);
  writer.Element(kDerOctetString, inner);
  writer.End(info);
  Bytes der = writer.Take();
  auto key = PrivateKey::FromPkcs8(der);
  WipeBytes(der);
  return key;
}

// The AlgorithmIdentifier inside a SubjectPublicKeyInfo: private keys have the same.
ByteView AlgorithmOf(const PublicKey& key) {
  DerReader spki(ReadSoleDer(key.spki(), kDerSequence)->content);
  return spki.Read(kDerSequence)->whole;
}

BignumHandle ToBignum(ByteView magnitude) {
  return BignumHandle(BN_bin2bn(magnitude.data(), static_cast<int>(magnitude.size()), nullptr));
}

// d mod (prime - 1), which SSH leaves out and PKCS#1 has.
std::optional<SecretBytes> CrtExponent(ByteView d, ByteView prime) {
  const Handle<BN_CTX, BN_CTX_free> context(BN_CTX_secure_new());
  const BignumHandle exponent = ToBignum(d);
  const BignumHandle modulus = ToBignum(prime);
  const Handle<BIGNUM, BN_clear_free> rest(BN_secure_new());
  if (!context || !exponent || !modulus || !rest || BN_sub_word(modulus.get(), 1) != 1 ||
      BN_is_zero(modulus.get()) ||
      BN_mod(rest.get(), exponent.get(), modulus.get(), context.get()) != 1)
    return std::nullopt;
  SecretBytes bytes(static_cast<std::size_t>(BN_num_bytes(rest.get())));
  BN_bn2bin(rest.get(), bytes.mutable_view().data());
  return bytes;
}

Result<PrivateKey> ReadRsa(SshReader* reader) {
  std::array<ByteView, 6> parts;  // n, e, d, iqmp, p, q
  for (ByteView& part : parts) {
    const auto value = reader->Positive();
    if (!value) return Malformed("not an RSA private key");
    part = *value;
  }
  const auto& [n, e, d, iqmp, p, q] = parts;
  Bytes fields;
  AppendSshPositive(e, &fields);
  AppendSshPositive(n, &fields);
  SIGNET_TRY(const auto half, SshPublicKey::FromFields("ssh-rsa", fields));
  const auto dp = CrtExponent(d, p);
  const auto dq = CrtExponent(d, q);
  if (!dp || !dq) return Malformed("not an RSA private key");
  DerWriter writer(kDerBytes);
  const std::size_t key = writer.Begin(kDerSequence);
  for (const ByteView part : {ByteView(), n, e, d, p, q, dp->view(), dq->view(), iqmp})
    writer.UnsignedInteger(part);
  writer.End(key);
  Bytes inner = writer.Take();
  auto made = FromInner(AlgorithmOf(half.key()), inner);
  WipeBytes(inner);
  return made;
}

Result<PrivateKey> ReadEc(std::string_view type, SshReader* reader) {
  const ByteView fields = reader->rest();
  const auto curve = reader->String();
  const auto point = reader->String();
  if (!curve || !point) return Malformed("not an EC private key");
  SIGNET_TRY(const auto half,
             SshPublicKey::FromFields(type, fields.first(fields.size() - reader->rest().size())));
  const auto scalar = reader->Positive();
  const std::size_t size = (point->size() - 1) / 2;
  if (!scalar || scalar->size() > size) return Malformed("not an EC private key");
  SecretBytes padded(size);
  std::copy(scalar->begin(), scalar->end(),
            padded.mutable_view().end() - static_cast<std::ptrdiff_t>(scalar->size()));
  // ECPrivateKey (RFC 5915, 3), with the public point, which is then checked against the scalar.
  DerWriter writer(kDerBytes);
  const std::size_t key = writer.Begin(kDerSequence);
  const std::uint8_t version = 1;
  writer.UnsignedInteger({&version, 1});
  writer.Element(kDerOctetString, padded.view());
  const std::size_t public_key = writer.Begin(DerContextConstructed(1));
  writer.BitString(*point);
  writer.End(public_key);
  writer.End(key);
  Bytes inner = writer.Take();
  auto made = FromInner(AlgorithmOf(half.key()), inner);
  WipeBytes(inner);
  return made;
}

Result<PrivateKey> ReadEd25519(SshReader* reader) {
  const ByteView fields = reader->rest();
  const auto point = reader->String();
  if (!point) return Malformed("not an Ed25519 private key");
  SIGNET_TRY(
      const auto half,
      SshPublicKey::FromFields("ssh-ed25519", fields.first(fields.size() - reader->rest().size())));
  const auto pair = reader->String();  // seed, and the public half again
  if (!pair || pair->size() != 64) return Malformed("not an Ed25519 private key");
  DerWriter writer(kDerBytes);
  writer.Element(kDerOctetString, pair->first(32));
  Bytes inner = writer.Take();
  auto made = FromInner(AlgorithmOf(half.key()), inner);
  WipeBytes(inner);
  if (made && !(made->public_key() == half.key()))
    return Malformed("the public half is not that of the private key");
  return made;
}

Result<PrivateKey> ReadKey(ByteView section) {
  SshReader reader(section);
  const auto one = reader.Uint32();
  const auto other = reader.Uint32();
  const auto type = reader.String();
  if (!one || one != other || !type) return Malformed("the private section is damaged");
  if (AsText(*type) == "ssh-rsa") return ReadRsa(&reader);
  if (AsText(*type) == "ssh-ed25519") return ReadEd25519(&reader);
  if (AsText(*type).starts_with("ecdsa-sha2-")) return ReadEc(AsText(*type), &reader);
  return Fail(Code::kInvalidArgument, kKeyTypeRefused,
              "a private key that is none of ssh-ed25519, ecdsa-sha2-nistp*, ssh-rsa");
}

struct EcFormat {
  int bits;
  std::string_view format;
  SignatureAlgorithm algorithm;
};
constexpr std::array<EcFormat, 3> kEcFormats = {{
    {256, "ecdsa-sha2-nistp256", SignatureAlgorithm::kEcdsaSha256},
    {384, "ecdsa-sha2-nistp384", SignatureAlgorithm::kEcdsaSha384},
    {521, "ecdsa-sha2-nistp521", SignatureAlgorithm::kEcdsaSha512},
}};

Result<SshSignature> SignEc(const PrivateKey& key, ByteView message) {
  for (const EcFormat& known : kEcFormats) {
    if (known.bits != BitsOf(key.public_key())) continue;
    SIGNET_TRY(const Bytes der, key.Sign(known.algorithm, message));
    const auto sequence = ReadSoleDer(der, kDerSequence);
    DerReader integers(sequence ? sequence->content : ByteView());
    SshSignature signature{std::string(known.format), {}};
    for (int i = 0; i < 2; ++i) {
      const auto integer = integers.Read(kDerInteger);
      if (!integer) return Fail(Code::kInternal, kSigningFailed, "not an ECDSA signature");
      AppendSshString(integer->content, &signature.blob);  // an mpint is a DER INTEGER's content
    }
    return signature;
  }
  return Fail(Code::kInvalidArgument, kKeyTypeRefused, "SSH has no such curve");
}

}  // namespace

Result<PrivateKey> ParseSshPrivateKey(const SecretBytes& text) {
  if (text.size() > kMaxTextBytes) return Malformed("a private key of more than 32 KiB");
  if (AsText(text.view()).find(kBegin) == std::string_view::npos) return ParsePemPrivateKey(text);
  const auto content = Unarmour(AsText(text.view()));
  if (!content || !AsText(content->view()).starts_with(kMagic))
    return Malformed("not an OpenSSH private key");
  SshReader reader(content->view().subspan(kMagic.size()));
  const auto cipher = reader.String();
  const auto kdf = reader.String();
  const auto kdf_options = reader.String();
  const auto count = reader.Uint32();
  const auto public_half = reader.String();
  const auto section = reader.String();
  if (!cipher || !kdf || !kdf_options || count != 1U || !public_half || !section)
    return Malformed("not an OpenSSH private key");
  if (AsText(*cipher) != "none")
    return Malformed("the private key is under a passphrase: use one without");
  return ReadKey(*section);
}

Result<SshSignature> SignAsSsh(const PrivateKey& key, ByteView message) {
  SshSignature signature;
  switch (FamilyOf(key.public_key())) {
    case KeyFamily::kRsa: {
      signature.format = "rsa-sha2-512";
      SIGNET_TRY(signature.blob, key.Sign(SignatureAlgorithm::kRsaPkcs1Sha512, message));
      return signature;
    }
    case KeyFamily::kEd25519: {
      signature.format = "ssh-ed25519";
      SIGNET_TRY(signature.blob, key.Sign(SignatureAlgorithm::kEd25519, message));
      return signature;
    }
    case KeyFamily::kEc:
      return SignEc(key, message);
    case KeyFamily::kOther:
      break;
  }
  return Fail(Code::kInvalidArgument, kKeyTypeRefused, "SSH has no name for keys of this kind");
}

}  // namespace signet::ca
