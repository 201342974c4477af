// The certificate and key of a server of the web, in two PEM files that somebody else renews: read
// again when either changes. A pair that cannot be used leaves the one before in use.
//
// Threads: WebIdentity is safe from any thread.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/log.h"
#include "net/tls.h"

namespace signet::net {

inline constexpr Reason kWebIdentityUnusable{"certificate or key unusable"};

// `key_path`: PKCS#8 or a type's own form, not encrypted, for its owner alone. Fails with
// kWebIdentityUnusable, naming the file; whether the two fit, TlsContext::Create() says.
Result<TlsIdentity> LoadWebIdentity(const std::string& certificate_path,
                                    const std::string& key_path);

class WebIdentity {
 public:
  struct Files {
    std::string certificate;  // leaf first, then intermediates
    std::string key;
  };
  // The context is a server's that asks for no certificate. Fails as LoadWebIdentity() and
  // TlsContext::Create() do.
  static Result<std::unique_ptr<WebIdentity>> Open(Files files, const Clock& clock,
                                                   const Logger& log);
  // What the files hold now, or held when they last could be used. Looks at them at most once in
  // two seconds.
  std::shared_ptr<const TlsContext> Context();

 private:
  // What tells a file from what it was.
  struct Stamp {
    std::int64_t changed_ns = 0;
    std::uint64_t inode = 0;
    std::int64_t size = 0;
    friend bool operator==(const Stamp&, const Stamp&) = default;
  };
  struct Stamps {
    Stamp certificate, key;
    friend bool operator==(const Stamps&, const Stamps&) = default;
  };
  WebIdentity(Files files, const Clock& clock, const Logger& log);
  static Stamp StampOf(const std::string& path);
  Stamps Look() const;
  Status Load();

  const Files files_;
  const Clock& clock_;
  const Logger& log_;
  std::mutex mutex_;
  Stamps seen_;
  SteadyTime next_look_;
  std::shared_ptr<const TlsContext> context_;
};

// Contexts of servers that publish documents: TLS 1.2 or later, HTTP/1.1, no client certificates.
TlsOptions DocumentServerOptions();

}  // namespace signet::net
