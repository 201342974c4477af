// Certificates, keys and bundles as PEM files, for programs that know no SPIFFE: what the section
// `files` of the configuration asks for.
#pragma once

#include <string>
#include <vector>

#include "base/config.h"
#include "base/owned_file.h"
#include "identity/spiffe/spiffe_id.h"

namespace signet::agent {

inline constexpr std::size_t kMostFileSets = 64;

// What is done after files changed. Nothing when both are empty.
struct RenewalAction {
  std::vector<std::string> command;  // program (an absolute path) and arguments; no shell
  Duration timeout = std::chrono::seconds(30);
  std::string pid_file;  // whose process gets the signal
  int signal = 0;
};

struct FileSetOptions {
  identity::SpiffeId spiffe_id;
  // Paths, absolute; empty: not written.
  std::string certificate;          // chain, leaf first
  std::string key;                  // PKCS#8
  std::string combined;             // key and chain in one file, which is replaced in one step
  std::string bundle;               // roots of the own trust domain
  bool federated = false;           // … and of those the entry federates with
  FileAccess secret{-1, -1, 0600};  // of key and combined
  FileAccess open{-1, -1, 0644};    // of certificate and bundle
  RenewalAction action;
};

// Reports to the problems of `root`, each with its line.
std::vector<FileSetOptions> ReadFileSets(ConfigMap* root);

}  // namespace signet::agent
