// DNS names as entries and SVIDs may carry them: what SPIRE accepts, which is more than host names
// (labels may hold underscores, even spaces) and less than anything.
#pragma once

#include <string_view>

#include "base/result.h"

namespace signet::identity {

inline constexpr Reason kDnsNameMalformed{"invalid DNS name"};

// Passes ASCII names of at most 253 bytes in labels of 1 to 63, none beginning or ending with a
// hyphen; "*." may come first, before at least one label. Fails with kDnsNameMalformed, saying
// which rule.
Status CheckDnsName(std::string_view name);

}  // namespace signet::identity
