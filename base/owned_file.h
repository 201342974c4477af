// A file put in place whole, for another user to read.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace signet {

struct FileAccess {
  int owner = -1;  // uid; -1: this process's
  int group = -1;
  mode_t mode = 0600;
};

// As WriteFileAtomically(), and the file has its owner, group and mode before it has its name: at
// no moment can anybody read it who may not. Fails with kFileWriteFailed.
Status WriteOwnedFileAtomically(const std::string& path, ByteView content,
                                const FileAccess& access);

}  // namespace signet
