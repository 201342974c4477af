// http_challenge: the node proves that it answers HTTP under a DNS name. The server gives it a
// nonce, calls
// http://<name>:<port>/.well-known/spiffe/nodeattestor/http_challenge/<agent>/challenge, and reads
// it there.
//
// Any user of a host may open a port from 1024 on, so that such a proof counts once per name (TOFU)
// unless only lower ports are allowed.
#pragma once

#include <regex.h>

#include <atomic>

#include "base/log.h"
#include "base/random.h"
#include "identity/attest/attestor.h"
#include "identity/attest/verified.h"
#include "net/http_page.h"

namespace signet::identity {

inline constexpr Reason kPatternMalformed{"malformed pattern"};
inline constexpr Reason kCallbackFailed{"challenge not found at the node"};

// A POSIX extended regular expression that a whole name must match.
class NamePattern {
 public:
  // Fails with kPatternMalformed.
  static Result<NamePattern> Parse(const std::string& text);
  bool Matches(const std::string& name) const;

 private:
  std::shared_ptr<regex_t> compiled_;
};

struct HttpChallengeSettings {
  std::vector<NamePattern> allowed_dns_patterns;  // empty: any name
  std::optional<std::uint16_t> required_port;
  bool allow_non_root_ports = true;
  bool tofu = true;
  // Addresses that are no targets by themselves (net/target.h) and may be called nevertheless.
  std::vector<net::AddressRange> allowed_addresses;

  // Whether a port from 1024 on could be the node's.
  bool OpensNonRootPorts() const {
    return required_port ? *required_port >= 1024 : allow_non_root_ports;
  }
};

// What a node says of itself.
struct HttpChallengeClaim {
  std::string host_name;   // a DNS name or an IPv4 address, not localhost
  std::string agent_name;  // letters, digits and hyphens
  std::uint16_t port = 0;

  // {"hostname", "agentname", "port"}. Fails with kProofMalformed.
  static Result<HttpChallengeClaim> Parse(std::string_view payload);
  std::string Path() const;
};

class HttpChallengeVerifier {
 public:
  struct AnsweringHost {
    std::string host_name;
  };
  using Proven = Verified<AnsweringHost, HttpChallengeVerifier>;

  // What is passed outlives it.
  HttpChallengeVerifier(const HttpChallengeSettings& settings, const net::Resolver& resolve)
      : settings_(settings), resolve_(resolve) {}

  // Fails with kProofInvalid: port or name not allowed.
  Status CheckClaim(const HttpChallengeClaim& claim) const;
  // Calls the node. Fails with kCallbackFailed or as net::FetchPage() does; nothing that the node
  // answered is in the error.
  Result<Proven> CallBack(const HttpChallengeClaim& claim, std::string_view nonce) const;
  Result<NodeAttributes> Describe(const Proven& host, const TrustDomain& trust_domain) const;

 private:
  const HttpChallengeSettings& settings_;
  const net::Resolver& resolve_;
};

class HttpChallengeAttestor final : public NodeAttestor {
 public:
  static constexpr std::string_view kType = "http_challenge";
  // Callbacks at one time; each may hold a worker thread for seconds.
  static constexpr int kMaxCallbacks = 4;

  HttpChallengeAttestor(TrustDomain trust_domain, HttpChallengeSettings settings,
                        net::Resolver resolve, Random& random, const Logger& log)
      : trust_domain_(std::move(trust_domain)),
        settings_(std::move(settings)),
        resolve_(std::move(resolve)),
        random_(random),
        log_(log) {}

  std::string_view type() const override { return kType; }
  std::unique_ptr<Attestation> Begin() const override;

 private:
  class Conversation;
  const TrustDomain trust_domain_;
  const HttpChallengeSettings settings_;
  const net::Resolver resolve_;
  Random& random_;
  const Logger& log_;
  mutable std::atomic<int> callbacks_ = 0;
};

}  // namespace signet::identity
