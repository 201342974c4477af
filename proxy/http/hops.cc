#include "proxy/http/hops.h"

#include "proxy/http/syntax.h"

namespace signet::proxy {
namespace {

constexpr std::size_t kNameLetters = 8;

// FNV-1a, continued. Nothing hangs on it but that two listeners of a process have two names.
std::uint64_t Mix(std::uint64_t state, std::string_view text) {
  for (const char c : text) state = (state ^ static_cast<std::uint8_t>(c)) * 0x100000001b3;
  return state;
}

}  // namespace

std::string_view Describe(HopFault fault) {
  switch (fault) {
    case HopFault::kNone:
      return {};
    case HopFault::kRing:
      return "it was sent on here before and came back: what it is forwarded to leads here";
    case HopFault::kTooMany:
      return "it has passed too many proxies";
  }
  return {};
}

std::string MakeHopName(std::uint64_t process, Direction direction, std::string_view listener) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz234567";
  std::uint64_t bits = Mix(Mix(process, DirectionName(direction)), listener);
  bits ^= bits >> 32;
  std::string name;
  for (std::size_t i = 0; i < kNameLetters; ++i, bits >>= 5) name.push_back(kLetters[bits & 31]);
  return name;
}

HopFault CheckHops(const Fields& fields, std::string_view own) {
  int hops = 0;
  int passes = 0;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const Fields::Field field = fields[i];
    if (field.name.size() != kHopsField.size() || !EqualsIgnoreCase(field.name, kHopsField))
      continue;
    // One a line as we write it; a server between may have joined them.
    (void)ForEachElement(field.value, [&](std::string_view name) {
      passes += name == own ? 1 : 0;
      return ++hops < kMostHops;
    });
  }
  if (passes >= kMostPasses) return HopFault::kRing;
  return hops >= kMostHops ? HopFault::kTooMany : HopFault::kNone;
}

void AddHop(std::string_view own, Fields* fields) { fields->Add(kHopsField, own); }

}  // namespace signet::proxy
