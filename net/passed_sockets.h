// Listening sockets that the service manager opened before it started us (systemd's socket
// activation, sd_listen_fds(3)): while we are down, callers wait in them and are not refused.
//
// The other way they come is from the process that this one replaces: it gave us what it listens on
// (GiveListeners()), and whoever waits there now is served by us.
//
// Nothing is to be configured: ListenTcp() and ListenUnix() use a passed socket whose address is
// the wanted one. It stays the manager's: its file is never unlinked, its owner and mode never
// changed.
//
// Threads: TakePassedSockets() once, before any thread; the others are for one controlling thread
// at a time.
#pragma once

#include <sys/socket.h>

#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace signet::net {

// Reads LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES, or what a predecessor says, and takes them out
// of the environment. What is no listening stream socket is closed. Returns how many there are.
std::size_t TakePassedSockets();

// A descriptor of the passed socket bound to `address`, non-blocking and close-on-exec; invalid
// when there is none. Each call gives another descriptor; of several queues at one address
// (SO_REUSEPORT) each is given before one is given again.
UniqueFd PassedListener(const sockaddr* address, socklen_t length);

// Whether the socket file at `path` is one of them.
bool IsPassedPath(const std::string& path);

// The most queues that were passed for one address: fewer takers would leave callers unheard.
std::size_t MostPassedQueues();

// ---- one process after another

// Where to write a byte once this process serves; invalid: it replaces nobody, or that was asked
// for already.
UniqueFd TakePredecessor();
// Once this process has opened all it listens on: what a predecessor gave and nobody took is
// closed, and what was taken is ours like any other.
void CloseGiven();

struct ListenerGift {
  std::string variable;               // of the successor's environment
  std::vector<UniqueFd> descriptors;  // to be its 3, 4, …
  UniqueFd ready;                     // gives a byte when it serves, the end when it never will
};
// All that this process listens on, by the kernel's word. Fails with kListenFailed.
Result<ListenerGift> GiveListeners();
// They belong to the successor now: RemoveSocketFile() removes nothing any more.
void LeaveSocketFiles();
bool SocketFilesAreLeft();

}  // namespace signet::net
