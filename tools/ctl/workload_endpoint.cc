#include "tools/ctl/workload_endpoint.h"

#include <arpa/inet.h>
#include <fmt/format.h>

namespace signet::ctl {
namespace {

constexpr std::string_view kUnix = "unix:";
constexpr std::string_view kTcp = "tcp://";

tl::unexpected<Error> Malformed(std::string_view address, std::string_view why) {
  return Fail(
      Code::kInvalidArgument, kEndpointMalformed,
      fmt::format("\"{}\": {}; it looks like unix:///run/signet/agent/api.sock", address, why));
}

bool IsPort(std::string_view text) {
  return !text.empty() && text.size() <= 5 && text.find_first_not_of("0123456789") == text.npos &&
         std::stoul(std::string(text)) > 0 && std::stoul(std::string(text)) <= 65535;
}

bool IsNumericHost(std::string host) {
  in6_addr parsed{};
  if (inet_pton(AF_INET, host.c_str(), &parsed) == 1) return true;
  if (host.size() < 2 || host.front() != '[' || host.back() != ']') return false;
  return inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &parsed) == 1;
}

}  // namespace

Result<std::string> ParseWorkloadEndpoint(std::string_view address) {
  if (address.empty()) return Malformed(address, "it is empty");
  if (address.find_first_of("?#") != address.npos)
    return Malformed(address, "a query or fragment has no meaning here");
  if (address.starts_with(kUnix)) {
    std::string_view path = address.substr(kUnix.size());
    if (path.starts_with("//")) path.remove_prefix(2);
    if (path.empty() || path.front() != '/')
      return Malformed(address, "an absolute path must follow, without user or host");
    return fmt::format("unix:{}", path);
  }
  if (!address.starts_with(kTcp)) return Malformed(address, "its scheme is neither unix nor tcp");
  const std::string_view place = address.substr(kTcp.size());
  if (place.find_first_of("/@") != place.npos)
    return Malformed(address, "a TCP address has no user and no path");
  const auto colon = place.rfind(':');
  if (colon == place.npos || !IsPort(place.substr(colon + 1)))
    return Malformed(address, "a TCP address needs a port");
  if (!IsNumericHost(std::string(place.substr(0, colon))))
    return Malformed(address, "the host must be an IP address");
  return std::string(place);
}

}  // namespace signet::ctl
