// The signet program run to its end against a server's admin socket.
//
// Threads: none.
#pragma once

#include <string>
#include <vector>

#include "tests/support/server_process.h"

namespace signet::test {

struct CommandAnswer {
  int code = -1;
  std::string output;
  bool Has(std::string_view part) const { return output.find(part) != std::string::npos; }
};

inline CommandAnswer RunSignet(const std::string& bin, const ServerProcess& server,
                               std::vector<std::string> words) {
  words.insert(words.begin(), bin + "/signet");
  words.insert(words.end(), {"--socket", server.admin_socket()});
  CommandAnswer answer;
  const TempDir folder;  // what a program says is appended to its file
  answer.code = RunProcess(words, folder.File("output"), &answer.output).code;
  return answer;
}

}  // namespace signet::test
