// Waiting for what other threads or processes bring about: asked again and again, since nothing
// tells a test that a counter or a file of theirs has changed.
#pragma once

#include <chrono>
#include <thread>

namespace signet::test {

// Whether `holds` answers true within `patience`.
template <class Condition>
bool Eventually(Condition holds, std::chrono::milliseconds patience = std::chrono::seconds(20)) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace signet::test
