// OpenSSH host certificates (PROTOCOL.certkeys). One comes into being only by VerifyHost(): what
// can be read of it was read from the bytes under the signature of a trusted authority.
//
// Threads: immutable.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "ca/crypto/digest.h"
#include "ca/ssh/public_key.h"

namespace signet::ca {

inline constexpr Reason kSshCertificateRefused{"SSH certificate not accepted"};
inline constexpr std::size_t kMaxSshCertificateBytes = 32 * 1024;

class SshHostCertificate {
 public:
  // `blob` as in a -cert.pub file, after base64. Bounded before anything is verified; signatures
  // over SHA-1 are refused, as are critical options (hosts have none) and certificates without
  // principals (good for any host). Fails with kSshMalformed, kKeyTypeRefused, kSignatureInvalid
  // or kSshCertificateRefused.
  static Result<SshHostCertificate> VerifyHost(ByteView blob,
                                               std::span<const SshPublicKey> authorities,
                                               WallTime now);

  const SshPublicKey& key() const { return key_; }
  std::uint64_t serial() const { return serial_; }
  const std::string& key_id() const { return key_id_; }
  const std::vector<std::string>& principals() const { return principals_; }  // at least one
  // SHA-256 over the whole certificate.
  const Sha256Digest& fingerprint() const { return fingerprint_; }

 private:
  explicit SshHostCertificate(SshPublicKey key) : key_(std::move(key)) {}
  static Result<SshHostCertificate> ReadSigned(ByteView signed_part, WallTime now);

  SshPublicKey key_;
  std::uint64_t serial_ = 0;
  std::string key_id_;
  std::vector<std::string> principals_;
  Sha256Digest fingerprint_{};
};

}  // namespace signet::ca
