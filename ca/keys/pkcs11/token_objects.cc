#include "ca/keys/pkcs11/token_objects.h"

#include <array>
#include <string_view>

#include "ca/x509/der.h"
#include "ca/x509/der_writer.h"

namespace signet::ca {
namespace {

using namespace std::string_view_literals;

constexpr std::size_t kMaxObjects = 1000;
constexpr std::size_t kMaxAttributeBytes = 4096;

// AlgorithmIdentifiers and curve parameters (RFC 5480, 2.1.1; RFC 3279, 2.3.1).
constexpr std::string_view kEcOid = "\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"sv;
constexpr std::string_view kP256Oid = "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"sv;
constexpr std::string_view kP384Oid = "\x06\x05\x2b\x81\x04\x00\x22"sv;
constexpr std::string_view kRsaAlgorithm =
    "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00"sv;

// The library wants its inputs writable and does not write to them.
CK_ATTRIBUTE Attribute(CK_ATTRIBUTE_TYPE type, const void* value, std::size_t size) {
  return {type, const_cast<void*>(value), static_cast<CK_ULONG>(size)};
}

TokenResult ReadAttribute(const Token::Session& session, CK_OBJECT_HANDLE object,
                          CK_ATTRIBUTE_TYPE type, Bytes* value) {
  value->assign(kMaxAttributeBytes, 0);
  CK_ATTRIBUTE attribute{type, value->data(), value->size()};
  const TokenResult result =
      session.api->C_GetAttributeValue(session.handle, object, &attribute, 1);
  value->resize(result == CKR_OK ? attribute.ulValueLen : 0);
  return result;
}

TokenResult FindHandles(const Token::Session& session, std::vector<CK_ATTRIBUTE> wanted,
                        std::vector<CK_OBJECT_HANDLE>* handles) {
  TokenResult result = session.api->C_FindObjectsInit(session.handle, wanted.data(), wanted.size());
  if (result != CKR_OK) return result;
  handles->resize(kMaxObjects);
  CK_ULONG count = 0;
  result = session.api->C_FindObjects(session.handle, handles->data(), handles->size(), &count);
  session.api->C_FindObjectsFinal(session.handle);
  handles->resize(result == CKR_OK ? count : 0);
  return result;
}

TokenResult ReadEcSpki(const Token::Session& session, CK_OBJECT_HANDLE key, Bytes* spki) {
  Bytes curve, wrapped;
  TokenResult result = ReadAttribute(session, key, CKA_EC_PARAMS, &curve);
  if (result == CKR_OK) result = ReadAttribute(session, key, CKA_EC_POINT, &wrapped);
  if (result != CKR_OK) return result;
  // PKCS#11 v2.40, 2.3.3: the point in an OCTET STRING.
  const auto point = ReadSoleDer(wrapped, kDerOctetString);
  const std::string_view named = AsText(curve);
  if (!point || (named != kP256Oid && named != kP384Oid)) return CKR_OK;
  DerWriter writer;
  const std::size_t outer = writer.Begin(kDerSequence);
  const std::size_t algorithm = writer.Begin(kDerSequence);
  writer.Raw(AsBytes(kEcOid));
  writer.Raw(curve);
  writer.End(algorithm);
  writer.BitString(point->content);
  writer.End(outer);
  *spki = writer.Take();
  return CKR_OK;
}

TokenResult ReadRsaSpki(const Token::Session& session, CK_OBJECT_HANDLE key, Bytes* spki) {
  Bytes modulus, exponent;
  TokenResult result = ReadAttribute(session, key, CKA_MODULUS, &modulus);
  if (result == CKR_OK) result = ReadAttribute(session, key, CKA_PUBLIC_EXPONENT, &exponent);
  if (result != CKR_OK) return result;
  DerWriter key_writer;
  const std::size_t sequence = key_writer.Begin(kDerSequence);
  key_writer.UnsignedInteger(modulus);
  key_writer.UnsignedInteger(exponent);
  key_writer.End(sequence);
  const Bytes rsa_key = key_writer.Take();
  DerWriter writer;
  const std::size_t outer = writer.Begin(kDerSequence);
  writer.Raw(AsBytes(kRsaAlgorithm));
  writer.BitString(rsa_key);
  writer.End(outer);
  *spki = writer.Take();
  return CKR_OK;
}

}  // namespace

TokenResult FindObjects(const Token::Session& session, CK_OBJECT_CLASS kind,
                        const std::string& label, std::vector<TokenObject>* found) {
  std::vector<CK_ATTRIBUTE> wanted = {Attribute(CKA_CLASS, &kind, sizeof kind)};
  if (!label.empty()) wanted.push_back(Attribute(CKA_LABEL, label.data(), label.size()));
  std::vector<CK_OBJECT_HANDLE> handles;
  TokenResult result = FindHandles(session, wanted, &handles);
  if (result != CKR_OK) return result;
  found->clear();
  for (const CK_OBJECT_HANDLE handle : handles) {
    Bytes name, id;
    result = ReadAttribute(session, handle, CKA_LABEL, &name);
    if (result == CKR_OK) result = ReadAttribute(session, handle, CKA_ID, &id);
    if (result != CKR_OK) return result;
    found->push_back({handle, ToString(name), std::move(id)});
  }
  return CKR_OK;
}

TokenResult FindPrivateKey(const Token::Session& session, ByteView id, CK_OBJECT_HANDLE* handle) {
  const CK_OBJECT_CLASS kind = CKO_PRIVATE_KEY;
  std::vector<CK_OBJECT_HANDLE> handles;
  const TokenResult result = FindHandles(
      session, {Attribute(CKA_CLASS, &kind, sizeof kind), Attribute(CKA_ID, id.data(), id.size())},
      &handles);
  *handle = handles.empty() ? 0 : handles.front();
  return result;
}

TokenResult DestroyPair(const Token::Session& session, ByteView id) {
  std::vector<CK_OBJECT_HANDLE> handles;
  TokenResult result = FindHandles(session, {Attribute(CKA_ID, id.data(), id.size())}, &handles);
  for (const CK_OBJECT_HANDLE handle : handles) {
    if (result == CKR_OK) result = session.api->C_DestroyObject(session.handle, handle);
  }
  return result;
}

TokenResult GeneratePair(const Token::Session& session, const std::string& label, ByteView id,
                         KeyType type) {
  const bool rsa = type == KeyType::kRsa2048 || type == KeyType::kRsa4096;
  const CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
  const CK_ULONG bits = type == KeyType::kRsa4096 ? 4096 : 2048;
  const std::array<std::uint8_t, 3> exponent = {0x01, 0x00, 0x01};
  const std::string_view curve = type == KeyType::kEcP384 ? kP384Oid : kP256Oid;
  std::vector<CK_ATTRIBUTE> common = {Attribute(CKA_TOKEN, &yes, sizeof yes),
                                      Attribute(CKA_LABEL, label.data(), label.size()),
                                      Attribute(CKA_ID, id.data(), id.size())};
  std::vector<CK_ATTRIBUTE> public_part = common, private_part = common;
  public_part.push_back(Attribute(CKA_VERIFY, &yes, sizeof yes));
  if (rsa) {
    public_part.push_back(Attribute(CKA_MODULUS_BITS, &bits, sizeof bits));
    public_part.push_back(Attribute(CKA_PUBLIC_EXPONENT, exponent.data(), exponent.size()));
  } else {
    public_part.push_back(Attribute(CKA_EC_PARAMS, curve.data(), curve.size()));
  }
  for (const CK_ATTRIBUTE_TYPE set : {CKA_PRIVATE, CKA_SENSITIVE, CKA_SIGN})
    private_part.push_back(Attribute(set, &yes, sizeof yes));
  for (const CK_ATTRIBUTE_TYPE clear : {CKA_EXTRACTABLE, CKA_DECRYPT, CKA_UNWRAP})
    private_part.push_back(Attribute(clear, &no, sizeof no));
  CK_MECHANISM mechanism{
      static_cast<CK_MECHANISM_TYPE>(rsa ? CKM_RSA_PKCS_KEY_PAIR_GEN : CKM_EC_KEY_PAIR_GEN),
      nullptr, 0};
  CK_OBJECT_HANDLE public_key = 0, private_key = 0;
  return session.api->C_GenerateKeyPair(session.handle, &mechanism, public_part.data(),
                                        public_part.size(), private_part.data(),
                                        private_part.size(), &public_key, &private_key);
}

TokenResult ReadSpki(const Token::Session& session, CK_OBJECT_HANDLE public_key, Bytes* spki) {
  spki->clear();
  CK_KEY_TYPE kind = 0;
  CK_ATTRIBUTE attribute{CKA_KEY_TYPE, &kind, sizeof kind};
  const TokenResult result =
      session.api->C_GetAttributeValue(session.handle, public_key, &attribute, 1);
  if (result != CKR_OK) return result;
  if (kind == CKK_EC) return ReadEcSpki(session, public_key, spki);
  if (kind == CKK_RSA) return ReadRsaSpki(session, public_key, spki);
  return CKR_OK;
}

TokenResult ReadExtractable(const Token::Session& session, CK_OBJECT_HANDLE private_key,
                            bool* extractable) {
  CK_BBOOL value = CK_TRUE;
  CK_ATTRIBUTE attribute{CKA_EXTRACTABLE, &value, sizeof value};
  const TokenResult result =
      session.api->C_GetAttributeValue(session.handle, private_key, &attribute, 1);
  *extractable = value != CK_FALSE;
  return result;
}

}  // namespace signet::ca
