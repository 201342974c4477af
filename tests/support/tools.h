// Other people's command-line tools, for vectors that no code of ours made.
//
// Threads: none.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/file.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace signet::test {

// Runs it to its end; throws with its output when that is no good one.
inline std::string RunTool(const TempDir& dir, const std::vector<std::string>& arguments) {
  std::string output;
  std::filesystem::remove(dir.File("tool.out"));  // outputs are appended
  const auto end = RunProcess(arguments, dir.File("tool.out"), &output);
  if (end.code != 0) throw std::runtime_error(arguments[0] + " failed: " + output);
  return output;
}

inline std::string Openssl(const TempDir& dir, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "/usr/bin/openssl");
  return RunTool(dir, arguments);
}

inline std::string SshKeygen(const TempDir& dir, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "/usr/bin/ssh-keygen");
  return RunTool(dir, arguments);
}

inline std::string ReadText(const std::string& path) {
  const auto content = ReadFile(path, std::size_t{1} << 20);
  if (!content) throw std::runtime_error(content.error().Message());
  return std::string(AsText(*content));
}

inline void WriteText(const std::string& path, std::string_view text, mode_t mode = 0600) {
  if (!WriteFileAtomically(path, AsBytes(text), mode)) throw std::runtime_error("cannot write");
}

}  // namespace signet::test
