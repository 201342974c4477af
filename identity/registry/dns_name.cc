#include "identity/registry/dns_name.h"

#include <algorithm>
#include <string>

namespace signet::identity {
namespace {

constexpr std::size_t kMaxNameBytes = 253;  // RFC 1035, 2.3.4, without the root's dot
constexpr std::size_t kMaxLabelBytes = 63;

auto Malformed(std::string detail) {
  return Fail(Code::kInvalidArgument, kDnsNameMalformed, std::move(detail));
}

Status CheckLabel(std::string_view label) {
  const bool hyphen_ends = label.starts_with('-') || label.ends_with('-');
  // RFC 5891, 4.2.3.1: hyphens in the third and fourth place are an A-label's alone.
  const bool strange_prefix =
      label.size() >= 4 && label.substr(2, 2) == "--" && !label.starts_with("xn--");
  if (label.empty() || label.size() > kMaxLabelBytes || hyphen_ends || strange_prefix ||
      label == "xn--") {
    return Malformed("invalid label \"" + std::string(label.substr(0, kMaxLabelBytes)) + "\"");
  }
  return {};
}

}  // namespace

Status CheckDnsName(std::string_view name) {
  if (name.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos) {
    return Malformed("empty or only whitespace");
  }
  const auto outside = [](char c) {
    return c < 0x20 || c == 0x7f || static_cast<unsigned char>(c) > 0x7f;
  };
  if (std::any_of(name.begin(), name.end(), outside))
    return Malformed("name must be printable ASCII");
  if (name.ends_with('.')) return Malformed("domain ends with dot");
  if (name.size() > kMaxNameBytes) return Malformed("longer than 253 bytes");
  std::string_view rest = name;
  if (rest.starts_with("*.")) rest.remove_prefix(2);
  if (rest.find('*') != std::string_view::npos) return Malformed("wildcard must be first label");
  while (true) {
    const std::size_t dot = rest.find('.');
    SIGNET_RETURN_IF_ERROR(CheckLabel(rest.substr(0, dot)));
    if (dot == std::string_view::npos) return {};
    rest.remove_prefix(dot + 1);
  }
}

}  // namespace signet::identity
