// One PKCS#11 token behind our own names: the vendor's library loaded, the token found by its
// label, logged in, sessions pooled, and all of it made anew when the token went away. The folder
// ca/keys/pkcs11 is the only one that knows PKCS#11.
//
// Threads: safe from any thread.
#pragma once

#include <p11-kit/pkcs11.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "ca/keys/pkcs11/pkcs11_key_store.h"

namespace signet::ca {

// What a call into the token ended with; CKR_OK is success.
using TokenResult = CK_RV;

class Token {
 public:
  static Result<std::unique_ptr<Token>> Open(const Pkcs11Settings& settings,
                                             const SecretBytes& pin);
  ~Token();
  Token(const Token&) = delete;
  Token& operator=(const Token&) = delete;

  // A session at work: the functions, the session, and a number that changes whenever object
  // handles of before count no more.
  struct Session {
    CK_FUNCTION_LIST* api = nullptr;
    CK_SESSION_HANDLE handle = 0;
    std::uint64_t epoch = 0;
  };
  // Runs `work` in a session. When its result says that the session, the login or the token is
  // gone, everything is made anew and `work` runs once more. Fails with kKeyStoreUnusable, naming
  // `what` and the result.
  Status Run(std::string_view what, const std::function<TokenResult(const Session&)>& work);

 private:
  Token(Pkcs11Settings settings, const SecretBytes& pin);
  Status Load();
  Status Connect();               // mutex_ held
  Result<CK_SLOT_ID> FindSlot();  // mutex_ held
  Result<Session> Take();
  void Return(const Session& session, bool usable);

  const Pkcs11Settings settings_;
  const KeptSecret pin_;
  void* library_ = nullptr;
  CK_FUNCTION_LIST* api_ = nullptr;
  std::mutex mutex_;
  std::condition_variable returned_;
  bool connected_ = false;
  bool pin_refused_ = false;  // not tried again: tokens lock themselves after some wrong ones
  CK_SLOT_ID slot_ = 0;
  std::uint64_t epoch_ = 0;
  std::size_t in_use_ = 0;
  CK_SESSION_HANDLE anchor_ = 0;  // keeps the login while the others come and go
  std::vector<CK_SESSION_HANDLE> idle_;
};

// "CKR_TOKEN_NOT_PRESENT (0xe0)", or the number alone.
std::string TokenResultName(TokenResult result);

}  // namespace signet::ca
