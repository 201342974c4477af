// Asking a program on this machine for one document: HTTP over its Unix socket, bounded in time and
// size. Nothing the program said comes back in an error.
//
// Threads: blocks the calling thread.
#pragma once

#include <chrono>
#include <string>

#include "base/result.h"

namespace signet::net {

inline constexpr Reason kLocalAnswerUnusable{"no usable answer"};

struct LocalQuery {
  std::string socket;  // path of the Unix socket
  std::string target;  // "/a/b", of letters that need no escaping
  std::size_t max_body_bytes = std::size_t{1} << 20;
  std::chrono::milliseconds timeout{5000};  // for all of it
};

struct LocalAnswer {
  int status = 0;
  std::string body;
};

// GET. Any status is an answer. Fails with kConnectFailed, or kLocalAnswerUnusable when what comes
// is no HTTP, too long or too late.
Result<LocalAnswer> FetchLocal(const LocalQuery& query);

}  // namespace signet::net
