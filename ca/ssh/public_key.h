// SSH public keys and signatures (RFC 4253, 6.6; RFC 5656; RFC 8332; RFC 8709) as values over
// ca::PublicKey: ssh-ed25519, ecdsa-sha2-nistp{256,384,521} and ssh-rsa of 2048 to 8192 bits.
//
// Threads: immutable.
#pragma once

#include <string>
#include <string_view>

#include "ca/crypto/key.h"

namespace signet::ca {

inline constexpr Reason kSshMalformed{"malformed SSH data"};

// "rsa-sha2-512", and the bytes that belong to it.
struct SshSignature {
  std::string format;
  Bytes blob;

  // {string format, string blob} and nothing after it. Fails with kSshMalformed.
  static Result<SshSignature> Parse(ByteView encoded);
};

enum class SshSha1 { kRefused, kAllowed };

class SshPublicKey {
 public:
  // Fails with kSshMalformed or kKeyTypeRefused.
  static Result<SshPublicKey> FromBlob(ByteView blob);
  // The fields behind the type's name, as certificates have them too; nothing may follow.
  static Result<SshPublicKey> FromFields(std::string_view type, ByteView fields);
  // A line of authorized_keys or of a .pub file, without options: "ssh-ed25519 AAAA… comment".
  static Result<SshPublicKey> ParseLine(std::string_view line);

  const std::string& type() const { return type_; }
  ByteView blob() const { return blob_; }
  const PublicKey& key() const { return key_; }
  // `sha1`: whether an RSA key may sign as "ssh-rsa", over SHA-1. Only for proofs over fresh
  // nonces. Fails with kSignatureInvalid.
  Status Verify(ByteView message, const SshSignature& signature, SshSha1 sha1) const;

 private:
  SshPublicKey(std::string type, Bytes blob, PublicKey key)
      : type_(std::move(type)), blob_(std::move(blob)), key_(std::move(key)) {}
  std::string type_;
  Bytes blob_;
  PublicKey key_;
};

// The type's name and the blob of a line "type base64 comment". Fails with kSshMalformed.
Result<Bytes> ParseSshLine(std::string_view line, std::string* type);

}  // namespace signet::ca
