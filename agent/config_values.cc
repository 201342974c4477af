#include "agent/config_values.h"

#include <string>

namespace signet::agent {

int ReadAccount(ConfigMap* map, const char* key, AccountKind kind) {
  const auto text = map->String(key);
  if (!text) return -1;
  if (const auto found = FindAccount(*text, kind)) return *found;
  map->Problem(
      key, "no such " + std::string(kind == AccountKind::kGroup ? "group" : "user") + ": " + *text,
      "a name or a number of this system");
  return -1;
}

mode_t ReadMode(ConfigMap* map, const char* key, mode_t fallback) {
  const auto text = map->String(key);
  if (!text) return fallback;
  if (const auto mode = ParseFileMode(*text)) return *mode;
  map->Problem(key, "not a file mode: " + *text, "octal digits, such as 0770");
  return fallback;
}

}  // namespace signet::agent
