// What Docker's engine, or Podman's in its manner, says of a container (GET /containers/ID/json):
// as much of it as attestation needs.
#pragma once

#include <sys/types.h>

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "identity/spiffe/selector.h"

namespace signet::agent {

inline constexpr Reason kContainerMalformed{"container description not usable"};
inline constexpr std::size_t kMaxContainerBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMostLabels = 1024;  // and as many variables

struct Container {
  std::string id;
  pid_t pid = 0;                              // of its first process; 0: it does not run
  std::string image;                          // as it was named: "nginx:1.27"
  std::string image_config_digest;            // "sha256:…"; empty: not said
  std::map<std::string, std::string> labels;  // of the container, the image's included
  std::vector<std::string> environment;       // "NAME=value"
};

// Fails with kContainerMalformed; the detail holds nothing of the text.
Result<Container> ParseContainer(std::string_view json);

// SPIRE's selectors of type "docker": label, image_id, image_config_digest, and env, but those only
// for the variables named in `allowed`: environments hold secrets.
std::vector<identity::Selector> SelectorsOf(const Container& container,
                                            const std::set<std::string, std::less<>>& allowed);

}  // namespace signet::agent
