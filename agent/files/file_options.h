// Certificates, keys and bundles as PEM files, for programs that know no SPIFFE: what the section
// `files` of the configuration asks for.
#pragma once

#include <string>
#include <vector>

#include "base/config.h"
#include "files/file_set.h"
#include "identity/spiffe/spiffe_id.h"

namespace signet::agent {

inline constexpr std::size_t kMostFileSets = 64;

struct FileSetOptions {
  identity::SpiffeId spiffe_id;
  files::FileSet files;    // absolute paths
  bool federated = false;  // the bundle: also roots of those the entry federates with
};

// Reports to the problems of `root`, each with its line.
std::vector<FileSetOptions> ReadFileSets(ConfigMap* root);

}  // namespace signet::agent
