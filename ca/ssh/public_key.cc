#include "ca/ssh/public_key.h"

#include <array>

#include "ca/crypto/proof.h"
#include "ca/ssh/wire.h"
#include "ca/x509/der.h"
#include "ca/x509/der_writer.h"

namespace signet::ca {
namespace {

constexpr std::size_t kMaxLineBytes = 32 * 1024;
constexpr std::size_t kMinRsaBytes = 256;
constexpr std::size_t kMaxRsaBytes = 1024;
constexpr std::size_t kMaxExponentBytes = 4;
constexpr std::string_view kRsa = "ssh-rsa";
constexpr std::string_view kEd25519 = "ssh-ed25519";

// AlgorithmIdentifiers (RFC 8410, 3; RFC 3279, 2.3.1; RFC 5480, 2.1.1).
constexpr std::array<std::uint8_t, 7> kEd25519Id = {0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70};
constexpr std::array<std::uint8_t, 15> kRsaId = {0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                                 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00};
constexpr std::array<std::uint8_t, 21> kP256Id = {0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                                  0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
                                                  0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
constexpr std::array<std::uint8_t, 18> kP384Id = {0x30, 0x10, 0x06, 0x07, 0x2a, 0x86,
                                                  0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
                                                  0x05, 0x2b, 0x81, 0x04, 0x00, 0x22};
constexpr std::array<std::uint8_t, 18> kP521Id = {0x30, 0x10, 0x06, 0x07, 0x2a, 0x86,
                                                  0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
                                                  0x05, 0x2b, 0x81, 0x04, 0x00, 0x23};

struct Curve {
  std::string_view type;
  std::string_view name;
  ByteView algorithm;
  std::size_t point_bytes;
  SignatureAlgorithm signature;
};
constexpr std::array<Curve, 3> kCurves = {{
    {"ecdsa-sha2-nistp256", "nistp256", kP256Id, 65, SignatureAlgorithm::kEcdsaSha256},
    {"ecdsa-sha2-nistp384", "nistp384", kP384Id, 97, SignatureAlgorithm::kEcdsaSha384},
    {"ecdsa-sha2-nistp521", "nistp521", kP521Id, 133, SignatureAlgorithm::kEcdsaSha512},
}};

const Curve* FindCurve(std::string_view type) {
  for (const Curve& curve : kCurves)
    if (curve.type == type) return &curve;
  return nullptr;
}

tl::unexpected<Error> Malformed(std::string detail) {
  return Fail(Code::kInvalidArgument, kSshMalformed, std::move(detail));
}

Result<PublicKey> FromBits(ByteView algorithm, ByteView bits) {
  DerWriter writer(bits.size() + 64);
  const std::size_t spki = writer.Begin(kDerSequence);
  writer.Raw(algorithm);
  writer.BitString(bits);
  writer.End(spki);
  return PublicKey::FromSpki(writer.Take());
}

Result<PublicKey> ReadRsa(SshReader* reader) {
  const auto exponent = reader->Positive();
  const auto modulus = reader->Positive();
  if (!exponent || !modulus) return Malformed("not an RSA key");
  if (modulus->size() < kMinRsaBytes || modulus->size() > kMaxRsaBytes ||
      exponent->size() > kMaxExponentBytes)
    return Fail(Code::kInvalidArgument, kKeyTypeRefused,
                "an RSA key of " + std::to_string(modulus->size() * 8) +
                    " bits; from 2048 to 8192 are allowed, with an exponent of at most 32");
  DerWriter writer(modulus->size() + 32);
  const std::size_t key = writer.Begin(kDerSequence);
  writer.UnsignedInteger(*modulus);
  writer.UnsignedInteger(*exponent);
  writer.End(key);
  return FromBits(kRsaId, writer.Take());
}

Result<PublicKey> ReadEc(const Curve& curve, SshReader* reader) {
  const auto name = reader->String();
  const auto point = reader->String();
  if (!name || AsText(*name) != curve.name || !point || point->size() != curve.point_bytes ||
      (*point)[0] != 0x04)
    return Malformed("not a key of the curve " + std::string(curve.name));
  return FromBits(curve.algorithm, *point);
}

Result<PublicKey> ReadKey(std::string_view type, SshReader* reader) {
  if (type == kRsa) return ReadRsa(reader);
  if (const Curve* curve = FindCurve(type)) return ReadEc(*curve, reader);
  if (type != kEd25519)
    return Fail(Code::kInvalidArgument, kKeyTypeRefused,
                "\"" + std::string(type.substr(0, 64)) +
                    "\" is none of ssh-ed25519, "
                    "ecdsa-sha2-nistp256, -384, -521, ssh-rsa");
  const auto key = reader->String();
  if (!key || key->size() != 32) return Malformed("not an Ed25519 key");
  return FromBits(kEd25519Id, *key);
}

// RFC 5656, 3.1.2: mpint r, mpint s, as X.509 writes it.
std::optional<Bytes> EcdsaDer(ByteView blob) {
  SshReader reader(blob);
  const auto r = reader.Positive();
  const auto s = reader.Positive();
  if (!r || !s || !reader.AtEnd()) return std::nullopt;
  DerWriter writer(160);
  const std::size_t sequence = writer.Begin(kDerSequence);
  writer.UnsignedInteger(*r);
  writer.UnsignedInteger(*s);
  writer.End(sequence);
  return writer.Take();
}

}  // namespace

Result<SshSignature> SshSignature::Parse(ByteView encoded) {
  SshReader reader(encoded);
  const auto format = reader.String();
  const auto blob = reader.String();
  if (!format || !blob || !reader.AtEnd()) return Malformed("not a signature");
  return SshSignature{ToString(*format), ToBytes(*blob)};
}

Result<SshPublicKey> SshPublicKey::FromFields(std::string_view type, ByteView fields) {
  SshReader reader(fields);
  SIGNET_TRY(PublicKey key, ReadKey(type, &reader));
  if (!reader.AtEnd()) return Malformed("bytes follow the key");
  Bytes blob;
  AppendSshString(AsBytes(type), &blob);
  blob.insert(blob.end(), fields.begin(), fields.end());
  return SshPublicKey(std::string(type), std::move(blob), std::move(key));
}

Result<SshPublicKey> SshPublicKey::FromBlob(ByteView blob) {
  SshReader reader(blob);
  const auto type = reader.String();
  if (!type) return Malformed("not a public key");
  return FromFields(AsText(*type), reader.rest());
}

Result<SshPublicKey> SshPublicKey::ParseLine(std::string_view line) {
  std::string type;
  SIGNET_TRY(const Bytes blob, ParseSshLine(line, &type));
  return FromBlob(blob);
}

Status SshPublicKey::Verify(ByteView message, const SshSignature& signature, SshSha1 sha1) const {
  if (const Curve* curve = FindCurve(type_); curve != nullptr && signature.format == type_) {
    if (const auto der = EcdsaDer(signature.blob))
      return key_.Verify(curve->signature, message, *der);
  } else if (type_ == kEd25519 && signature.format == kEd25519) {
    return key_.Verify(SignatureAlgorithm::kEd25519, message, signature.blob);
  } else if (type_ == kRsa) {
    if (signature.format == "rsa-sha2-512")
      return key_.Verify(SignatureAlgorithm::kRsaPkcs1Sha512, message, signature.blob);
    if (signature.format == "rsa-sha2-256")
      return key_.Verify(SignatureAlgorithm::kRsaPkcs1Sha256, message, signature.blob);
    if (signature.format == kRsa && sha1 == SshSha1::kAllowed)
      return VerifyProof(key_, ProofAlgorithm::kRsaPkcs1Sha1, message, signature.blob);
  }
  return Fail(Code::kInvalidArgument, kSignatureInvalid,
              "the signature's format does not fit a key of type " + type_);
}

Result<Bytes> ParseSshLine(std::string_view line, std::string* type) {
  if (line.size() > kMaxLineBytes) return Malformed("a line of more than 32 KiB");
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  const auto end_of_type = line.find(' ');
  if (end_of_type == line.npos) return Malformed("not a line \"type base64 comment\"");
  *type = line.substr(0, end_of_type);
  std::string_view rest = line.substr(end_of_type + 1);
  rest = rest.substr(0, rest.find(' '));
  auto blob = DecodeBase64(rest);
  SshReader reader(blob ? ByteView(*blob) : ByteView());
  const auto inside = reader.String();
  if (!inside || AsText(*inside) != *type)
    return Malformed("the line's type is not that of its key, or it has options");
  return *std::move(blob);
}

}  // namespace signet::ca
