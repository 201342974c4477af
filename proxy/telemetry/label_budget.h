// How many different labels a process shows in all: workers ask before each adds one of its own, so
// that together they do not show more than one may.
//
// Threads: safe from any thread; asked only for what a worker has not seen yet, or may not add.
#pragma once

#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_set>

namespace signet::proxy {

class LabelBudget {
 public:
  explicit LabelBudget(std::size_t most) : most_(most) {}

  // Whether `label` is among the first `most` that were asked for.
  bool Admit(std::string_view label) {
    const std::lock_guard lock(mutex_);
    if (admitted_.contains(std::string(label))) return true;
    if (admitted_.size() >= most_) return false;
    admitted_.emplace(label);
    return true;
  }

 private:
  const std::size_t most_;
  std::mutex mutex_;
  std::unordered_set<std::string> admitted_;  // guarded by mutex_
};

}  // namespace signet::proxy
