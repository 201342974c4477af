#include "ca/x509/subject_key.h"

#include <algorithm>
#include <array>

namespace signet::ca {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kEd25519 = "ed25519";
constexpr std::array kNames = {"ec-p256"sv, "ec-p384"sv, "rsa-2048"sv, "rsa-4096"sv, kEd25519};
constexpr std::string_view kEd25519Prefix = "\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"sv;

}  // namespace

std::span<const std::string_view> SubjectKeyNames() { return kNames; }

std::string_view SubjectKeyName(const PublicKey& key) {
  if (AsText(key.spki()).starts_with(kEd25519Prefix)) return kEd25519;
  const auto type = key.Type();
  return type ? KeyTypeName(*type) : std::string_view();
}

Status CheckSubjectKey(const PublicKey& key, std::span<const std::string> allowed) {
  const std::string_view name = SubjectKeyName(key);
  if (allowed.empty() && !name.empty()) return {};
  if (!name.empty() && std::ranges::find(allowed, name) != allowed.end()) return {};
  std::string text = name.empty() ? "a key of another type" : std::string(name);
  text += " is not one of";
  for (const std::string_view each : kNames)
    if (allowed.empty() || std::ranges::find(allowed, each) != allowed.end())
      text += " " + std::string(each);
  return Fail(Code::kInvalidArgument, kKeyTypeRefused, std::move(text));
}

}  // namespace signet::ca
