// The CLI's side of a proxy's admin socket: one question, one JSON answer.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tools/ctl/client.h"

namespace signet::ctl {

inline constexpr const char* kDefaultProxySocket = "/run/signet/proxy/admin.sock";

// GET `path` on the socket. Fails with UNAVAILABLE when nobody answers in time or lets us in, and
// with INTERNAL for an answer that is not one of a proxy's; at most 64 MiB are read.
Result<nlohmann::ordered_json> AskProxy(const Connection& connection, const std::string& path);

}  // namespace signet::ctl
