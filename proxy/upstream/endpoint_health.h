// How one endpoint does, by the requests it was given: how long its answers take (peak EWMA), and
// whether it is left out for a while because it failed too often in a row. One that was left out
// comes back by one request alone, whose outcome decides.
//
// Threads: one worker's. Time is passed in.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/clock.h"
#include "mesh/routes/backend.h"

namespace signet::proxy {

// The latency that a further request is to be expected to have: it rises with the slowest answer at
// once and falls slowly, so that an endpoint's pause is felt before its queue is.
class PeakLatency {
 public:
  explicit PeakLatency(SteadyTime now) : at_(now) {}
  // Seconds. What was never asked is expected to answer in 30 ms at first: it is asked little until
  // it has shown better, and not forgotten.
  double Expected(SteadyTime now) const;
  void Observe(Duration took, SteadyTime now);

 private:
  double seconds_ = 0.03;
  bool asked_ = false;
  SteadyTime at_;
};

class EndpointHealth {
 public:
  enum class State : std::uint8_t {
    kIn,
    kEjected,  // until a time, and then until somebody asks
    kProbing,  // one request is on its way, which decides
  };

  explicit EndpointHealth(SteadyTime now) : latency_(now) {}
  // Whether it may be given a request: not while it is left out, nor beside the one that decides.
  bool Eligible(SteadyTime now) const;
  // A request's way: Begin(), then Answered() if its outcome says something of the endpoint (not
  // when its caller gave up, or a limit of ours was reached), then End(). Begin() answers whether
  // it is the one that decides, which the others are told again.
  bool Begin(SteadyTime now);
  // True when it is left out from now on.
  bool Answered(bool probe, bool well, Duration took, const mesh::OutlierDetection& limits,
                SteadyTime now);
  void End(bool probe);

  State state() const { return state_; }
  std::size_t in_flight() const { return in_flight_; }
  // What a request more would cost, for comparing endpoints.
  double Cost(std::uint32_t weight, SteadyTime now) const;

 private:
  void Eject(const mesh::OutlierDetection& limits, SteadyTime now);

  PeakLatency latency_;
  State state_ = State::kIn;
  std::size_t in_flight_ = 0;
  int failures_ = 0;   // in a row
  int ejections_ = 0;  // without a good while between them
  SteadyTime until_{};
  SteadyTime returned_{};
};

// What active checks say of an endpoint: well until so many in a row said otherwise.
class CheckedHealth {
 public:
  bool well() const { return well_; }
  // True when it changed.
  bool Take(bool well, const mesh::HealthCheck& how) {
    in_a_row_ = well == well_ ? 0 : in_a_row_ + 1;
    if (in_a_row_ < (well_ ? how.unhealthy_threshold : how.healthy_threshold)) return false;
    well_ = well;
    in_a_row_ = 0;
    return true;
  }

 private:
  bool well_ = true;
  int in_a_row_ = 0;  // results that contradict it
};

}  // namespace signet::proxy
