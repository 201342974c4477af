#include "ca/keys/pkcs11/token.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace signet::ca {
namespace {

struct ResultRow {
  TokenResult result;
  std::string_view name;
  // The session, the login or the token is gone; what was done can be tried with new ones.
  bool connection_lost;
};

constexpr ResultRow kResults[] = {
    {CKR_HOST_MEMORY, "CKR_HOST_MEMORY", false},
    {CKR_GENERAL_ERROR, "CKR_GENERAL_ERROR", true},
    {CKR_FUNCTION_FAILED, "CKR_FUNCTION_FAILED", true},
    {CKR_ARGUMENTS_BAD, "CKR_ARGUMENTS_BAD", false},
    {CKR_ATTRIBUTE_TYPE_INVALID, "CKR_ATTRIBUTE_TYPE_INVALID", false},
    {CKR_DEVICE_ERROR, "CKR_DEVICE_ERROR", true},
    {CKR_DEVICE_MEMORY, "CKR_DEVICE_MEMORY", false},
    {CKR_DEVICE_REMOVED, "CKR_DEVICE_REMOVED", true},
    {CKR_KEY_HANDLE_INVALID, "CKR_KEY_HANDLE_INVALID", true},
    {CKR_MECHANISM_INVALID, "CKR_MECHANISM_INVALID", false},
    {CKR_OBJECT_HANDLE_INVALID, "CKR_OBJECT_HANDLE_INVALID", true},
    {CKR_PIN_INCORRECT, "CKR_PIN_INCORRECT", false},
    {CKR_PIN_LOCKED, "CKR_PIN_LOCKED", false},
    {CKR_SESSION_CLOSED, "CKR_SESSION_CLOSED", true},
    {CKR_SESSION_COUNT, "CKR_SESSION_COUNT", false},
    {CKR_SESSION_HANDLE_INVALID, "CKR_SESSION_HANDLE_INVALID", true},
    {CKR_SLOT_ID_INVALID, "CKR_SLOT_ID_INVALID", true},
    {CKR_TOKEN_NOT_PRESENT, "CKR_TOKEN_NOT_PRESENT", true},
    {CKR_TOKEN_NOT_RECOGNIZED, "CKR_TOKEN_NOT_RECOGNIZED", true},
    {CKR_TOKEN_WRITE_PROTECTED, "CKR_TOKEN_WRITE_PROTECTED", false},
    {CKR_USER_NOT_LOGGED_IN, "CKR_USER_NOT_LOGGED_IN", true},
    {CKR_CRYPTOKI_NOT_INITIALIZED, "CKR_CRYPTOKI_NOT_INITIALIZED", true},
};

const ResultRow* FindRow(TokenResult result) {
  const auto row = std::find_if(std::begin(kResults), std::end(kResults),
                                [&](const ResultRow& one) { return one.result == result; });
  return row == std::end(kResults) ? nullptr : row;
}

bool IsConnectionLost(TokenResult result) {
  const ResultRow* const row = FindRow(result);
  return row != nullptr && row->connection_lost;
}

tl::unexpected<Error> Unusable(std::string detail) {
  return Fail(Code::kUnavailable, kKeyStoreUnusable, std::move(detail));
}

// Labels are padded with blanks to 32 bytes (PKCS#11 v2.40, 3.2).
std::string_view TrimmedLabel(const CK_TOKEN_INFO& info) {
  std::string_view label(reinterpret_cast<const char*>(info.label), sizeof(info.label));
  while (!label.empty() && label.back() == ' ') label.remove_suffix(1);
  return label;
}

}  // namespace

std::string TokenResultName(TokenResult result) {
  const ResultRow* const row = FindRow(result);
  return row == nullptr ? fmt::format("result {:#x}", result)
                        : fmt::format("{} ({:#x})", row->name, result);
}

Token::Token(Pkcs11Settings settings, const SecretBytes& pin)
    : settings_(std::move(settings)), pin_(pin) {}

Result<std::unique_ptr<Token>> Token::Open(const Pkcs11Settings& settings, const SecretBytes& pin) {
  std::unique_ptr<Token> token(new Token(settings, pin));
  SIGNET_RETURN_IF_ERROR(token->Load());
  const std::lock_guard lock(token->mutex_);
  SIGNET_RETURN_IF_ERROR(token->Connect());
  return token;
}

// The library is initialised once a process and never finalised: other users of it in this process
// would lose it.
Token::~Token() {
  if (api_ == nullptr || !connected_) return;
  for (const CK_SESSION_HANDLE session : idle_) api_->C_CloseSession(session);
  api_->C_CloseSession(anchor_);
}

Status Token::Load() {
  library_ = dlopen(settings_.module.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library_ == nullptr) {
    const char* const why = dlerror();
    return Unusable(
        fmt::format("cannot load {}: {}; set key_store.module to the PKCS#11 library "
                    "of your token",
                    settings_.module, why == nullptr ? "no reason given" : why));
  }
  const auto get = reinterpret_cast<CK_C_GetFunctionList>(dlsym(library_, "C_GetFunctionList"));
  if (get == nullptr || get(&api_) != CKR_OK || api_ == nullptr) {
    return Unusable(settings_.module + " is no PKCS#11 library: it has no function list");
  }
  return {};
}

Result<CK_SLOT_ID> Token::FindSlot() {
  CK_ULONG count = 0;
  std::vector<CK_SLOT_ID> slots;
  TokenResult result = api_->C_GetSlotList(CK_TRUE, nullptr, &count);
  if (result == CKR_OK) {
    slots.resize(count);
    result = api_->C_GetSlotList(CK_TRUE, slots.data(), &count);
    slots.resize(result == CKR_OK ? count : 0);
  }
  if (result != CKR_OK) return Unusable("cannot list the slots: " + TokenResultName(result));
  for (const CK_SLOT_ID slot : slots) {
    CK_TOKEN_INFO info{};
    if (api_->C_GetTokenInfo(slot, &info) == CKR_OK && TrimmedLabel(info) == settings_.token)
      return slot;
  }
  return Unusable(
      fmt::format("no token labelled '{}' is present; connect it, or correct "
                  "key_store.token",
                  settings_.token));
}

// All from the start: what was there before counts no more.
Status Token::Connect() {
  if (pin_refused_) {
    return Unusable(fmt::format("token '{}' refused the PIN in {}; correct it and start again",
                                settings_.token, settings_.pin_file));
  }
  CK_C_INITIALIZE_ARGS arguments{};
  arguments.flags = CKF_OS_LOCKING_OK;
  TokenResult result = api_->C_Initialize(&arguments);
  if (result != CKR_OK && result != CKR_CRYPTOKI_ALREADY_INITIALIZED)
    return Unusable("cannot initialise " + settings_.module + ": " + TokenResultName(result));
  for (const CK_SESSION_HANDLE session : idle_) api_->C_CloseSession(session);
  idle_.clear();
  if (connected_) api_->C_CloseSession(anchor_);
  connected_ = false;
  ++epoch_;
  SIGNET_TRY(slot_, FindSlot());
  result =
      api_->C_OpenSession(slot_, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &anchor_);
  if (result != CKR_OK) return Unusable("cannot open a session: " + TokenResultName(result));
  SecretBytes pin = pin_.Reveal();
  result = api_->C_Login(anchor_, CKU_USER, pin.mutable_view().data(), pin.size());
  if (result != CKR_OK && result != CKR_USER_ALREADY_LOGGED_IN) {
    api_->C_CloseSession(anchor_);
    pin_refused_ = result == CKR_PIN_INCORRECT || result == CKR_PIN_LOCKED;
    return Unusable(fmt::format("token '{}' refuses the PIN in {}: {}", settings_.token,
                                settings_.pin_file, TokenResultName(result)));
  }
  connected_ = true;
  return {};
}

Result<Token::Session> Token::Take() {
  std::unique_lock lock(mutex_);
  returned_.wait(lock, [this] { return in_use_ < settings_.sessions; });
  if (!connected_) SIGNET_RETURN_IF_ERROR(Connect());
  Session session{.api = api_, .handle = 0, .epoch = epoch_};
  if (!idle_.empty()) {
    session.handle = idle_.back();
    idle_.pop_back();
  } else if (const TokenResult result = api_->C_OpenSession(
                 slot_, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session.handle);
             result != CKR_OK) {
    if (IsConnectionLost(result)) connected_ = false;
    return Unusable("cannot open a session: " + TokenResultName(result));
  }
  ++in_use_;
  return session;
}

void Token::Return(const Session& session, bool usable) {
  {
    const std::lock_guard lock(mutex_);
    --in_use_;
    if (usable && session.epoch == epoch_) {
      idle_.push_back(session.handle);
    } else {
      api_->C_CloseSession(session.handle);
      // Only who is the first to find it lost says so; the next to come connects again.
      if (!usable && session.epoch == epoch_) connected_ = false;
    }
  }
  returned_.notify_one();
}

Status Token::Run(std::string_view what, const std::function<TokenResult(const Session&)>& work) {
  Status last;
  for (int attempt = 0; attempt < 2; ++attempt) {
    const auto session = Take();
    if (!session) {
      last = Fail(session.error());
      continue;
    }
    const TokenResult result = work(*session);
    const bool lost = IsConnectionLost(result);
    Return(*session, !lost);
    if (result == CKR_OK) return {};
    last = Unusable(
        fmt::format("{} in token '{}': {}", what, settings_.token, TokenResultName(result)));
    if (!lost) break;
  }
  return last;
}

}  // namespace signet::ca
