// Any bytes as a response, in pieces of any size: the verdict does not depend on how they are cut,
// and a body never exceeds its bound.
#include <string_view>

#include "base/check.h"
#include "net/http_response.h"

namespace {

using signet::net::HttpResponseReader;
using signet::net::ResponseStatus;

constexpr std::size_t kMaxBody = 512;

struct Outcome {
  ResponseStatus status = ResponseStatus::kIncomplete;
  int code = 0;
  std::string body;
};

Outcome Read(std::string_view bytes, std::size_t piece) {
  HttpResponseReader reader(kMaxBody);
  Outcome outcome;
  while (!bytes.empty() && outcome.status == ResponseStatus::kIncomplete) {
    const auto part = bytes.substr(0, piece);
    bytes.remove_prefix(part.size());
    outcome.status = reader.Add(part);
  }
  if (outcome.status == ResponseStatus::kIncomplete) outcome.status = reader.End();
  outcome.code = reader.status();
  outcome.body = reader.TakeBody();
  CHECK_TRUE(outcome.body.size() <= kMaxBody);
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Outcome whole = Read(bytes, bytes.size());
  const Outcome cut = Read(bytes, data[0] + 1U);
  if (whole.status != ResponseStatus::kComplete) return 0;
  CHECK_TRUE(cut.status == ResponseStatus::kComplete && cut.code == whole.code);
  CHECK_TRUE(cut.body == whole.body && whole.code >= 200 && whole.code <= 599);
  return 0;
}
