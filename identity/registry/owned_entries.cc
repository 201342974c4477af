#include "identity/registry/owned_entries.h"

#include <algorithm>

#include "ca/crypto/digest.h"

namespace signet::identity {
namespace {

constexpr std::string_view kMark = "apply.";
constexpr std::size_t kMaxOwnerBytes = 63;
constexpr std::size_t kDigestBytes = 16;

std::string Prefix(std::string_view owner) {
  return std::string(kMark).append(owner).append(1, '.');
}

// Lengths first: no two different entries are the same text.
void AppendText(std::string* out, std::string_view text) {
  out->append(std::to_string(text.size())).append(1, ':').append(text);
}

bool MayBeInOwner(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; }

}  // namespace

Status CheckOwner(std::string_view owner) {
  if (!owner.empty() && owner.size() <= kMaxOwnerBytes && std::ranges::all_of(owner, MayBeInOwner))
    return {};
  return Fail(Code::kInvalidArgument, kOwnerMalformed,
              "\"" + std::string(owner.substr(0, kMaxOwnerBytes)) +
                  "\" is not 1 to 63 of a-z, 0-9 and dashes");
}

std::string OwnedEntryId(std::string_view owner, const Entry& entry) {
  return Prefix(owner) + (entry.id.empty() ? IdentityDigest(entry) : entry.id);
}

std::string GivenName(std::string_view owner, const Entry& entry) {
  std::string name = entry.id.substr(Prefix(owner).size());
  return name == IdentityDigest(entry) ? std::string() : name;
}

std::string IdentityDigest(const Entry& entry) {
  std::string identity;
  AppendText(&identity, entry.spiffe_id.ToString());
  AppendText(&identity, entry.parent_id.ToString());
  for (const Selector& selector : entry.selectors) {
    AppendText(&identity, selector.type);
    AppendText(&identity, selector.value);
  }
  const ca::Sha256Digest digest = ca::Sha256(AsBytes(identity));
  return EncodeHex(ByteView(digest).first(kDigestBytes));
}

std::string_view OwnerOf(std::string_view entry_id) {
  if (!entry_id.starts_with(kMark)) return {};
  entry_id.remove_prefix(kMark.size());
  const std::size_t end = entry_id.find('.');
  if (end == std::string_view::npos || end + 1 == entry_id.size()) return {};
  const std::string_view owner = entry_id.substr(0, end);
  return CheckOwner(owner) ? owner : std::string_view();
}

}  // namespace signet::identity
