// What `signet agent status` prints, from what the agent answers.
#pragma once

#include <cstdint>
#include <string>

#include "signet/node/v1/node.pb.h"

namespace signet::ctl {

std::string NodeStatusJson(const signet::node::v1::GetStatusResponse& status);
// `now`: Unix seconds, to which times are told.
std::string NodeStatusText(const signet::node::v1::GetStatusResponse& status, std::int64_t now);

}  // namespace signet::ctl
