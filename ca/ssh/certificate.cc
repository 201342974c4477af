#include "ca/ssh/certificate.h"

#include <algorithm>

#include "ca/ssh/wire.h"

namespace signet::ca {
namespace {

constexpr std::string_view kSuffix = "-cert-v01@openssh.com";
constexpr std::uint32_t kHost = 2;
constexpr std::size_t kMaxPrincipals = 256;
constexpr std::uint64_t kForever = ~std::uint64_t{0};

tl::unexpected<Error> Malformed(std::string detail) {
  return Fail(Code::kInvalidArgument, kSshMalformed, std::move(detail));
}

tl::unexpected<Error> Refused(std::string detail) {
  return Fail(Code::kPermissionDenied, kSshCertificateRefused, std::move(detail));
}

// How many strings a certificate has between its nonce and its serial number.
std::size_t KeyFields(std::string_view type) { return type == "ssh-ed25519" ? 1 : 2; }

// What is signed, by whom, and the signature: nothing else is looked at before it is verified.
struct Envelope {
  ByteView signed_part;
  ByteView authority;
  ByteView signature;
};

bool SkipStrings(SshReader* reader, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i)
    if (!reader->String()) return false;
  return true;
}

std::optional<std::string_view> ReadType(SshReader* reader) {
  const auto name = reader->String();
  if (!name || !AsText(*name).ends_with(kSuffix)) return std::nullopt;
  return AsText(*name).substr(0, name->size() - kSuffix.size());
}

std::optional<Envelope> Open(ByteView blob) {
  SshReader reader(blob);
  const auto type = ReadType(&reader);
  if (!type || !SkipStrings(&reader, 1 + KeyFields(*type)) || !reader.Uint64() ||
      !reader.Uint32() || !SkipStrings(&reader, 2) || !reader.Uint64() || !reader.Uint64() ||
      !SkipStrings(&reader, 3))
    return std::nullopt;
  const auto authority = reader.String();
  const std::size_t signed_bytes = blob.size() - reader.rest().size();
  const auto signature = reader.String();
  if (!authority || !signature || !reader.AtEnd()) return std::nullopt;
  return Envelope{blob.first(signed_bytes), *authority, *signature};
}

Result<std::vector<std::string>> ReadPrincipals(ByteView packed) {
  std::vector<std::string> principals;
  for (SshReader reader(packed); !reader.AtEnd();) {
    const auto principal = reader.String();
    if (!principal || principal->empty() || principals.size() == kMaxPrincipals)
      return Malformed("the principals are no list of at most 256 names");
    principals.push_back(ToString(*principal));
  }
  if (principals.empty()) return Refused("no principal is in it: it would be good for any host");
  return principals;
}

Status CheckTimes(std::uint64_t after, std::uint64_t before, WallTime now) {
  const auto seconds = static_cast<std::uint64_t>(std::max<std::int64_t>(UnixSeconds(now), 0));
  if (seconds < after) return Refused("not valid yet");
  if (before != kForever && seconds >= before) return Refused("expired");
  return {};
}

}  // namespace

Result<SshHostCertificate> SshHostCertificate::ReadSigned(ByteView signed_part, WallTime now) {
  SshReader reader(signed_part);
  const auto type = ReadType(&reader);
  if (!type || !SkipStrings(&reader, 1)) return Malformed("not a certificate");
  const ByteView fields = reader.rest();
  if (!SkipStrings(&reader, KeyFields(*type))) return Malformed("not a certificate");
  SIGNET_TRY(SshPublicKey key,
             SshPublicKey::FromFields(*type, fields.first(fields.size() - reader.rest().size())));
  SshHostCertificate certificate(std::move(key));
  const auto serial = reader.Uint64();
  const auto kind = reader.Uint32();
  const auto key_id = reader.String();
  const auto principals = reader.String();
  const auto after = reader.Uint64();
  const auto before = reader.Uint64();
  const auto critical = reader.String();
  if (!serial || !kind || !key_id || !principals || !after || !before || !critical)
    return Malformed("not a certificate");
  if (*kind != kHost) return Refused("it is not a host's");
  if (!critical->empty()) return Refused("it has critical options, which hosts have none of");
  SIGNET_RETURN_IF_ERROR(CheckTimes(*after, *before, now));
  SIGNET_TRY(certificate.principals_, ReadPrincipals(*principals));
  certificate.serial_ = *serial;
  certificate.key_id_ = ToString(*key_id);
  return certificate;
}

Result<SshHostCertificate> SshHostCertificate::VerifyHost(ByteView blob,
                                                          std::span<const SshPublicKey> authorities,
                                                          WallTime now) {
  if (blob.size() > kMaxSshCertificateBytes) return Malformed("larger than 32 KiB");
  const auto envelope = Open(blob);
  if (!envelope) return Malformed("not an OpenSSH certificate");
  const auto authority = std::find_if(
      authorities.begin(), authorities.end(),
      [&](const SshPublicKey& known) { return Equal(known.blob(), envelope->authority); });
  if (authority == authorities.end()) return Refused("its authority is not trusted");
  SIGNET_TRY(const auto signature, SshSignature::Parse(envelope->signature));
  if (auto verified = authority->Verify(envelope->signed_part, signature, SshSha1::kRefused);
      !verified)
    return Fail(Code::kPermissionDenied, verified.error().reason, verified.error().detail);
  SIGNET_TRY(auto certificate, ReadSigned(envelope->signed_part, now));
  certificate.fingerprint_ = Sha256(blob);
  return certificate;
}

}  // namespace signet::ca
