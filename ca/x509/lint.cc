// LintTbs(): the rows of the issuer's checklist over the exact bytes
// to be signed. It reads with der.h and shares nothing with tbs_writer.cc: constants are written
// again here on purpose.
#include <algorithm>
#include <chrono>
#include <optional>
#include <string>

#include "ca/crypto/digest.h"
#include "ca/x509/algorithm.h"
#include "ca/x509/der.h"
#include "ca/x509/profile.h"
#include "ca/x509/utf8.h"

namespace signet::ca {
namespace {

using namespace std::string_view_literals;
using std::chrono::sys_seconds;

constexpr std::string_view kOidSubjectKeyId = "\x55\x1d\x0e"sv;
constexpr std::string_view kOidKeyUsage = "\x55\x1d\x0f"sv;
constexpr std::string_view kOidSubjectAltName = "\x55\x1d\x11"sv;
constexpr std::string_view kOidBasicConstraints = "\x55\x1d\x13"sv;
constexpr std::string_view kOidNameConstraints = "\x55\x1d\x1e"sv;
constexpr std::string_view kOidAuthorityKeyId = "\x55\x1d\x23"sv;
constexpr std::string_view kOidExtendedKeyUsage = "\x55\x1d\x25"sv;
constexpr std::string_view kOidServerAuth = "\x2b\x06\x01\x05\x05\x07\x03\x01"sv;
constexpr std::string_view kOidClientAuth = "\x2b\x06\x01\x05\x05\x07\x03\x02"sv;

// SubjectPublicKeyInfo algorithms that may stand in a certificate of ours, with parameters.
constexpr std::string_view kKeyP256 =
    "\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"sv;
constexpr std::string_view kKeyP384 =
    "\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22"sv;
constexpr std::string_view kKeyEd25519 = "\x06\x03\x2b\x65\x70"sv;
constexpr std::string_view kKeyRsa = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00"sv;

// keyUsage bits, RFC 5280 4.2.1.3: bit n is 1 << n.
constexpr unsigned kDigitalSignature = 1 << 0;
constexpr unsigned kKeyEncipherment = 1 << 2;
constexpr unsigned kDataEncipherment = 1 << 3;
constexpr unsigned kKeyCertSign = 1 << 5;
constexpr unsigned kCrlSign = 1 << 6;

struct Extension {
  ByteView oid;
  bool critical = false;
  ByteView value;
};

struct Tbs {
  ByteView serial;
  ByteView algorithm;
  ByteView issuer;
  DerValue not_before;
  DerValue not_after;
  ByteView subject;
  ByteView spki;
  std::vector<Extension> extensions;
};

// What the rules are held against.
struct Expected {
  bool root = false;
  const DownstreamLimits* downstream = nullptr;  // of an authority below ours, else null
  std::string_view uri;
  ByteView issuer;
  ByteView authority_key_id;
  WallTime authority_not_after;

  bool authority() const { return root || downstream != nullptr; }
  bool constrains_names() const {
    return downstream != nullptr &&
           !(downstream->permitted_uri_hosts.empty() && downstream->permitted_dns_names.empty());
  }
};

std::optional<Extension> ReadExtension(DerReader& list) {
  auto fields = list.Enter(kDerSequence);
  if (!fields) return std::nullopt;
  Extension extension;
  const auto oid = fields->Read(kDerOid);
  if (!oid) return std::nullopt;
  extension.oid = oid->content;
  if (const auto critical = fields->Read(kDerBoolean)) {
    if (AsText(critical->content) != "\xff"sv)
      return std::nullopt;  // FALSE is the default and left out
    extension.critical = true;
  }
  const auto value = fields->Read(kDerOctetString);
  if (!value || !fields->AtEnd()) return std::nullopt;
  extension.value = value->content;
  return extension;
}

// Absent when it is not a version 3 TBSCertificate in DER with extensions and without unique
// identifiers.
std::optional<Tbs> ReadTbs(ByteView der) {
  const auto outer = ReadSoleDer(der, kDerSequence);
  if (!outer) return std::nullopt;
  DerReader fields(outer->content);
  const auto version = fields.Read(DerContextConstructed(0));
  const auto serial = fields.Read(kDerInteger);
  const auto algorithm = fields.Read(kDerSequence);
  const auto issuer = fields.Read(kDerSequence);
  auto validity = fields.Enter(kDerSequence);
  const auto not_before = validity ? validity->Next() : std::nullopt;
  const auto not_after = validity ? validity->Next() : std::nullopt;
  const auto subject = fields.Read(kDerSequence);
  const auto spki = fields.Read(kDerSequence);
  auto tagged = fields.Enter(DerContextConstructed(3));
  auto list = tagged ? tagged->Enter(kDerSequence) : std::nullopt;
  if (!version || AsText(version->content) != "\x02\x01\x02"sv || !serial || !algorithm ||
      !issuer || !not_before || !not_after || !validity->AtEnd() || !subject || !spki || !list ||
      !tagged->AtEnd() || !fields.AtEnd()) {
    return std::nullopt;
  }
  Tbs tbs{.serial = serial->content,
          .algorithm = algorithm->whole,
          .issuer = issuer->whole,
          .not_before = *not_before,
          .not_after = *not_after,
          .subject = subject->whole,
          .spki = spki->whole,
          .extensions = {}};
  while (!list->AtEnd()) {
    const auto extension = ReadExtension(*list);
    if (!extension) return std::nullopt;
    tbs.extensions.push_back(*extension);
  }
  return tbs;
}

// RFC 5280, 4.1.2.5.1 and 4.1.2.5.2: seconds always, Z always, UTCTime exactly for 1950 to 2049.
std::optional<sys_seconds> ReadTime(const DerValue& time) {
  const std::string_view text = AsText(time.content);
  const bool utc = time.tag == kDerUtcTime;
  if ((!utc && time.tag != kDerGeneralizedTime) || text.size() != (utc ? 13U : 15U) ||
      text.back() != 'Z' ||
      !std::all_of(text.begin(), text.end() - 1, [](char c) { return c >= '0' && c <= '9'; })) {
    return std::nullopt;
  }
  const auto number = [&](std::size_t at, std::size_t size) {
    int value = 0;
    for (const char digit : text.substr(at, size)) value = value * 10 + (digit - '0');
    return value;
  };
  const std::size_t rest = utc ? 2 : 4;
  int year = number(0, rest);
  if (utc) year += year < 50 ? 2000 : 1900;
  if (!utc && year < 2050) return std::nullopt;
  const std::chrono::year_month_day date(
      std::chrono::year(year), std::chrono::month(static_cast<unsigned>(number(rest, 2))),
      std::chrono::day(static_cast<unsigned>(number(rest + 2, 2))));
  const int hour = number(rest + 4, 2), minute = number(rest + 6, 2), second = number(rest + 8, 2);
  if (!date.ok() || hour > 23 || minute > 59 || second > 59) return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
         std::chrono::seconds(second);
}

// The named bits, or absent when malformed or padded with zeros (X.690, 11.2.2).
std::optional<unsigned> ReadNamedBits(ByteView value) {
  const auto bits = ReadSoleDer(value, kDerBitString);
  if (!bits || bits->content.size() < 2 || bits->content.size() > 3 || bits->content[0] > 7)
    return std::nullopt;
  const std::uint8_t last = bits->content.back();
  if ((last & ((1U << (bits->content[0] + 1)) - 1)) != 1U << bits->content[0]) return std::nullopt;
  unsigned result = 0;
  for (std::size_t i = 1; i < bits->content.size(); ++i) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      if ((bits->content[i] & (0x80U >> bit)) != 0) result |= 1U << ((i - 1) * 8 + bit);
    }
  }
  return result;
}

class Lint {
 public:
  Lint(const Tbs& tbs, const Expected& expected) : tbs_(tbs), expected_(expected) {}

  Findings Run() {
    CheckSerialAndAlgorithm();
    CheckNames();
    CheckValidity();
    CheckPublicKey();
    CheckExtensionSet();
    CheckKeyUsage();
    CheckExtendedKeyUsage();
    CheckBasicConstraints();
    CheckNameConstraints();
    CheckKeyIdentifiers();
    CheckSubjectAltName();
    return std::move(findings_);
  }

 private:
  void Require(bool holds, const char* rule, const char* problem) {
    if (!holds) findings_.push_back({rule, problem});
  }

  const Extension* Find(std::string_view oid) const {
    const auto found =
        std::find_if(tbs_.extensions.begin(), tbs_.extensions.end(),
                     [&](const Extension& extension) { return AsText(extension.oid) == oid; });
    return found == tbs_.extensions.end() ? nullptr : &*found;
  }

  void CheckSerialAndAlgorithm() {
    const ByteView serial = tbs_.serial;
    Require(IsMinimalDerInteger(serial) && serial.size() <= 20 && serial[0] < 0x80, "R-01",
            "serial is negative, longer than 20 octets or not minimal");
    Require(std::any_of(serial.begin(), serial.end(), [](std::uint8_t byte) { return byte != 0; }),
            "R-01", "serial is zero");
    Require(FindAlgorithm(tbs_.algorithm).has_value(), "R-12",
            "signature algorithm is unknown or weak");
  }

  // RFC 5280, 4.1.2.4: of the string types those not yet deprecated.
  static bool IsNameValue(const DerValue& value) {
    const bool text = value.tag == kDerUtf8String || value.tag == kDerPrintableString ||
                      value.tag == kDerIa5String;
    return text && !value.content.empty() && IsUtf8(AsText(value.content));
  }

  static bool IsName(ByteView name) {
    auto sets = DerReader(name).Enter(kDerSequence);
    if (!sets) return false;
    while (!sets->AtEnd()) {
      auto set = sets->Enter(kDerSet);
      if (!set || set->AtEnd()) return false;
      while (!set->AtEnd()) {
        auto attribute = set->Enter(kDerSequence);
        const auto type = attribute ? attribute->Read(kDerOid) : std::nullopt;
        const auto value = type ? attribute->Next() : std::nullopt;
        if (!value || !IsDerOid(type->content) || !IsNameValue(*value) || !attribute->AtEnd())
          return false;
      }
    }
    return true;
  }

  bool HasEmptySubject() const { return tbs_.subject.size() == 2; }

  void CheckNames() {
    Require(IsName(tbs_.issuer) && tbs_.issuer.size() > 2, "R-02", "issuer is empty or malformed");
    Require(Equal(tbs_.issuer, expected_.issuer), "R-02",
            "issuer is not the authority's subject, byte for byte");
    Require(IsName(tbs_.subject), "R-02", "subject is malformed");
    if (expected_.authority())
      Require(!HasEmptySubject(), "R-02", "the subject of an authority is empty");
    if (expected_.downstream != nullptr) {
      Require(!Equal(tbs_.subject, tbs_.issuer), "R-02",
              "a downstream authority has the subject of the authority above it");
    }
    if (expected_.root) {
      Require(Equal(tbs_.subject, tbs_.issuer), "R-02", "a root's subject and issuer differ");
    }
  }

  void CheckValidity() {
    const auto begin = ReadTime(tbs_.not_before), end = ReadTime(tbs_.not_after);
    Require(begin && end, "R-03", "a time is malformed or of the wrong type for its year");
    if (!begin || !end) return;
    Require(*begin < *end, "R-03", "it ends before it begins");
    Require(*end <= expected_.authority_not_after, "R-04",
            "it outlives the authority that signs it");
  }

  void CheckPublicKey() {
    auto spki = DerReader(tbs_.spki).Enter(kDerSequence);
    const auto algorithm = spki ? spki->Read(kDerSequence) : std::nullopt;
    const auto key = algorithm ? spki->ReadOctetsOfBitString() : std::nullopt;
    Require(key && !key->empty() && spki->AtEnd(), "R-12", "the public key is malformed");
    if (!key) return;
    const std::string_view kind = AsText(algorithm->content);
    is_rsa_ = kind == kKeyRsa;
    Require(is_rsa_ || kind == kKeyP256 || kind == kKeyP384 || kind == kKeyEd25519, "R-12",
            "the public key is of a type we do not certify");
    key_id_ = ToBytes(Sha1(*key));
  }

  void CheckExtensionSet() {
    for (std::size_t i = 0; i < tbs_.extensions.size(); ++i) {
      const std::string_view oid = AsText(tbs_.extensions[i].oid);
      const bool known = oid == kOidSubjectKeyId || oid == kOidKeyUsage ||
                         oid == kOidSubjectAltName || oid == kOidBasicConstraints ||
                         (oid == kOidAuthorityKeyId && !expected_.root) ||
                         (oid == kOidExtendedKeyUsage && !expected_.authority()) ||
                         (oid == kOidNameConstraints && expected_.constrains_names());
      Require(known, "R-11", "an extension is not of this profile");
      const bool repeated =
          std::any_of(tbs_.extensions.begin(), tbs_.extensions.begin() + static_cast<long>(i),
                      [&](const Extension& other) { return AsText(other.oid) == oid; });
      Require(!repeated, "R-11", "an extension stands twice");
    }
  }

  void CheckKeyUsage() {
    const Extension* const extension = Find(kOidKeyUsage);
    Require(extension != nullptr, "X-12", "no keyUsage");
    if (extension == nullptr) return;
    Require(extension->critical, "X-13", "keyUsage is not critical");
    const auto bits = ReadNamedBits(extension->value);
    Require(bits.has_value(), "R-07", "keyUsage is malformed or padded");
    if (!bits) return;
    if (expected_.authority()) {
      Require((*bits & kKeyCertSign) != 0, "X-14", "an authority without keyCertSign");
      Require((*bits & ~(kKeyCertSign | kCrlSign)) == 0, "X-14",
              "an authority with more than keyCertSign and cRLSign");
      return;
    }
    Require((*bits & kDigitalSignature) != 0, "X-15", "a leaf without digitalSignature");
    Require((*bits & (kKeyCertSign | kCrlSign)) == 0, "X-16", "a leaf with keyCertSign or cRLSign");
    if (!is_rsa_) {
      Require((*bits & (kKeyEncipherment | kDataEncipherment)) == 0, "R-08",
              "encipherment bits on a key that cannot");
    }
    const unsigned allowed =
        kDigitalSignature | kKeyEncipherment | kDataEncipherment | kKeyCertSign | kCrlSign;
    Require((*bits & ~allowed) == 0, "X-12", "keyUsage has a bit that is not of this profile");
  }

  void CheckExtendedKeyUsage() {
    if (expected_.authority()) return;  // refused by CheckExtensionSet() where present
    const Extension* const extension = Find(kOidExtendedKeyUsage);
    Require(extension != nullptr, "X-17", "no extendedKeyUsage");
    if (extension == nullptr) return;
    Require(!extension->critical, "X-17", "extendedKeyUsage is critical");
    bool server = false, client = false, other = false;
    const auto list = ReadSoleDer(extension->value, kDerSequence);
    DerReader purposes(list ? list->content : ByteView());
    while (!purposes.AtEnd()) {
      const auto purpose = purposes.Read(kDerOid);
      if (!purpose) break;
      server = server || AsText(purpose->content) == kOidServerAuth;
      client = client || AsText(purpose->content) == kOidClientAuth;
      other = other || (AsText(purpose->content) != kOidServerAuth &&
                        AsText(purpose->content) != kOidClientAuth);
    }
    Require(purposes.AtEnd() && server && client && !other, "X-18",
            "extendedKeyUsage is not exactly serverAuth and clientAuth");
  }

  void CheckBasicConstraints() {
    const Extension* const extension = Find(kOidBasicConstraints);
    Require(extension != nullptr, expected_.authority() ? "X-09" : "X-10", "no basicConstraints");
    if (extension == nullptr) return;
    Require(extension->critical, "R-07", "basicConstraints is not critical");
    const std::string_view value = AsText(extension->value);
    if (expected_.downstream != nullptr && expected_.downstream->path_length) {
      const auto length = ReadPathLength(extension->value);
      Require(length && *length == *expected_.downstream->path_length, "X-09",
              "basicConstraints is not cA TRUE with the path length asked for");
    } else if (expected_.authority()) {
      Require(value == "\x30\x03\x01\x01\xff"sv, "X-09", "basicConstraints is not cA TRUE alone");
    } else {
      Require(value == "\x30\x00"sv, "X-10", "basicConstraints of a leaf is not empty (cA FALSE)");
    }
  }

  // pathLenConstraint beside cA TRUE, and nothing else.
  static std::optional<int> ReadPathLength(ByteView value) {
    auto fields = DerReader(value).Enter(kDerSequence);
    const auto ca = fields ? fields->Read(kDerBoolean) : std::nullopt;
    const auto length = ca ? fields->Read(kDerInteger) : std::nullopt;
    if (!length || AsText(ca->content) != "\xff"sv || !fields->AtEnd() ||
        length->content.size() != 1 || length->content[0] > 0x7f) {
      return std::nullopt;
    }
    return length->content[0];
  }

  // RFC 5280, 4.2.1.10: critical, and the permitted subtrees are those asked for, in their order.
  void CheckNameConstraints() {
    if (!expected_.constrains_names()) return;  // refused by CheckExtensionSet() where present
    const Extension* const extension = Find(kOidNameConstraints);
    Require(extension != nullptr, "R-10", "no nameConstraints");
    if (extension == nullptr) return;
    Require(extension->critical, "R-10", "nameConstraints is not critical");
    std::vector<std::string> uris, names;
    Require(ReadPermitted(extension->value, &uris, &names), "R-10",
            "nameConstraints is not a list of permitted URI and DNS names");
    Require(uris == expected_.downstream->permitted_uri_hosts &&
                names == expected_.downstream->permitted_dns_names,
            "R-10", "nameConstraints permits other names than asked for");
  }

  static bool ReadPermitted(ByteView value, std::vector<std::string>* uris,
                            std::vector<std::string>* names) {
    const auto constraints = ReadSoleDer(value, kDerSequence);
    const auto permitted =
        constraints ? ReadSoleDer(constraints->content, DerContextConstructed(0)) : std::nullopt;
    DerReader subtrees(permitted ? permitted->content : ByteView());
    while (!subtrees.AtEnd()) {
      auto subtree = subtrees.Enter(kDerSequence);
      const auto name = subtree ? subtree->Next() : std::nullopt;
      if (!name || !subtree->AtEnd() || !IsConstraint(AsText(name->content))) return false;
      if (name->tag != DerContext(6) && name->tag != DerContext(2)) return false;
      (name->tag == DerContext(6) ? uris : names)->emplace_back(AsText(name->content));
    }
    return permitted.has_value();
  }

  // A host, without a scheme: one with a scheme matches nothing.
  static bool IsConstraint(std::string_view text) {
    return IsVisible(text) && text.find_first_of(" /:") == text.npos;
  }

  void CheckKeyIdentifiers() {
    const Extension* const subject = Find(kOidSubjectKeyId);
    const auto id = subject ? ReadSoleDer(subject->value, kDerOctetString) : std::nullopt;
    Require(id && !subject->critical && !key_id_.empty() && Equal(id->content, key_id_), "R-06",
            "subjectKeyIdentifier is missing, critical or not SHA-1 of the key bits");
    if (expected_.root) return;
    const Extension* const authority = Find(kOidAuthorityKeyId);
    const auto fields = authority ? ReadSoleDer(authority->value, kDerSequence) : std::nullopt;
    const auto key_id = fields ? ReadSoleDer(fields->content, DerContext(0)) : std::nullopt;
    Require(
        key_id && !authority->critical && !key_id->content.empty() &&
            Equal(key_id->content, expected_.authority_key_id),
        "R-05",
        "authorityKeyIdentifier is missing, critical or not the authority's key identifier alone");
  }

  void CheckSubjectAltName() {
    const Extension* const extension = Find(kOidSubjectAltName);
    Require(extension != nullptr, "X-01", "no subjectAltName");
    if (extension == nullptr) return;
    Require(extension->critical == HasEmptySubject(), "X-04",
            "subjectAltName must be critical exactly when the subject is empty");
    const auto list = ReadSoleDer(extension->value, kDerSequence);
    DerReader names(list ? list->content : ByteView());
    std::size_t uris = 0;
    while (!names.AtEnd()) {
      const auto name = names.Next();
      if (!name) break;
      if (name->tag == DerContext(6)) {
        ++uris;
        CheckUri(AsText(name->content));
      } else {
        Require(name->tag == DerContext(2) && !expected_.authority(), "R-09",
                "a name that is neither URI nor DNS");
        Require(IsVisible(AsText(name->content)), "R-09",
                "a DNS name is empty or not printable ASCII");
      }
    }
    Require(list && names.AtEnd(), "R-09", "subjectAltName is malformed");
    Require(uris == 1, "X-01", "not exactly one URI");
  }

  static bool IsVisible(std::string_view text) {
    return !text.empty() &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
  }

  void CheckUri(std::string_view uri) {
    Require(uri == expected_.uri, "X-01", "the URI is not the one asked for");
    const auto scheme = uri.find("://");
    Require(IsVisible(uri) && scheme != std::string_view::npos && scheme > 0, "R-09",
            "the URI has no scheme or host");
    if (scheme == std::string_view::npos) return;
    const std::string_view rest = uri.substr(scheme + 3);
    const auto slash = rest.find('/');
    Require(!rest.empty() && slash != 0, "R-09", "the URI has no host");
    const bool has_path = slash != std::string_view::npos && slash + 1 < rest.size();
    if (expected_.authority()) {
      Require(slash == std::string_view::npos, "X-06", "an authority's URI has a path");
    } else {
      Require(has_path, "X-03", "a leaf's URI has no path");
    }
  }

  const Tbs& tbs_;
  const Expected& expected_;
  Findings findings_;
  bool is_rsa_ = false;
  Bytes key_id_;
};

Findings NoTbs() { return {{"R-11", "not a version 3 TBSCertificate in DER with extensions"}}; }

}  // namespace

Findings LintTbs(ByteView tbs, Purpose purpose, std::string_view expected_uri, ByteView issuer_name,
                 ByteView authority_key_id, WallTime authority_not_after) {
  if (purpose == Purpose::kDownstreamCa) return {{"X-09", "its limits are not stated"}};
  const auto read = ReadTbs(tbs);
  if (!read) return NoTbs();
  const Expected expected{.root = purpose == Purpose::kRoot,
                          .downstream = nullptr,
                          .uri = expected_uri,
                          .issuer = issuer_name,
                          .authority_key_id = authority_key_id,
                          .authority_not_after = authority_not_after};
  return Lint(*read, expected).Run();
}

Findings LintDownstreamTbs(ByteView tbs, const DownstreamProfile& profile,
                           const SigningAuthority& authority) {
  const auto read = ReadTbs(tbs);
  if (!read) return NoTbs();
  const Expected expected{.root = false,
                          .downstream = &profile.limits,
                          .uri = profile.uri_san,
                          .issuer = authority.name,
                          .authority_key_id = authority.key_id,
                          .authority_not_after = authority.not_after};
  return Lint(*read, expected).Run();
}

}  // namespace signet::ca
