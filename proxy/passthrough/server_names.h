// Where a listener with `protocol: tls-passthrough` leads: by the server name that a foreign TLS
// client asks for. Names that are not listed lead nowhere.
//
// Threads: values.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "mesh/ip_range.h"
#include "net/address.h"

namespace signet::proxy {

struct ServerNameRule {
  std::vector<std::string> names;  // "db.example.org", or "*.example.org": names below, not itself
  std::vector<mesh::IpRange> sources;  // empty: from anywhere
  net::Address forward;
};

// Reads `server_names` of a listener whose own `forward` counts where an element has none. Names
// are in lower case afterwards, and each stands once.
std::vector<ServerNameRule> ReadServerNames(ConfigMap& listener, const net::Address& forward);

// The index of the rule for `name` (in lower case, without a trailing dot) called from `source`:
// the exact name, else the longest "*." that covers it. Absent: it leads nowhere.
std::optional<std::size_t> FindServerName(const std::vector<ServerNameRule>& rules,
                                          std::string_view name, const mesh::IpAddress& source);

}  // namespace signet::proxy
