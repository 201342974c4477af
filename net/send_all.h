// Sending on a non-blocking stream socket until all is taken. Internal to net/.
#pragma once

#include <string_view>

#include "net/deadline.h"

namespace signet::net {

enum class SendEnd { kSent, kLate, kClosed };

// Waits for room as long as `deadline` allows.
SendEnd SendAll(int fd, std::string_view bytes, const Deadline& deadline);

}  // namespace signet::net
