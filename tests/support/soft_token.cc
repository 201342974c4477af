#include "tests/support/soft_token.h"

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "tests/support/process.h"

namespace signet::test {
namespace {

constexpr const char* kModule = "/usr/lib/softhsm/libsofthsm2.so";
constexpr const char* kTool = "/usr/bin/softhsm2-util";

}  // namespace

SoftToken& SoftToken::Instance() {
  static SoftToken token;
  return token;
}

SoftToken::SoftToken() {
  std::string name = std::filesystem::temp_directory_path() / "signet-token-XXXXXX";
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
  folder_ = name;
  config_path_ = folder_ + "/softhsm2.conf";
  std::filesystem::create_directory(folder_ + "/tokens");
  std::ofstream(config_path_) << "directories.tokendir = " << folder_
                              << "/tokens\nobjectstore.backend = file\nlog.level = ERROR\n";
  setenv("SOFTHSM2_CONF", config_path_.c_str(), 1);
  settings_.module = kModule;
  settings_.token = "signet test";
  settings_.pin_file = folder_ + "/pin";
  settings_.sessions = 4;
  std::ofstream(settings_.pin_file) << pin_ << "\n";
  chmod(settings_.pin_file.c_str(), 0600);
  std::string output;
  const ProcessEnd end = RunProcess({kTool, "--init-token", "--free", "--label", settings_.token,
                                     "--pin", pin_, "--so-pin", "0815-signet"},
                                    folder_ + "/output", &output);
  if (end.code != 0) throw std::runtime_error("softhsm2-util: " + output);
}

SoftToken::~SoftToken() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void SoftToken::Unplug() {
  std::filesystem::rename(folder_ + "/tokens", folder_ + "/away");
  std::filesystem::create_directory(folder_ + "/tokens");
}

void SoftToken::PlugIn() {
  std::filesystem::remove_all(folder_ + "/tokens");
  std::filesystem::rename(folder_ + "/away", folder_ + "/tokens");
}

}  // namespace signet::test
