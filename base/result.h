// Bad news as values. A refusal is a Findings value of its own kind; an operating error is a
// Result; a bug is CHECK (check.h). Nothing of ours throws.
//
// Error codes number as gRPC's, so that a service can answer with them as they are. A Reason is a
// constexpr text declared where it is raised: tests, audit and metrics use it; nobody matches on
// the free text in `detail`.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace signet {

enum class Code : int {
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

std::string_view CodeName(Code code);

// A stable, human-readable cause in lower case, such as "authority key mismatch". Compared by text.
struct Reason {
  std::string_view text;
  friend constexpr bool operator==(const Reason&, const Reason&) = default;
};

struct Error {
  Code code = Code::kUnknown;
  Reason reason;
  std::string detail;  // what happened with which value, and what to do next; never a secret

  // "reason: detail", or either alone.
  std::string Message() const;
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

[[nodiscard]] inline tl::unexpected<Error> Fail(Code code, Reason reason, std::string detail = {}) {
  return tl::unexpected<Error>(Error{code, reason, std::move(detail)});
}
[[nodiscard]] inline tl::unexpected<Error> Fail(Error error) {
  return tl::unexpected<Error>(std::move(error));
}

}  // namespace signet

// SIGNET_TRY(auto x, F()): x is F()'s value, or the enclosing function returns F()'s error.
// SIGNET_RETURN_IF_ERROR(F()): the same for a Status.
#define SIGNET_CONCAT_INNER(a, b) a##b
#define SIGNET_CONCAT(a, b) SIGNET_CONCAT_INNER(a, b)
#define SIGNET_TRY(declaration, expression) \
  SIGNET_TRY_INNER(SIGNET_CONCAT(signet_try_, __LINE__), declaration, expression)
#define SIGNET_TRY_INNER(temporary, declaration, expression)                              \
  auto temporary = (expression);                                                          \
  if (!temporary) return ::tl::unexpected<::signet::Error>(std::move(temporary).error()); \
  declaration = std::move(*temporary)
#define SIGNET_RETURN_IF_ERROR(expression)                                        \
  do {                                                                            \
    if (auto signet_status = (expression); !signet_status)                        \
      return ::tl::unexpected<::signet::Error>(std::move(signet_status).error()); \
  } while (false)
