// Connecting to one address, whatever led there. Internal to net/.
#pragma once

#include "net/address.h"
#include "net/deadline.h"

namespace signet::net {

// A non-blocking, close-on-exec socket with TCP_NODELAY. Fails with kConnectFailed.
Result<UniqueFd> ConnectTo(const SocketAddress& address, const Deadline& deadline);

}  // namespace signet::net
