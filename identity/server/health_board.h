// What is wrong right now, by the part that says so: one sentence each.
//
// Threads: safe from any thread.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"

namespace signet::identity {

class HealthBoard {
 public:
  // Success clears what `part` said before.
  void Report(const std::string& part, const Status& status) {
    std::lock_guard lock(mutex_);
    if (status) {
      problems_.erase(part);
    } else {
      problems_[part] = part + ": " + status.error().Message();
    }
  }
  std::vector<std::string> Problems() const {
    std::lock_guard lock(mutex_);
    std::vector<std::string> sentences;
    for (const auto& [part, problem] : problems_) sentences.push_back(problem);
    return sentences;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::string> problems_;
};

}  // namespace signet::identity
