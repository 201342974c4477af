// Listening sockets that the service manager opened before it started us (systemd's socket
// activation, sd_listen_fds(3)): while we are down, callers wait in them and are not refused.
//
// Nothing is to be configured: ListenTcp() and ListenUnix() use a passed socket whose address is
// the wanted one. It stays the manager's: its file is never unlinked, its owner and mode never
// changed.
//
// Threads: TakePassedSockets() once, before any thread; the others from any thread.
#pragma once

#include <sys/socket.h>

#include <string>

#include "base/file.h"

namespace signet::net {

// Reads LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES and takes them out of the environment. What is no
// listening stream socket is closed. Returns how many there are.
std::size_t TakePassedSockets();

// A descriptor of the passed socket bound to `address`, non-blocking and close-on-exec; invalid
// when there is none. Each call gives another descriptor of the same queue.
UniqueFd PassedListener(const sockaddr* address, socklen_t length);

// Whether the socket file at `path` is one of them.
bool IsPassedPath(const std::string& path);

}  // namespace signet::net
