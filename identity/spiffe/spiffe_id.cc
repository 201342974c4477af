#include "identity/spiffe/spiffe_id.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/log.h"

namespace signet::identity {
namespace {

constexpr std::string_view kScheme = "spiffe://";
constexpr std::string_view kBelow = "/*";

bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
bool IsDigitOrMark(char c) { return (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_'; }
bool IsTrustDomainChar(char c) { return IsLower(c) || IsDigitOrMark(c); }         // SPIFFE-ID 2.1
bool IsPathChar(char c) { return IsLower(c) || IsUpper(c) || IsDigitOrMark(c); }  // SPIFFE-ID 2.2

tl::unexpected<Error> Malformed(Reason reason, std::string_view text, std::string_view rule) {
  return Fail(Code::kInvalidArgument, reason,
              fmt::format("\"{}\": {}", EscapeForLog(text, 128), rule));
}

// The rule of SPIFFE-ID 2.1 that `name` breaks; empty: none.
std::string_view TrustDomainFault(std::string_view name) {
  if (name.empty()) return "the trust domain name is empty";
  if (name.size() > kMaxTrustDomainBytes) return "the trust domain name is longer than 255 bytes";
  if (std::ranges::any_of(name, IsUpper)) return "a trust domain name is lower case";
  if (!std::ranges::all_of(name, IsTrustDomainChar))
    return "a trust domain name holds only a-z, 0-9, '.', '-' and '_'";
  return {};
}

// The rule of SPIFFE-ID 2.2 that one segment breaks; empty: none.
std::string_view SegmentFault(std::string_view segment) {
  if (segment.empty()) return "the path has an empty segment or ends with a slash";
  if (segment == "." || segment == "..") return "the path has a '.' or '..' segment";
  if (!std::ranges::all_of(segment, IsPathChar))
    return "a path segment holds only letters, digits, '.', '-' and '_'";
  return {};
}

std::string_view PathFault(std::string_view path) {
  if (path.empty()) return {};
  if (path.front() != '/') return "the path must start with a slash";
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    const std::string_view segment = path.substr(0, path.find('/'));
    if (const std::string_view fault = SegmentFault(segment); !fault.empty()) return fault;
    path.remove_prefix(segment.size());
  }
  return {};
}

}  // namespace

Result<TrustDomain> TrustDomain::Parse(std::string_view name) {
  if (const std::string_view fault = TrustDomainFault(name); !fault.empty())
    return Malformed(kTrustDomainMalformed, name, fault);
  return TrustDomain(std::string(name));
}

Result<TrustDomain> TrustDomain::FromNameOrId(std::string_view text) {
  if (!text.starts_with(kScheme)) return Parse(text);
  auto id = SpiffeId::Parse(text);
  if (!id) return Fail(Code::kInvalidArgument, kTrustDomainMalformed, id.error().detail);
  return id->trust_domain();
}

std::string TrustDomain::IdString() const { return std::string(kScheme) + name_; }

Result<SpiffeId> SpiffeId::Parse(std::string_view text) {
  if (text.size() > kMaxSpiffeIdBytes)
    return Malformed(kSpiffeIdMalformed, text, "the ID is longer than 2048 bytes");
  if (!text.starts_with(kScheme))
    return Malformed(kSpiffeIdMalformed, text, "a SPIFFE ID starts with \"spiffe://\"");
  const std::string_view rest = text.substr(kScheme.size());
  const std::string_view name = rest.substr(0, rest.find('/'));
  const std::string_view path = rest.substr(name.size());
  if (const std::string_view fault = TrustDomainFault(name); !fault.empty())
    return Malformed(kSpiffeIdMalformed, text, fault);
  if (const std::string_view fault = PathFault(path); !fault.empty())
    return Malformed(kSpiffeIdMalformed, text, fault);
  SIGNET_TRY(TrustDomain trust_domain, TrustDomain::Parse(name));
  return SpiffeId(std::move(trust_domain), std::string(path));
}

Result<SpiffeId> SpiffeId::FromPath(const TrustDomain& trust_domain, std::string_view path) {
  if (trust_domain.empty())
    return Malformed(kSpiffeIdMalformed, path, "the trust domain name is empty");
  SIGNET_RETURN_IF_ERROR(CheckPath(path));
  if (kScheme.size() + trust_domain.name().size() + path.size() > kMaxSpiffeIdBytes)
    return Malformed(kSpiffeIdMalformed, path, "the ID is longer than 2048 bytes");
  return SpiffeId(trust_domain, std::string(path));
}

Result<SpiffeId> SpiffeId::FromSegments(const TrustDomain& trust_domain,
                                        std::span<const std::string> segments) {
  std::string path;
  for (const std::string& segment : segments) {
    if (const std::string_view fault = SegmentFault(segment); !fault.empty())
      return Malformed(kSpiffeIdMalformed, segment, fault);
    path += '/';
    path += segment;
  }
  return FromPath(trust_domain, path);
}

std::string SpiffeId::ToString() const { return trust_domain_.IdString() + path_; }

Status CheckPath(std::string_view path) {
  if (const std::string_view fault = PathFault(path); !fault.empty())
    return Malformed(kSpiffeIdMalformed, path, fault);
  return {};
}

SpiffeId ServerId(const TrustDomain& trust_domain) {
  auto id = SpiffeId::FromPath(trust_domain, "/spire/server");
  CHECK_TRUE(id.has_value());
  return std::move(*id);
}

Result<SpiffeId> AgentId(const TrustDomain& trust_domain, std::string_view attestor,
                         std::string_view suffix) {
  return SpiffeId::FromPath(trust_domain, fmt::format("/spire/agent/{}/{}", attestor, suffix));
}

bool IsReservedPath(std::string_view path) {
  return path == "/spire" || path.starts_with("/spire/");
}

bool IsAgentPath(std::string_view path) { return path.starts_with("/spire/agent/"); }

Result<SpiffeIdPattern> SpiffeIdPattern::Parse(std::string_view text) {
  SpiffeIdPattern pattern;
  std::string_view id = text;
  pattern.kind_ = Kind::kExact;
  if (text.ends_with(kBelow)) {
    pattern.kind_ = Kind::kPrefix;
    id.remove_suffix(kBelow.size());
  }
  if (id.find('*') != std::string_view::npos)
    return Malformed(kSpiffeIdMalformed, text,
                     "a pattern may only end in \"/*\", which stands for every ID below");
  SIGNET_TRY(pattern.id_, SpiffeId::Parse(id));
  pattern.text_ = std::string(text);
  return pattern;
}

bool SpiffeIdPattern::Matches(const SpiffeId& id) const {
  if (id.empty()) return false;
  switch (kind_) {
    case Kind::kNothing:
      return false;
    case Kind::kExact:
      return id == id_;
    case Kind::kPrefix:
      return id.trust_domain() == id_.trust_domain() && id.path().size() > id_.path().size() + 1 &&
             id.path().starts_with(id_.path()) && id.path()[id_.path().size()] == '/';
  }
  return false;
}

}  // namespace signet::identity
