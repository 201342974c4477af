// How a workload attestor has done lately.
#pragma once

#include <cstdint>
#include <string>

namespace signet::agent {

struct AttestorRecord {
  std::string name;
  std::uint64_t failures = 0;  // since it last answered; 0: it works, or was not asked yet
  std::string error;           // of the last failure; empty with 0 failures
};

}  // namespace signet::agent
