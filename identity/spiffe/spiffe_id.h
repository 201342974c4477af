// SPIFFE IDs and trust domains as values (SPIFFE-ID, sections 2 and 2.1-2.4). Parsing is strict and
// never normalises: what was accepted prints as it was written, and IDs compare as bytes.
#pragma once

#include <compare>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace signet::identity {

inline constexpr Reason kSpiffeIdMalformed{"malformed SPIFFE ID"};
inline constexpr Reason kTrustDomainMalformed{"malformed trust domain name"};

inline constexpr std::size_t kMaxSpiffeIdBytes = 2048;    // SPIFFE-ID 2.3
inline constexpr std::size_t kMaxTrustDomainBytes = 255;  // SPIFFE-ID 2.3

// A trust domain name such as "example.org". Never empty once parsed; a default one names nothing
// and equals no parsed one.
class TrustDomain {
 public:
  TrustDomain() = default;
  // Takes the bare name ("example.org"). Fails with kTrustDomainMalformed, saying which rule.
  static Result<TrustDomain> Parse(std::string_view name);
  // Takes the name or an ID of the domain ("spiffe://example.org", "spiffe://example.org/x"), as
  // configuration and SPIRE's API do.
  static Result<TrustDomain> FromNameOrId(std::string_view text);

  const std::string& name() const { return name_; }
  bool empty() const { return name_.empty(); }
  // "spiffe://example.org".
  std::string IdString() const;

  friend auto operator<=>(const TrustDomain&, const TrustDomain&) = default;

 private:
  explicit TrustDomain(std::string name) : name_(std::move(name)) {}
  std::string name_;
};

// "spiffe://example.org/path". The path is empty (the trust domain's own ID) or starts with a
// slash.
class SpiffeId {
 public:
  SpiffeId() = default;
  // Fails with kSpiffeIdMalformed, saying which rule.
  static Result<SpiffeId> Parse(std::string_view text);
  // `path` is empty or "/a/b". Fails with kSpiffeIdMalformed.
  static Result<SpiffeId> FromPath(const TrustDomain& trust_domain, std::string_view path);
  static Result<SpiffeId> FromSegments(const TrustDomain& trust_domain,
                                       std::span<const std::string> segments);

  const TrustDomain& trust_domain() const { return trust_domain_; }
  const std::string& path() const { return path_; }
  std::string ToString() const;
  bool empty() const { return trust_domain_.empty(); }
  bool IsMemberOf(const TrustDomain& trust_domain) const { return trust_domain_ == trust_domain; }

  friend auto operator<=>(const SpiffeId&, const SpiffeId&) = default;

 private:
  SpiffeId(TrustDomain trust_domain, std::string path)
      : trust_domain_(std::move(trust_domain)), path_(std::move(path)) {}
  TrustDomain trust_domain_;
  std::string path_;
};

// Checks a path alone: "" or "/seg/seg". Fails with kSpiffeIdMalformed.
Status CheckPath(std::string_view path);

// The well-known IDs of a trust domain, as SPIRE names them.
SpiffeId ServerId(const TrustDomain& trust_domain);  // /spire/server
Result<SpiffeId> AgentId(const TrustDomain& trust_domain, std::string_view attestor,
                         std::string_view suffix);  // /spire/agent/<attestor>/<suffix>
// True for "/spire/agent/…" and "/spire/server"; entries may not use the reserved space "/spire".
bool IsReservedPath(std::string_view path);
bool IsAgentPath(std::string_view path);

// An exact ID, a path-segment prefix ("spiffe://td/a/*": IDs below /a, not /a itself nor /ab) or a
// whole trust domain ("spiffe://td/*"). A default pattern matches nothing.
class SpiffeIdPattern {
 public:
  SpiffeIdPattern() = default;
  static Result<SpiffeIdPattern> Parse(std::string_view text);
  bool Matches(const SpiffeId& id) const;
  const std::string& text() const { return text_; }

 private:
  enum class Kind { kNothing, kExact, kPrefix };
  Kind kind_ = Kind::kNothing;
  SpiffeId id_;  // exact; or the prefix
  std::string text_;
};

}  // namespace signet::identity

template <>
struct std::hash<signet::identity::SpiffeId> {
  std::size_t operator()(const signet::identity::SpiffeId& id) const noexcept {
    return std::hash<std::string>()(id.path()) * 31 +
           std::hash<std::string>()(id.trust_domain().name());
  }
};
