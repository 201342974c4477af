// How long one connection is carried: until its listener's max_connection_age, and not to the very
// end of its peer's SVID when it can be asked to finish before. Each connection draws its own part
// of both, so that what began together does not end together. What speaks HTTP is retired first: it
// takes no more requests and says so; what is in progress then has a grace. Bytes cannot be asked
// to finish: they are cut.
//
// Threads: a value; time and chance are handed in.
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace signet::proxy {

// As the listener is configured now.
struct AgeTerms {
  Duration max{0};       // max_connection_age; zero: none
  Duration grace{0};     // for what is in progress on a connection that was retired
  bool retires = false;  // it can be asked to finish
};

class ConnectionAge {
 public:
  struct Moment {
    SteadyTime steady;
    WallTime wall;
  };
  enum class Due { kNothing, kRetire, kCut };

  // Nothing is ever due.
  ConnectionAge() = default;
  // `svid_end`: of the SVID that the peer showed; absent: it showed none. `draw`: any number, by
  // chance.
  ConnectionAge(const Moment& begun, std::optional<WallTime> svid_end, std::uint64_t draw);

  // An age is between a tenth and the whole of `terms.max`, by chance; because of the SVID's end a
  // connection is retired when between 90 and 95 hundredths of its life on it are over. It is for
  // others to see that nothing outlives the SVID itself.
  Due At(const AgeTerms& terms, const Moment& now) const;
  // It was retired. kRetire is not due again.
  void Retire(SteadyTime now) { retired_at_ = now; }
  bool retired() const { return retired_at_.has_value(); }
  // At() answers the same until so much time has passed.
  Duration Next(const AgeTerms& terms, const Moment& now) const;

 private:
  bool IsOld(const AgeTerms& terms, SteadyTime now) const {
    return terms.max > Duration(0) && now >= OldAt(terms.max);
  }
  SteadyTime OldAt(Duration max) const;

  SteadyTime begun_;
  double share_ = 0;                    // of [0, 1)
  std::optional<WallTime> retires_at_;  // for the SVID's sake
  std::optional<SteadyTime> retired_at_;
};

}  // namespace signet::proxy
