#include "identity/spiffe/selector.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"

namespace signet::identity {

Result<Selector> Selector::Parse(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == text.size())
    return Fail(Code::kInvalidArgument, kSelectorMalformed,
                fmt::format("\"{}\": write it as type:value, such as unix:uid:1000",
                            EscapeForLog(text, 128)));
  return Selector{std::string(text.substr(0, colon)), std::string(text.substr(colon + 1))};
}

SelectorSet MakeSelectorSet(std::vector<Selector> selectors) {
  std::ranges::sort(selectors);
  const auto repeated = std::ranges::unique(selectors);
  selectors.erase(repeated.begin(), repeated.end());
  return selectors;
}

bool IsSubset(const SelectorSet& needed, const SelectorSet& held) {
  return std::ranges::includes(held, needed);
}

}  // namespace signet::identity
