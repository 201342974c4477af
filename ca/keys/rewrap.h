// Another key-encryption key (KEK) for the keys of a DiskKeyStore, while no server uses them. It
// may be interrupted at any step, by a power cut too: run again, it goes on where it was, and no
// step leaves a key that neither KEK opens.
#pragma once

#include <functional>
#include <string>

#include "ca/keys/key_store.h"

namespace signet::ca {

struct RewrapPlan {
  std::string folder;  // of the key files
  KekSource current;
  // Where the next KEK is (32 bytes, 0600), or is made when missing. Empty: a new one takes the
  // place of the current file, which must then be no credential.
  std::string next_kek;
};

// Told before each step that changes a file; an error from it ends the work there.
using RewrapObserver = std::function<Status(const std::string& step)>;

// 1. the next KEK is written beside the current one (<kek>.next) or to plan.next_kek;
// 2. each key file is replaced by one sealed under it;
// 3. <kek>.next is renamed over the current KEK (only without plan.next_kek: else the configuration
//    has to name the next one from now on).
// Answers how many keys it resealed. Fails with kKeyStoreUnusable before anything is changed when a
// key opens under neither.
Result<std::size_t> RewrapKeys(const RewrapPlan& plan, const RewrapObserver& observer);

// Fails with kKeyStoreUnusable, saying how to finish, while a rewrap is half done.
Status CheckNoRewrapPending(const std::string& kek_path);

}  // namespace signet::ca
