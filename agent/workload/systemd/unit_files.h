// Which file a unit of systemd was read from: asked over the bus.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/result.h"

namespace signet::agent {

inline constexpr Reason kBusAway{"systemd does not answer on the bus"};

class UnitFiles {
 public:
  virtual ~UnitFiles() = default;
  // Empty: the unit has no file (a scope). Blocks at most about `timeout`. Called by several
  // threads at once. Fails with kBusAway.
  virtual Result<std::string> FragmentPath(const std::string& unit,
                                           std::chrono::microseconds timeout) = 0;
};

// `address`: of the bus, as D-Bus writes it; empty: the system's bus. Each question has a
// connection of its own: systemd may be restarted, and the bus too.
std::unique_ptr<UnitFiles> MakeBusUnitFiles(std::string address = {});

}  // namespace signet::agent
