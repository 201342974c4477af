// How a peer is pinned where the kernel gives no pidfd for a socket (before Linux 6.5). Internal to
// net/, and to its tests, which run on newer kernels too.
#pragma once

#include "net/peer_credentials.h"

namespace signet::net {

// By its number: credentials as of connect(), then a pidfd of whichever process has that number
// now. Between connect() and this the number could have changed hands; whoever has it must still
// show the user and group of the one who connected (the unix attestor asks for that), so what is
// left to a liar is to end, and to be followed under its own number by a process of its own user,
// before the connection is accepted. Fails as ReadPeerCredentials().
Result<PeerCredentials> ReadPeerByNumber(int socket);

}  // namespace signet::net
