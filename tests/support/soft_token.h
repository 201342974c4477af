// A SoftHSM token for a test program: its folder, its configuration, the token and the PIN file.
// One for each process, since the library reads its configuration once.
//
// Threads: none.
#pragma once

#include <string>

#include "ca/keys/pkcs11/pkcs11_key_store.h"

namespace signet::test {

class SoftToken {
 public:
  // Made at first use, with softhsm2-util; throws when that is not there.
  static SoftToken& Instance();

  const ca::Pkcs11Settings& settings() const { return settings_; }
  const std::string& pin() const { return pin_; }
  const std::string& folder() const { return folder_; }
  const std::string& config_path() const { return config_path_; }
  // Takes the token away from the library, as if it were unplugged, and gives it back.
  void Unplug();
  void PlugIn();

 private:
  SoftToken();
  ~SoftToken();

  std::string folder_;
  std::string config_path_;
  std::string pin_ = "4711-signet";
  ca::Pkcs11Settings settings_;
};

}  // namespace signet::test
