#include "ca/x509/name_constraints.h"

#include <fmt/format.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "ca/crypto/handle.h"
#include "ca/x509/path.h"

namespace signet::ca {
namespace {

using NameConstraintsHandle = Handle<NAME_CONSTRAINTS, NAME_CONSTRAINTS_free>;

constexpr std::size_t kMaxNameConstraintBytes = 4096;

tl::unexpected<Error> Refuse(std::string_view what, const Certificate& certificate) {
  ERR_clear_error();
  return Fail(Code::kUnauthenticated, kPathInvalid,
              fmt::format("{} in \"{}\" (serial {})", what,
                          certificate.SubjectText().substr(0, 256), certificate.SerialHex()));
}

// Null when there are none.
Result<NameConstraintsHandle> ReadConstraints(const Certificate& authority) {
  const X509* x509 = authority.handle();
  const int at = X509_get_ext_by_NID(x509, NID_name_constraints, -1);
  if (at < 0) return NameConstraintsHandle();
  const ASN1_OCTET_STRING* value = X509_EXTENSION_get_data(X509_get_ext(x509, at));
  if (static_cast<std::size_t>(ASN1_STRING_length(value)) > kMaxNameConstraintBytes)
    return Refuse("too many name constraints", authority);
  NameConstraintsHandle constraints(static_cast<NAME_CONSTRAINTS*>(
      X509_get_ext_d2i(x509, NID_name_constraints, nullptr, nullptr)));
  if (constraints == nullptr) return Refuse("unreadable name constraints", authority);
  // GeneralSubtrees ::= SEQUENCE SIZE (1..MAX), and one of the two must be there. A list that is
  // not there counts -1.
  const int permitted = sk_GENERAL_SUBTREE_num(constraints->permittedSubtrees);
  const int excluded = sk_GENERAL_SUBTREE_num(constraints->excludedSubtrees);
  if (permitted == 0 || excluded == 0 || (permitted < 0 && excluded < 0))
    return Refuse("empty name constraints", authority);
  return constraints;
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower;
}

// The DNS subtrees of one list, in lower case, without a leading dot.
std::vector<std::string> DnsSubtrees(const STACK_OF(GENERAL_SUBTREE) * subtrees) {
  std::vector<std::string> names;
  for (int i = 0; i < sk_GENERAL_SUBTREE_num(subtrees); ++i) {
    const GENERAL_NAME* base = sk_GENERAL_SUBTREE_value(subtrees, i)->base;
    if (base->type != GEN_DNS) continue;
    const std::string_view text(
        reinterpret_cast<const char*>(ASN1_STRING_get0_data(base->d.dNSName)),
        static_cast<std::size_t>(ASN1_STRING_length(base->d.dNSName)));
    names.push_back(LowerCase(text.starts_with('.') ? text.substr(1) : text));
  }
  return names;
}

// ".a", "a..b" and "a." lie in no subtree as a text and may all the same mean a name inside one.
bool HasEmptyLabel(std::string_view name) {
  return name.empty() || name.front() == '.' || name.back() == '.' ||
         name.find("..") != std::string_view::npos;
}

// "*.example.com" stands for "bar.example.com" too.
bool ReachesInto(const std::string& name, const std::vector<std::string>& excluded) {
  if (!name.starts_with("*.")) return false;
  const std::string_view parent = std::string_view(name).substr(1);
  return std::ranges::any_of(excluded,
                             [&](const std::string& base) { return base.ends_with(parent); });
}

// What comparing texts misses of DNS names.
Status CheckDnsNames(const Certificate& certificate, const std::vector<std::string>& permitted,
                     const std::vector<std::string>& excluded) {
  if (permitted.empty() && excluded.empty()) return {};
  for (const std::string& name : certificate.dns_sans()) {
    if (HasEmptyLabel(name)) return Refuse("a DNS name with an empty label", certificate);
    if (ReachesInto(LowerCase(name), excluded))
      return Refuse("a wildcard that reaches into an excluded subtree", certificate);
  }
  return {};
}

std::size_t NameCount(const Certificate& certificate) {
  const int attributes = X509_NAME_entry_count(X509_get_subject_name(certificate.handle()));
  return certificate.uri_sans().size() + certificate.dns_sans().size() +
         certificate.other_san_count() + static_cast<std::size_t>(attributes) + 1;
}

}  // namespace

Status CheckNameConstraints(std::span<const Certificate* const> path,
                            NameComparisonBudget* budget) {
  const Certificate& authority = *path.back();
  SIGNET_TRY(const NameConstraintsHandle constraints, ReadConstraints(authority));
  if (constraints == nullptr) return {};
  const auto permitted = DnsSubtrees(constraints->permittedSubtrees);
  const auto excluded = DnsSubtrees(constraints->excludedSubtrees);
  const std::size_t subtrees =
      static_cast<std::size_t>(std::max(sk_GENERAL_SUBTREE_num(constraints->permittedSubtrees), 0) +
                               std::max(sk_GENERAL_SUBTREE_num(constraints->excludedSubtrees), 0));
  for (const Certificate* below : path.first(path.size() - 1)) {
    if (below != path.front() && below->self_issued()) continue;
    const std::size_t cost = subtrees * NameCount(*below);
    if (cost > budget->left) return Refuse("too many name constraints", authority);
    budget->left -= cost;
    SIGNET_RETURN_IF_ERROR(CheckDnsNames(*below, permitted, excluded));
    const int verdict = NAME_CONSTRAINTS_check(below->handle(), constraints.get());
    if (verdict != X509_V_OK) {
      return Refuse(fmt::format("against the name constraints of \"{}\": {}",
                                authority.SubjectText().substr(0, 256),
                                X509_verify_cert_error_string(verdict)),
                    *below);
    }
  }
  return {};
}

}  // namespace signet::ca
