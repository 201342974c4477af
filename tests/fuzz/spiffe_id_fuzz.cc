// SPIFFE IDs, trust domains, patterns and selectors from any text: what is accepted prints as it
// was written, stays within its bounds, and its parts make the same value again.
#include <string>

#include "base/check.h"
#include "identity/spiffe/selector.h"
#include "identity/spiffe/spiffe_id.h"

using namespace signet;            // NOLINT: a fuzz target is a program of its own
using namespace signet::identity;  // NOLINT

namespace {

void CheckId(std::string_view text) {
  const auto id = SpiffeId::Parse(text);
  if (!id) {
    CHECK_TRUE(id.error().reason == kSpiffeIdMalformed && id.error().detail.size() < 1024);
    return;
  }
  CHECK_TRUE(text.size() <= kMaxSpiffeIdBytes && id->ToString() == text && !id->empty());
  CHECK_TRUE(TrustDomain::Parse(id->trust_domain().name()).value() == id->trust_domain());
  CHECK_TRUE(TrustDomain::FromNameOrId(text).value() == id->trust_domain());
  CHECK_TRUE(SpiffeId::FromPath(id->trust_domain(), id->path()).value() == *id);
  CHECK_TRUE(SpiffeIdPattern::Parse(text).value().Matches(*id));
}

void CheckPattern(std::string_view text) {
  const auto pattern = SpiffeIdPattern::Parse(text);
  if (!pattern) return;
  CHECK_TRUE(!pattern->Matches(SpiffeId()));
  if (!text.ends_with("/*")) return;
  const std::string base(text.substr(0, text.size() - 2));
  CHECK_TRUE(!pattern->Matches(SpiffeId::Parse(base).value()));
  if (const auto below = SpiffeId::Parse(base + "/x")) CHECK_TRUE(pattern->Matches(*below));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  CheckId(text);
  CheckPattern(text);
  if (const auto name = TrustDomain::Parse(text))
    CHECK_TRUE(name->name() == text && SpiffeId::Parse(name->IdString()).has_value());
  if (const auto selector = Selector::Parse(text)) CHECK_TRUE(selector->ToString() == text);
  return 0;
}
