#include "proxy/upstream/endpoint_health.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace signet::proxy {
namespace {

constexpr double kDecaySeconds = 10;
// A failure is quick to come by: taken at its word it would attract what fails next.
constexpr Duration kFailureTakes = std::chrono::seconds(1);

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

double PeakLatency::Expected(SteadyTime now) const {
  return seconds_ * std::exp(-std::max(0.0, Seconds(now - at_)) / kDecaySeconds);
}

void PeakLatency::Observe(Duration took, SteadyTime now) {
  const double seconds = Seconds(took);
  if (seconds >= seconds_ || !std::exchange(asked_, true)) {
    seconds_ = seconds;
  } else {
    const double kept = std::exp(-std::max(0.0, Seconds(now - at_)) / kDecaySeconds);
    seconds_ = seconds_ * kept + seconds * (1 - kept);
  }
  at_ = now;
}

bool EndpointHealth::Eligible(SteadyTime now) const {
  switch (state_) {
    case State::kIn:
      return true;
    case State::kEjected:
      return now >= until_;
    case State::kProbing:
      return false;
  }
  return false;
}

bool EndpointHealth::Begin(SteadyTime now) {
  ++in_flight_;
  if (state_ != State::kEjected || now < until_) return false;
  state_ = State::kProbing;
  return true;
}

void EndpointHealth::Eject(const mesh::OutlierDetection& limits, SteadyTime now) {
  state_ = State::kEjected;
  failures_ = 0;
  until_ =
      now + std::min<Duration>(limits.base_ejection_time * ++ejections_, limits.max_ejection_time);
}

bool EndpointHealth::Answered(bool probe, bool well, Duration took,
                              const mesh::OutlierDetection& limits, SteadyTime now) {
  latency_.Observe(well ? took : std::max(took, kFailureTakes), now);
  // What began before it was left out has had its say.
  if (state_ != State::kIn && !probe) return false;
  if (!well) {
    const bool enough = limits.consecutive_5xx > 0 && ++failures_ >= limits.consecutive_5xx;
    if (probe || enough) Eject(limits, now);
    return probe || enough;
  }
  failures_ = 0;
  if (probe) {
    state_ = State::kIn;
    returned_ = now;
  } else if (now - returned_ >= limits.base_ejection_time) {
    ejections_ = 0;
  }
  return false;
}

void EndpointHealth::End(bool probe) {
  --in_flight_;
  // Nobody knows more than before: whoever comes next decides in its stead.
  if (probe && state_ == State::kProbing) state_ = State::kEjected;
}

double EndpointHealth::Cost(std::uint32_t weight, SteadyTime now) const {
  return latency_.Expected(now) * static_cast<double>(in_flight_ + 1) / weight;
}

}  // namespace signet::proxy
