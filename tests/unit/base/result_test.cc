#include "base/result.h"

#include <catch2/catch.hpp>
#include <memory>

namespace signet {
namespace {

constexpr Reason kTooBig{"too big"};

Result<int> Halve(int number) {
  if (number > 100) return Fail(Code::kOutOfRange, kTooBig, std::to_string(number));
  return number / 2;
}

Result<std::unique_ptr<int>> HalveTwice(int number) {
  SIGNET_TRY(const int once, Halve(number));
  SIGNET_TRY(const int twice, Halve(once));
  return std::make_unique<int>(twice);
}

Status CheckHalf(int number, bool* reached) {
  SIGNET_RETURN_IF_ERROR(Halve(number));
  *reached = true;
  return {};
}

TEST_CASE("SIGNET_TRY gives the value or returns the error as it is") {
  CHECK(**HalveTwice(40) == 10);
  const auto failed = HalveTwice(400);
  REQUIRE_FALSE(failed);
  CHECK(failed.error().code == Code::kOutOfRange);
  CHECK(failed.error().reason == kTooBig);
  CHECK(failed.error().detail == "400");
}

TEST_CASE("SIGNET_RETURN_IF_ERROR goes on after success only") {
  bool reached = false;
  CHECK_FALSE(CheckHalf(400, &reached));
  CHECK_FALSE(reached);
  CHECK(CheckHalf(4, &reached));
  CHECK(reached);
}

TEST_CASE("an error's message has what there is of reason and detail") {
  CHECK(Error{Code::kUnknown, kTooBig, "400"}.Message() == "too big: 400");
  CHECK(Error{Code::kUnknown, kTooBig, ""}.Message() == "too big");
  CHECK(Error{Code::kUnknown, {}, "400"}.Message() == "400");
}

TEST_CASE("codes have gRPC's numbers and names") {
  CHECK(static_cast<int>(Code::kInvalidArgument) == 3);
  CHECK(static_cast<int>(Code::kUnauthenticated) == 16);
  CHECK(CodeName(Code::kInvalidArgument) == "INVALID_ARGUMENT");
  CHECK(CodeName(Code::kPermissionDenied) == "PERMISSION_DENIED");
  CHECK(CodeName(static_cast<Code>(99)) == "UNKNOWN");
}

TEST_CASE("reasons compare by text") {
  const std::string same = "too big";
  CHECK(kTooBig == Reason{same});
  CHECK(kTooBig != Reason{"too small"});
}

}  // namespace
}  // namespace signet
