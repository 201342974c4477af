// RFC 5280, 4.2.1.10: the names below an authority against the name constraints in its certificate.
// Subject common names are not host names here.
//
// Threads: pure functions.
#pragma once

#include <span>

#include "ca/x509/certificate.h"

namespace signet::ca {

// What all constraints of one search for a path may cost together.
struct NameComparisonBudget {
  std::size_t left = 1U << 15;
};

// `path` is leaf first; its last certificate is the authority whose constraints are applied to all
// others, but for self-issued ones that are not the leaf (6.1.3 (b) and (c)). No constraints, no
// fault.
//
// Stricter than comparing texts: constraints that constrain nothing are refused, and where DNS
// names are constrained, so are DNS names with an empty label and wildcards that reach into an
// excluded subtree (CVE-2025-61727).
//
// Fails with kPathInvalid (path.h).
Status CheckNameConstraints(std::span<const Certificate* const> path, NameComparisonBudget* budget);

}  // namespace signet::ca
