// An X.509-SVID as PEM files, for programs that know no SPIFFE: which files, who may read them,
// what they hold, and in which order they are written. Shared by the agent's section `files` and by
// `signet svid files`.
//
// Threads: none; a writer belongs to whoever made it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/owned_file.h"
#include "ca/x509/certificate.h"
#include "files/renewal_action.h"

namespace signet::files {

struct FileSet {
  // Paths; empty: not written.
  std::string certificate;          // chain, leaf first
  std::string key;                  // PKCS#8
  std::string combined;             // key and chain in one file, which is replaced in one step
  std::string bundle;               // roots
  FileAccess secret{-1, -1, 0600};  // of key and combined
  FileAccess open{-1, -1, 0644};    // of certificate and bundle
  RenewalAction action;

  // Those that are set.
  std::vector<std::string> Paths() const;
  // A key that everybody could read is no key.
  bool IsKeyForEverybody() const { return (secret.mode & 0007) != 0; }
};

struct PlannedFile {
  std::string path;
  SecretBytes content;
  FileAccess access;
};

// What is held now. Views: outlived by what they show.
struct Material {
  const ca::Chain& chain;    // leaf first
  const SecretBytes& pkcs8;  // DER
  const std::vector<ca::Certificate>& roots;
};

// In the order they are to be written: what a key belongs to comes after it.
std::vector<PlannedFile> PlanFiles(const FileSet& set, const Material& material);

// Brings the files of one set to what is planned, and tells the program that reads them once they
// all are. A writer that is new tells it in any case: what was written before a crash may not have
// been told.
class FileSetWriter {
 public:
  // Tells a program; RunAction() in programs.
  using Actor = std::function<Status(const RenewalAction&)>;
  explicit FileSetWriter(Actor act) : act_(std::move(act)) {}

  // Writes those that are not as planned, content and access. `written` hears of each. Fails with
  // kFileWriteFailed, or as the actor does; called again it goes on where it failed.
  Status Bring(const std::vector<PlannedFile>& planned, const RenewalAction& action,
               const std::function<void(const PlannedFile&)>& written);

 private:
  const Actor act_;
  bool told_ = false;  // the program knows what is in the files
};

}  // namespace signet::files
