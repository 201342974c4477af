#include "agent/config_values.h"

#include <grp.h>
#include <pwd.h>

#include <string>
#include <vector>

namespace signet::agent {

int ReadAccount(ConfigMap* map, const char* key, AccountKind kind) {
  const auto text = map->String(key);
  if (!text) return -1;
  if (!text->empty() && text->size() < 10 && text->find_first_not_of("0123456789") == text->npos)
    return std::stoi(*text);
  std::vector<char> buffer(16 << 10);
  if (kind == AccountKind::kGroup) {
    group record{};
    group* found = nullptr;
    if (getgrnam_r(text->c_str(), &record, buffer.data(), buffer.size(), &found) == 0 && found)
      return static_cast<int>(found->gr_gid);
  } else {
    passwd record{};
    passwd* found = nullptr;
    if (getpwnam_r(text->c_str(), &record, buffer.data(), buffer.size(), &found) == 0 && found)
      return static_cast<int>(found->pw_uid);
  }
  map->Problem(
      key, "no such " + std::string(kind == AccountKind::kGroup ? "group" : "user") + ": " + *text,
      "a name or a number of this system");
  return -1;
}

mode_t ReadMode(ConfigMap* map, const char* key, mode_t fallback) {
  const auto text = map->String(key);
  if (!text) return fallback;
  if (!text->empty() && text->size() <= 4 && text->find_first_not_of("01234567") == text->npos)
    return static_cast<mode_t>(std::stoul(*text, nullptr, 8));
  map->Problem(key, "not a file mode: " + *text, "octal digits, such as 0770");
  return fallback;
}

}  // namespace signet::agent
