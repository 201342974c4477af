// What this process was started as, so that it can be started again from the file as it is then.
//
// Threads: values.
#pragma once

#include <string>
#include <vector>

namespace signet::proxy {

struct ProgramImage {
  std::string path;  // of the executable, as of the start
  std::vector<std::string> arguments;
};

}  // namespace signet::proxy
