// Key objects in a token as values: what they are called, their public halves, and the templates
// they are made from. Every function runs in a session of the caller.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ca/keys/pkcs11/token.h"

namespace signet::ca {

struct TokenObject {
  CK_OBJECT_HANDLE handle = 0;
  std::string label;
  Bytes id;
};

// Objects of this class; those labelled `label` when it is not empty. At most 1,000.
TokenResult FindObjects(const Token::Session& session, CK_OBJECT_CLASS kind,
                        const std::string& label, std::vector<TokenObject>* found);
// The private key with this CKA_ID; 0 when there is none.
TokenResult FindPrivateKey(const Token::Session& session, ByteView id, CK_OBJECT_HANDLE* handle);
// Both objects of a pair.
TokenResult DestroyPair(const Token::Session& session, ByteView id);
// Made in the token: sensitive, not extractable, for signing alone.
TokenResult GeneratePair(const Token::Session& session, const std::string& label, ByteView id,
                         KeyType type);
// The public half as a SubjectPublicKeyInfo; empty when the token describes a key of another kind.
TokenResult ReadSpki(const Token::Session& session, CK_OBJECT_HANDLE public_key, Bytes* spki);
// Whether the private key may leave the token, by the token's own word.
TokenResult ReadExtractable(const Token::Session& session, CK_OBJECT_HANDLE private_key,
                            bool* extractable);

}  // namespace signet::ca
