#include "base/account.h"

#include <grp.h>
#include <pwd.h>

#include <vector>

namespace signet {

Result<int> FindAccount(const std::string& name, AccountKind kind) {
  if (!name.empty() && name.size() < 10 && name.find_first_not_of("0123456789") == name.npos)
    return std::stoi(name);
  std::vector<char> buffer(16 << 10);
  if (kind == AccountKind::kGroup) {
    group record{};
    group* found = nullptr;
    if (getgrnam_r(name.c_str(), &record, buffer.data(), buffer.size(), &found) == 0 && found)
      return static_cast<int>(found->gr_gid);
  } else {
    passwd record{};
    passwd* found = nullptr;
    if (getpwnam_r(name.c_str(), &record, buffer.data(), buffer.size(), &found) == 0 && found)
      return static_cast<int>(found->pw_uid);
  }
  return Fail(Code::kInvalidArgument, kNoSuchAccount,
              (kind == AccountKind::kGroup ? "group " : "user ") + name);
}

Result<mode_t> ParseFileMode(const std::string& text) {
  if (text.empty() || text.size() > 4 || text.find_first_not_of("01234567") != text.npos)
    return Fail(Code::kInvalidArgument, kNoFileMode, text + "; octal digits, such as 0640");
  return static_cast<mode_t>(std::stoul(text, nullptr, 8));
}

}  // namespace signet
