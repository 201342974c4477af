#include "mesh/routes/route_action.h"

#include <fmt/format.h>

namespace signet::mesh {
namespace {

// What is left of `path` behind its first `count` segments: empty or from a slash on.
std::string_view AfterSegments(std::string_view path, std::size_t count) {
  for (; count > 0 && !path.empty(); --count) {
    const std::size_t next = path.find('/', 1);
    path = next == std::string_view::npos ? std::string_view() : path.substr(next);
  }
  return path;
}

// "[::1]:80" and "a.example.org:80" -> the part before the port.
std::string_view WithoutPort(std::string_view authority) {
  const std::size_t colon = authority.rfind(':');
  if (colon == std::string_view::npos || authority.ends_with(']')) return authority;
  return authority.substr(0, colon);
}

std::string_view PortOf(std::string_view authority) {
  const std::string_view name = WithoutPort(authority);
  return name.size() == authority.size() ? std::string_view() : authority.substr(name.size() + 1);
}

bool IsDefaultPort(std::string_view scheme, std::string_view port) {
  return (scheme == "http" && port == "80") || (scheme == "https" && port == "443");
}

}  // namespace

std::string EditTarget(const PathEdit& edit, const RouteMatch& match, std::string_view target) {
  if (edit.type == PathEdit::Type::kKeep) return std::string(target);
  const std::string_view path = PathOf(target);
  const std::string_view query = target.substr(path.size());
  if (edit.type == PathEdit::Type::kReplaceFullPath) return edit.value + std::string(query);
  std::string made = edit.value;
  if (made.ends_with('/')) made.pop_back();
  made += AfterSegments(path, match.path.segments());
  if (made.empty()) made = "/";
  return made.append(query);
}

std::string RedirectLocation(const Redirect& redirect, const RouteMatch& match,
                             std::string_view scheme, std::string_view authority,
                             std::string_view target) {
  const std::string path = EditTarget(redirect.path, match, target);
  const std::string_view to_scheme = redirect.scheme.empty() ? scheme : redirect.scheme;
  const std::string_view host =
      redirect.hostname.empty() ? WithoutPort(authority) : redirect.hostname;
  if (host.empty()) return path;
  // A port that was not named goes with its scheme: kept only where that stays.
  const std::string port = redirect.port != 0        ? fmt::format("{}", redirect.port)
                           : redirect.scheme.empty() ? std::string(PortOf(authority))
                                                     : std::string();
  return port.empty() || IsDefaultPort(to_scheme, port)
             ? fmt::format("{}://{}{}", to_scheme, host, path)
             : fmt::format("{}://{}:{}{}", to_scheme, host, port, path);
}

const BackendRef* PickBackend(const RouteRule& rule, std::uint64_t random) {
  if (rule.total_weight == 0) return nullptr;
  std::uint64_t at = random % rule.total_weight;
  for (const BackendRef& backend : rule.backends) {
    if (at < backend.weight) return &backend;
    at -= backend.weight;
  }
  return nullptr;
}

}  // namespace signet::mesh
