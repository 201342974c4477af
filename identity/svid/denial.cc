#include "identity/svid/denial.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/log.h"

namespace signet::identity {
namespace {

constexpr std::size_t kMaxSerialDigits = 40;  // RFC 5280, 4.1.2.2: 20 octets

tl::unexpected<Error> Malformed(std::string_view subject, std::string_view rule) {
  return Fail(Code::kInvalidArgument, kDenialMalformed,
              fmt::format("\"{}\": {}", EscapeForLog(subject, 128), rule));
}

bool IsHexDigit(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

// Empty when it is no serial number.
std::string SerialDigits(std::string_view text) {
  if (text.starts_with("0x") || text.starts_with("0X")) text.remove_prefix(2);
  std::string digits;
  for (char c : text) {
    if (c == ':') continue;
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
    if (!IsHexDigit(c)) return {};
    if (digits.empty() && c == '0') continue;
    digits += c;
    if (digits.size() > kMaxSerialDigits) return {};
  }
  return digits;
}

void Append(std::string_view text, Bytes* out) {
  for (int shift = 24; shift >= 0; shift -= 8)
    out->push_back(static_cast<std::uint8_t>(text.size() >> static_cast<unsigned>(shift)));
  out->insert(out->end(), text.begin(), text.end());
}

void Append(std::int64_t value, Bytes* out) {
  for (int shift = 56; shift >= 0; shift -= 8)
    out->push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) >>
                                             static_cast<unsigned>(shift)));
}

std::string KeyOf(bool serial, std::string_view subject) {
  return (serial ? "serial " : "id ") + std::string(subject);
}

}  // namespace

std::string_view DenialKindName(DenialKind kind) {
  switch (kind) {
    case DenialKind::kSpiffeId:
      return "spiffe_id";
    case DenialKind::kSerial:
      return "serial";
    case DenialKind::kAgent:
      return "agent";
    case DenialKind::kUnknown:
      break;
  }
  return "unknown";
}

Result<std::string> NormalizeDenialSubject(DenialKind kind, std::string_view subject) {
  switch (kind) {
    case DenialKind::kSpiffeId:
    case DenialKind::kAgent: {
      SIGNET_TRY(const SpiffeId id, SpiffeId::Parse(subject));
      const bool agent = IsAgentPath(id.path());
      if (kind == DenialKind::kAgent && !agent)
        return Malformed(subject, "not an agent's ID, which starts with /spire/agent/");
      if (kind == DenialKind::kSpiffeId && agent)
        return Malformed(subject, "an agent is denied as an agent, with what it was issued");
      return id.ToString();
    }
    case DenialKind::kSerial: {
      std::string digits = SerialDigits(subject);
      if (digits.empty()) return Malformed(subject, "not a serial number in hexadecimal");
      return digits;
    }
    case DenialKind::kUnknown:
      break;
  }
  return Malformed(subject, "an unknown kind of denial");
}

DenialSet::DenialSet(std::vector<DenialPtr> denials) : denials_(std::move(denials)) {
  ca::Sha256Hasher hasher;
  Bytes row;
  for (const DenialPtr& denial : denials_) {
    row.clear();
    Append(denial->id, &row);
    row.push_back(static_cast<std::uint8_t>(denial->kind));
    Append(denial->subject, &row);
    Append(denial->until, &row);
    hasher.Update(row);
    const bool known = denial->kind == DenialKind::kSpiffeId ||
                       denial->kind == DenialKind::kSerial || denial->kind == DenialKind::kAgent;
    if (known)
      by_subject_.emplace(KeyOf(denial->kind == DenialKind::kSerial, denial->subject),
                          denial.get());
  }
  digest_ = hasher.Finish();
}

DenialSetPtr DenialSet::Create(std::vector<DenialPtr> denials) {
  std::map<std::string, DenialPtr> by_id;
  for (DenialPtr& denial : denials) {
    const std::string& id = denial->id;
    by_id.insert_or_assign(id, std::move(denial));
  }
  std::vector<DenialPtr> sorted;
  sorted.reserve(by_id.size());
  for (auto& [id, denial] : by_id) sorted.push_back(std::move(denial));
  return DenialSetPtr(new DenialSet(std::move(sorted)));
}

const Denial* DenialSet::FindSubject(const std::string& key, WallTime now) const {
  const auto [first, last] = by_subject_.equal_range(key);
  for (auto it = first; it != last; ++it)
    if (it->second->HoldsAt(now)) return it->second;
  return nullptr;
}

const Denial* DenialSet::Find(const SpiffeId& id, std::string_view serial, WallTime now) const {
  if (by_subject_.empty()) return nullptr;
  if (const Denial* denial = FindSubject(KeyOf(false, id.ToString()), now)) return denial;
  const std::string digits = SerialDigits(serial);
  return digits.empty() ? nullptr : FindSubject(KeyOf(true, digits), now);
}

DenialPtr DenialSet::FindSame(DenialKind kind, std::string_view subject) const {
  const auto [first, last] = by_subject_.equal_range(KeyOf(kind == DenialKind::kSerial, subject));
  for (auto it = first; it != last; ++it)
    if (it->second->kind == kind) return FindById(it->second->id);
  return nullptr;
}

DenialPtr DenialSet::FindById(std::string_view denial_id) const {
  const auto found = std::ranges::lower_bound(
      denials_, denial_id, {}, [](const DenialPtr& d) -> std::string_view { return d->id; });
  return found != denials_.end() && (*found)->id == denial_id ? *found : nullptr;
}

}  // namespace signet::identity
