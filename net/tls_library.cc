#include "net/tls_library.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "net/tls.h"
#include "net/tls_internal.h"

namespace signet::net {
namespace {

constexpr char kProviderName[] = "signet-tls";
constexpr int kOperations = OSSL_OP__HIGHEST + 1;

// The first of an algorithm's names, "EC:id-ecPublicKey:1.2.840.10045.2.1".
std::string_view FirstName(const OSSL_ALGORITHM& algorithm) {
  const std::string_view names = algorithm.algorithm_names;
  return names.substr(0, names.find(':'));
}

bool ReadsPublicKeyInfo(const OSSL_ALGORITHM& decoder) {
  const std::string_view properties = decoder.property_definition;
  return properties.find("input=der") != std::string_view::npos &&
         properties.find("structure=SubjectPublicKeyInfo") != std::string_view::npos;
}

// What TLS 1.3 as tls_context.cc sets it up needs, and no more: OpenSSL walks all it holds for
// every key it decodes. A peer's key may be of any curve and size.
struct Needed {
  int operation;
  std::string_view name;
};
constexpr auto kNeeded = std::to_array<Needed>({
    {OSSL_OP_DIGEST, "SHA1"},  // names certificates inside OpenSSL
    {OSSL_OP_DIGEST, "SHA2-256"},    {OSSL_OP_DIGEST, "SHA2-384"},
    {OSSL_OP_DIGEST, "SHA2-512"},    {OSSL_OP_CIPHER, "AES-128-GCM"},
    {OSSL_OP_CIPHER, "AES-256-GCM"}, {OSSL_OP_CIPHER, "ChaCha20-Poly1305"},
    {OSSL_OP_MAC, "HMAC"},           {OSSL_OP_KDF, "HKDF"},
    {OSSL_OP_KDF, "TLS13-KDF"},      {OSSL_OP_RAND, "CTR-DRBG"},
    {OSSL_OP_RAND, "SEED-SRC"},      {OSSL_OP_KEYMGMT, "EC"},
    {OSSL_OP_KEYMGMT, "RSA"},        {OSSL_OP_KEYMGMT, "RSA-PSS"},
    {OSSL_OP_KEYMGMT, "ED25519"},    {OSSL_OP_KEYMGMT, "X25519"},
    {OSSL_OP_KEYEXCH, "ECDH"},       {OSSL_OP_KEYEXCH, "X25519"},
    {OSSL_OP_SIGNATURE, "ECDSA"},    {OSSL_OP_SIGNATURE, "RSA"},
    {OSSL_OP_SIGNATURE, "ED25519"},  {OSSL_OP_DECODER, "EC"},
    {OSSL_OP_DECODER, "RSA"},        {OSSL_OP_DECODER, "RSA-PSS"},
    {OSSL_OP_DECODER, "ED25519"},
});

bool IsOffered(int operation, const OSSL_ALGORITHM& algorithm) {
  const auto is_it = [&](const Needed& needed) {
    return needed.operation == operation && needed.name == FirstName(algorithm);
  };
  return std::ranges::any_of(kNeeded, is_it) &&
         (operation != OSSL_OP_DECODER || ReadsPublicKeyInfo(algorithm));
}

// The tables of what is offered, by operation, each closed by an empty row. They are the same for
// all library contexts of a process: the default provider's own tables are constants of libcrypto.
struct Offer {
  OSSL_LIB_CTX* context = OSSL_LIB_CTX_new();
  OSSL_PROVIDER* source = OSSL_PROVIDER_load(context, "default");
  std::array<std::vector<OSSL_ALGORITHM>, kOperations> tables;

  Offer() {
    if (source == nullptr) return;
    for (int operation = 1; operation < kOperations; ++operation) {
      auto& table = tables[static_cast<std::size_t>(operation)];
      int no_cache = 0;
      const OSSL_ALGORITHM* row = OSSL_PROVIDER_query_operation(source, operation, &no_cache);
      for (; row != nullptr && row->algorithm_names != nullptr; ++row)
        if (IsOffered(operation, *row)) table.push_back(*row);
      table.push_back({});
    }
  }
};

// Lives as long as the process, like the tables of libcrypto it points into.
const Offer& TheOffer() {
  static const Offer* const offer = new Offer;
  return *offer;
}

const OSSL_ALGORITHM* OnQueryOperation(void*, int operation, int* no_cache) {
  *no_cache = 0;
  if (operation <= 0 || operation >= kOperations) return nullptr;
  return TheOffer().tables[static_cast<std::size_t>(operation)].data();
}

// Groups and their codes for TLS; they say nothing of a library context.
int OnGetCapabilities(void*, const char* capability, OSSL_CALLBACK* callback, void* argument) {
  return OSSL_PROVIDER_get_capabilities(TheOffer().source, capability, callback, argument);
}

template <class Function>
constexpr OSSL_DISPATCH Entry(int id, Function* function) {
  return {id, reinterpret_cast<void (*)()>(function)};
}

// OnInit() has no argument of its own. OSSL_PROVIDER_load() calls it before it returns, on the same
// thread.
thread_local OSSL_PROVIDER* loading_source = nullptr;

// The default provider's functions get the default provider's context: they are its own.
int OnInit(const OSSL_CORE_HANDLE*, const OSSL_DISPATCH*, const OSSL_DISPATCH** functions,
           void** provider_context) {
  static const std::array<OSSL_DISPATCH, 3> kFunctions{
      Entry(OSSL_FUNC_PROVIDER_QUERY_OPERATION, OnQueryOperation),
      Entry(OSSL_FUNC_PROVIDER_GET_CAPABILITIES, OnGetCapabilities), OSSL_DISPATCH{0, nullptr}};
  if (loading_source == nullptr || TheOffer().source == nullptr) return 0;
  *functions = kFunctions.data();
  *provider_context = OSSL_PROVIDER_get0_provider_ctx(loading_source);
  return 1;
}

}  // namespace

OSSL_PROVIDER* LoadFilterProvider(OSSL_LIB_CTX* into, OSSL_PROVIDER* source) {
  if (OSSL_PROVIDER_add_builtin(into, kProviderName, OnInit) != 1) return nullptr;
  loading_source = source;
  OSSL_PROVIDER* const loaded = OSSL_PROVIDER_load(into, kProviderName);
  loading_source = nullptr;
  return loaded;
}

Result<std::shared_ptr<const TlsLibrary>> TlsLibrary::Create() {
  ERR_clear_error();
  std::shared_ptr<TlsLibrary> library(new TlsLibrary);
  library->algorithms_ = OSSL_LIB_CTX_new();
  library->handle_ = OSSL_LIB_CTX_new();
  if (library->algorithms_ != nullptr && library->handle_ != nullptr)
    library->source_ = OSSL_PROVIDER_load(library->algorithms_, "default");
  if (library->source_ != nullptr)
    library->filter_ = LoadFilterProvider(library->handle_, library->source_);
  if (library->filter_ == nullptr)
    return Fail(Code::kInvalidArgument, kTlsContextFailed, "library context: " + TakeSslError());
  return std::shared_ptr<const TlsLibrary>(std::move(library));
}

TlsLibrary::~TlsLibrary() {
  // The filter's algorithms work inside the other context: that one goes last.
  if (filter_ != nullptr) OSSL_PROVIDER_unload(filter_);
  OSSL_LIB_CTX_free(handle_);
  if (source_ != nullptr) OSSL_PROVIDER_unload(source_);
  OSSL_LIB_CTX_free(algorithms_);
}

}  // namespace signet::net
