#include "ca/x509/certificate.h"

#include <fmt/format.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <mutex>

#include "base/check.h"
#include "ca/crypto/handle.h"
#include "ca/x509/der.h"
#include "ca/x509/der_strict.h"

namespace signet::ca {
namespace {

using GeneralNamesHandle = Handle<GENERAL_NAMES, GENERAL_NAMES_free>;
using BasicConstraintsHandle = Handle<BASIC_CONSTRAINTS, BASIC_CONSTRAINTS_free>;
using BitStringHandle = Handle<ASN1_BIT_STRING, ASN1_BIT_STRING_free>;
using OctetStringHandle = Handle<ASN1_OCTET_STRING, ASN1_OCTET_STRING_free>;
using AuthorityKeyIdHandle = Handle<AUTHORITY_KEYID, AUTHORITY_KEYID_free>;
using ExtendedKeyUsageHandle = Handle<EXTENDED_KEY_USAGE, EXTENDED_KEY_USAGE_free>;

// Bounds on what one certificate may hold, far above any honest one.
constexpr int kMaxExtensions = 64;
constexpr int kMaxSubjectAltNames = 256;
constexpr int kMaxExtendedKeyUsages = 64;
constexpr std::size_t kMaxSerialOctets = 20;  // RFC 5280, 4.1.2.2

tl::unexpected<Error> Malformed(std::string what) {
  ERR_clear_error();
  return Fail(Code::kInvalidArgument, kCertificateMalformed, std::move(what));
}

ByteView View(const ASN1_STRING* string) {
  const int size = ASN1_STRING_length(string);
  return {ASN1_STRING_get0_data(string), static_cast<std::size_t>(size)};
}

Bytes NameDer(const X509_NAME* name) {
  const unsigned char* der = nullptr;
  std::size_t size = 0;
  if (X509_NAME_get0_der(name, &der, &size) != 1) return {};
  return Bytes(der, der + size);
}

// RFC 5280, 4.1.2.5: "YYMMDDHHMMSSZ" or "YYYYMMDDHHMMSSZ", nothing else. Times beyond what WallTime
// holds are cut to its ends.
Result<WallTime> ReadTime(const ASN1_TIME* time) {
  const std::string_view text = AsText(View(time));
  const bool is_utc = time->type == V_ASN1_UTCTIME;
  const std::size_t year_digits = is_utc ? 2 : 4;
  const bool shaped = text.size() == year_digits + 11 && text.back() == 'Z' &&
                      std::ranges::all_of(text.substr(0, text.size() - 1),
                                          [](char c) { return c >= '0' && c <= '9'; });
  if (!shaped) return Malformed("a validity time is not in the form RFC 5280 asks for");
  const auto number = [&](std::size_t at, std::size_t digits) {
    int value = 0;
    for (std::size_t i = at; i < at + digits; ++i) value = value * 10 + (text[i] - '0');
    return value;
  };
  int year = number(0, year_digits);
  if (is_utc) year += year >= 50 ? 1900 : 2000;
  std::array<int, 5> rest{};  // month, day, hour, minute, second
  for (std::size_t i = 0; i < rest.size(); ++i) rest[i] = number(year_digits + 2 * i, 2);
  const std::chrono::year_month_day date(std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(rest[0])),
                                         std::chrono::day(static_cast<unsigned>(rest[1])));
  if (!date.ok() || rest[2] > 23 || rest[3] > 59 || rest[4] > 59)
    return Malformed("a validity time names no moment");
  const std::int64_t seconds =
      std::int64_t{std::chrono::sys_days(date).time_since_epoch().count()} * 86400 +
      rest[2] * 3600 + rest[3] * 60 + rest[4];
  return FromUnixSeconds(
      std::clamp(seconds, UnixSeconds(WallTime::min()) + 1, UnixSeconds(WallTime::max())));
}

// An extension by its NID: null when absent.
template <class ExtensionHandle>
Result<ExtensionHandle> ReadExtension(const X509* x509, int nid, bool* critical = nullptr) {
  int state = 0;  // -1: absent, -2: there twice, else the critical flag
  ExtensionHandle extension(
      static_cast<typename ExtensionHandle::pointer>(X509_get_ext_d2i(x509, nid, &state, nullptr)));
  if (extension == nullptr && state != -1)
    return Malformed(fmt::format("extension {} does not decode", OBJ_nid2sn(nid)));
  if (critical != nullptr) *critical = state == 1;
  return extension;
}

std::string DottedOid(const ASN1_OBJECT* object) {
  std::array<char, 256> text{};
  const int size = OBJ_obj2txt(text.data(), text.size(), object, 1);
  return size > 0 && static_cast<std::size_t>(size) < text.size() ? std::string(text.data()) : "";
}

// RFC 5280, 4.2: no extension twice, and only in version 3.
Status CheckExtensionList(const X509* x509) {
  const int count = X509_get_ext_count(x509);
  if (count > kMaxExtensions) return Malformed("too many extensions");
  if (count > 0 && X509_get_version(x509) != X509_VERSION_3)
    return Malformed("extensions in a certificate that is not version 3");
  for (int i = 0; i < count; ++i) {
    const X509_EXTENSION* extension = X509_get_ext(x509, i);
    const ASN1_OBJECT* object = X509_EXTENSION_get_object(const_cast<X509_EXTENSION*>(extension));
    if (X509_get_ext_by_OBJ(x509, object, i) >= 0)
      return Malformed(fmt::format("extension {} is there twice", DottedOid(object)));
    const bool known = X509_supported_extension(const_cast<X509_EXTENSION*>(extension)) == 1;
    if (known &&
        !IsStrictDer(View(X509_EXTENSION_get_data(const_cast<X509_EXTENSION*>(extension)))))
      return Malformed(fmt::format("extension {} is not DER", DottedOid(object)));
  }
  return {};
}

}  // namespace

struct Certificate::State {
  mutable X509Handle x509;  // by Decoded(), but while Parse() works
  mutable std::once_flag decode_once;
  Bytes der;
  ByteView tbs;  // into der
  Bytes serial;
  Bytes subject;
  Bytes issuer;
  WallTime not_before;
  WallTime not_after;
  PublicKey public_key;
  std::vector<std::string> uri_sans;
  std::vector<std::string> dns_sans;
  std::size_t other_san_count = 0;
  bool subject_alt_name_critical = false;
  bool is_ca = false;
  std::optional<int> path_length;
  std::optional<KeyUsage> key_usage;
  std::vector<std::string> extended_key_usages;
  Bytes subject_key_id;
  Bytes authority_key_id;
  bool self_issued = false;
  Sha256Digest fingerprint{};

  X509* Decoded() const;
  void SetDer(ByteView bytes);
  Status ReadFields();
  Status ReadSerial();
  Status ReadSubjectAltNames();
  Status ReadBasicConstraints();
  Status ReadKeyUsage();
  Status ReadExtendedKeyUsage();
  Status ReadKeyIds();
};

X509* Certificate::State::Decoded() const {
  std::call_once(decode_once, [this] {
    if (x509 != nullptr) return;
    const unsigned char* at = der.data();
    x509.reset(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
    CHECK_TRUE(x509 != nullptr && X509_check_purpose(x509.get(), -1, 0) == 1);
  });
  return x509.get();
}

// `bytes` are one SEQUENCE that begins with another, the signed part.
void Certificate::State::SetDer(ByteView bytes) {
  der = ToBytes(bytes);
  const auto outer = ReadSoleDer(der, kDerSequence);
  const auto inner = outer ? DerReader(outer->content).Next() : std::nullopt;
  CHECK_TRUE(inner.has_value());
  tbs = inner->whole;
  fingerprint = Sha256(der);
}

Status Certificate::State::ReadFields() {
  SIGNET_RETURN_IF_ERROR(CheckExtensionList(x509.get()));
  // Decodes the extensions OpenSSL knows and remembers them, now rather than on first use: name
  // constraints are later checked against what is remembered here.
  if (X509_check_purpose(x509.get(), -1, 0) != 1) return Malformed("an extension does not decode");
  SIGNET_RETURN_IF_ERROR(ReadSerial());
  subject = NameDer(X509_get_subject_name(x509.get()));
  issuer = NameDer(X509_get_issuer_name(x509.get()));
  self_issued =
      X509_NAME_cmp(X509_get_subject_name(x509.get()), X509_get_issuer_name(x509.get())) == 0;
  SIGNET_TRY(not_before, ReadTime(X509_get0_notBefore(x509.get())));
  SIGNET_TRY(not_after, ReadTime(X509_get0_notAfter(x509.get())));
  EVP_PKEY* key = X509_get0_pubkey(x509.get());
  if (key == nullptr) return Malformed("the public key does not decode: " + TakeOpenSslError());
  SIGNET_TRY(public_key, PublicKey::FromHandle(key));
  SIGNET_RETURN_IF_ERROR(ReadSubjectAltNames());
  SIGNET_RETURN_IF_ERROR(ReadBasicConstraints());
  SIGNET_RETURN_IF_ERROR(ReadKeyUsage());
  SIGNET_RETURN_IF_ERROR(ReadExtendedKeyUsage());
  return ReadKeyIds();
}

// RFC 5280, 4.1.2.2. Zero is left to path validation, which refuses it below the anchor.
Status Certificate::State::ReadSerial() {
  const ASN1_INTEGER* number = X509_get0_serialNumber(x509.get());
  if (number->type == V_ASN1_NEG_INTEGER) return Malformed("the serial number is negative");
  const ByteView magnitude = View(number);
  const std::size_t pad = !magnitude.empty() && (magnitude[0] & 0x80) != 0 ? 1 : 0;
  if (magnitude.size() + pad > kMaxSerialOctets)
    return Malformed("the serial number is longer than 20 octets");
  serial.assign(std::ranges::find_if(magnitude, [](std::uint8_t b) { return b != 0; }),
                magnitude.end());
  return {};
}

Status Certificate::State::ReadSubjectAltNames() {
  SIGNET_TRY(const GeneralNamesHandle names,
             ReadExtension<GeneralNamesHandle>(x509.get(), NID_subject_alt_name,
                                               &subject_alt_name_critical));
  if (names == nullptr) return {};
  const int count = sk_GENERAL_NAME_num(names.get());
  if (count == 0) return Malformed("subjectAltName is empty");
  if (count > kMaxSubjectAltNames) return Malformed("too many subject alternative names");
  for (int i = 0; i < count; ++i) {
    int type = 0;
    const void* value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type);
    if (type == GEN_URI)
      uri_sans.push_back(ToString(View(static_cast<const ASN1_STRING*>(value))));
    else if (type == GEN_DNS)
      dns_sans.push_back(ToString(View(static_cast<const ASN1_STRING*>(value))));
    else
      ++other_san_count;
  }
  return {};
}

Status Certificate::State::ReadBasicConstraints() {
  SIGNET_TRY(const BasicConstraintsHandle constraints,
             ReadExtension<BasicConstraintsHandle>(x509.get(), NID_basic_constraints));
  if (constraints == nullptr) return {};
  is_ca = constraints->ca != 0;
  if (constraints->pathlen == nullptr) return {};
  if (constraints->pathlen->type == V_ASN1_NEG_INTEGER)
    return Malformed("pathLenConstraint is negative");
  std::int64_t length = 0;
  if (ASN1_INTEGER_get_int64(&length, constraints->pathlen) != 1)
    return Malformed("pathLenConstraint is out of range");
  path_length = static_cast<int>(std::min<std::int64_t>(length, 1000));
  return {};
}

Status Certificate::State::ReadKeyUsage() {
  bool critical = false;
  SIGNET_TRY(const BitStringHandle bits,
             ReadExtension<BitStringHandle>(x509.get(), NID_key_usage, &critical));
  if (bits == nullptr) return {};
  KeyUsage usage;
  usage.critical = critical;
  for (int bit = 0; bit < 9; ++bit)
    if (ASN1_BIT_STRING_get_bit(bits.get(), bit) == 1)
      usage.bits = static_cast<std::uint16_t>(usage.bits | (1U << bit));
  usage.digital_signature = (usage.bits & 1U) != 0;
  usage.key_cert_sign = (usage.bits & (1U << 5)) != 0;
  usage.crl_sign = (usage.bits & (1U << 6)) != 0;
  key_usage = usage;
  return {};
}

Status Certificate::State::ReadExtendedKeyUsage() {
  SIGNET_TRY(const ExtendedKeyUsageHandle usages,
             ReadExtension<ExtendedKeyUsageHandle>(x509.get(), NID_ext_key_usage));
  if (usages == nullptr) return {};
  const int count = sk_ASN1_OBJECT_num(usages.get());
  if (count == 0) return Malformed("extKeyUsage is empty");
  if (count > kMaxExtendedKeyUsages) return Malformed("too many extended key usages");
  for (int i = 0; i < count; ++i)
    extended_key_usages.push_back(DottedOid(sk_ASN1_OBJECT_value(usages.get(), i)));
  return {};
}

Status Certificate::State::ReadKeyIds() {
  SIGNET_TRY(const OctetStringHandle subject_id,
             ReadExtension<OctetStringHandle>(x509.get(), NID_subject_key_identifier));
  if (subject_id != nullptr) subject_key_id = ToBytes(View(subject_id.get()));
  SIGNET_TRY(const AuthorityKeyIdHandle authority_id,
             ReadExtension<AuthorityKeyIdHandle>(x509.get(), NID_authority_key_identifier));
  if (authority_id != nullptr && authority_id->keyid != nullptr)
    authority_key_id = ToBytes(View(authority_id->keyid));
  return {};
}

Result<Certificate> Certificate::Parse(ByteView der) {
  if (der.size() > kMaxCertificateBytes) return Malformed("larger than 64 KiB");
  if (!IsStrictDer(der)) return Malformed("not exactly one DER element");
  auto state = std::make_shared<State>();
  const unsigned char* at = der.data();
  state->x509.reset(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (state->x509 == nullptr || at != der.data() + der.size())
    return Malformed("not an X.509 certificate: " + TakeOpenSslError());
  state->SetDer(der);
  SIGNET_RETURN_IF_ERROR(state->ReadFields());
  Certificate certificate;
  certificate.state_ = std::move(state);
  return certificate;
}

Certificate Certificate::FromIssuedLeaf(ByteView der, IssuedLeaf leaf) {
  auto state = std::make_shared<State>();
  state->SetDer(der);
  state->serial = std::move(leaf.serial);
  state->subject = std::move(leaf.subject);
  state->issuer = std::move(leaf.issuer);
  state->not_before = std::chrono::floor<std::chrono::seconds>(leaf.not_before);
  state->not_after = std::chrono::floor<std::chrono::seconds>(leaf.not_after);
  state->subject_key_id = leaf.public_key.SubjectKeyId();
  state->public_key = std::move(leaf.public_key);
  state->uri_sans.push_back(std::move(leaf.uri_san));
  state->dns_sans = std::move(leaf.dns_sans);
  KeyUsage usage;
  usage.bits = leaf.key_usage_bits;
  usage.digital_signature = (usage.bits & 1U) != 0;
  usage.critical = true;
  state->key_usage = usage;
  state->extended_key_usages = {"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"};
  state->authority_key_id = std::move(leaf.authority_key_id);
  state->self_issued = Equal(state->subject, state->issuer);
  Certificate certificate;
  certificate.state_ = std::move(state);
  return certificate;
}

ByteView Certificate::der() const { return state_->der; }
ByteView Certificate::tbs() const { return state_->tbs; }
ByteView Certificate::serial() const { return state_->serial; }

std::string Certificate::SerialDecimal() const {
  const BignumHandle number(
      BN_bin2bn(state_->serial.data(), static_cast<int>(state_->serial.size()), nullptr));
  CHECK_TRUE(number != nullptr);
  char* text = BN_bn2dec(number.get());
  CHECK_TRUE(text != nullptr);
  std::string decimal(text);
  OPENSSL_free(text);
  return decimal;
}

std::string Certificate::SerialHex() const { return EncodeHex(state_->serial); }
ByteView Certificate::subject() const { return state_->subject; }
ByteView Certificate::issuer() const { return state_->issuer; }

bool Certificate::HasEmptySubject() const {
  return X509_NAME_entry_count(X509_get_subject_name(state_->Decoded())) == 0;
}

std::string Certificate::SubjectText() const {
  const BioHandle bio(BIO_new(BIO_s_mem()));
  CHECK_TRUE(bio != nullptr);
  if (X509_NAME_print_ex(bio.get(), X509_get_subject_name(state_->Decoded()), 0, XN_FLAG_RFC2253) <
      0)
    return {};
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return size > 0 ? std::string(text, static_cast<std::size_t>(size)) : std::string();
}

WallTime Certificate::not_before() const { return state_->not_before; }
WallTime Certificate::not_after() const { return state_->not_after; }
const PublicKey& Certificate::public_key() const { return state_->public_key; }
const std::vector<std::string>& Certificate::uri_sans() const { return state_->uri_sans; }
const std::vector<std::string>& Certificate::dns_sans() const { return state_->dns_sans; }
std::size_t Certificate::other_san_count() const { return state_->other_san_count; }
bool Certificate::subject_alt_name_critical() const { return state_->subject_alt_name_critical; }
bool Certificate::is_ca() const { return state_->is_ca; }
std::optional<int> Certificate::path_length() const { return state_->path_length; }
const std::optional<KeyUsage>& Certificate::key_usage() const { return state_->key_usage; }
const std::vector<std::string>& Certificate::extended_key_usages() const {
  return state_->extended_key_usages;
}
const Bytes& Certificate::subject_key_id() const { return state_->subject_key_id; }
const Bytes& Certificate::authority_key_id() const { return state_->authority_key_id; }
bool Certificate::self_issued() const { return state_->self_issued; }

bool Certificate::IsSelfSigned() const {
  const bool verified =
      state_->self_issued && X509_verify(state_->Decoded(), state_->public_key.handle()) == 1;
  ERR_clear_error();
  return verified;
}

const Sha256Digest& Certificate::fingerprint() const { return state_->fingerprint; }
X509* Certificate::handle() const { return state_->Decoded(); }

bool Certificate::operator==(const Certificate& other) const {
  if (state_ == other.state_) return true;
  return state_ != nullptr && other.state_ != nullptr && state_->der == other.state_->der;
}

}  // namespace signet::ca
