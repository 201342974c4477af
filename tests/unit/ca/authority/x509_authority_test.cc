#include "ca/authority/x509_authority.h"

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <catch2/catch.hpp>
#include <map>
#include <random>

#include "ca/crypto/handle.h"
#include "ca/x509/path.h"
#include "tests/support/fake_random.h"

namespace signet::ca {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

const WallTime kNow = FromUnixSeconds(1'767'225'600);  // 2026-01-01T00:00:00Z

// Signs as its key does and counts; refuses when told.
class CountingSigner final : public Signer {
 public:
  explicit CountingSigner(KeyType type) : key_(PrivateKey::Generate(type).value()) {}
  const PublicKey& public_key() const override { return key_.public_key(); }
  Result<Bytes> Sign(SignatureAlgorithm algorithm, ByteView message) const override {
    ++signatures;
    return key_.Sign(algorithm, message);
  }
  const PrivateKey& key() const { return key_; }
  mutable int signatures = 0;

 private:
  PrivateKey key_;
};

RootProfile DayOfRoot() {
  return {.uri_san = "spiffe://example.org",
          .subject = {},
          .not_before = kNow - seconds(10),
          .not_after = kNow + hours(24)};
}

LeafProfile HourOfLeaf() {
  return {.purpose = Purpose::kWorkload,
          .uri_san = "spiffe://example.org/w",
          .dns_sans = {},
          .subject = {},
          .not_before = kNow - seconds(10),
          .not_after = kNow + hours(1)};
}

Status Recorded(const IssuanceIntent&) { return {}; }

std::shared_ptr<const X509Authority> NewAuthority(KeyType type = KeyType::kEcP256) {
  OsRandom random;
  auto authority = X509Authority::CreateRoot(DayOfRoot(), std::make_shared<CountingSigner>(type),
                                             random, Recorded);
  REQUIRE(authority);
  return *authority;
}

Result<Certificate> Issue(const X509Authority& authority, const PublicKey& key,
                          const LeafProfile& profile) {
  OsRandom random;
  SIGNET_TRY(const PreparedCertificate prepared, authority.Prepare(key, profile, random, kNow));
  return authority.Sign(prepared);
}

// One key of each type serves all tests: making RSA keys takes seconds.
const PrivateKey& KeyOf(KeyType type) {
  static std::map<KeyType, PrivateKey> keys;
  auto found = keys.find(type);
  if (found == keys.end()) found = keys.emplace(type, PrivateKey::Generate(type).value()).first;
  return found->second;
}
PublicKey NewPublicKey(KeyType type = KeyType::kEcP256) { return KeyOf(type).public_key(); }

void Extend(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  REQUIRE(extension != nullptr);
  REQUIRE(X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

// The textbook way to lay out what `ours` holds, with OpenSSL doing the encoding.
Bytes TextbookTbs(const Certificate& ours, const Certificate& root, const PrivateKey& root_key,
                  const char* key_usage, const char* names) {
  const X509Handle x509(X509_new());
  X509_set_version(x509.get(), X509_VERSION_3);
  const BignumHandle serial(
      BN_bin2bn(ours.serial().data(), static_cast<int>(ours.serial().size()), nullptr));
  BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(x509.get()));
  X509_set_issuer_name(x509.get(), X509_get_subject_name(root.handle()));
  ASN1_TIME_set(X509_getm_notBefore(x509.get()), UnixSeconds(ours.not_before()));
  ASN1_TIME_set(X509_getm_notAfter(x509.get()), UnixSeconds(ours.not_after()));
  X509_set_subject_name(x509.get(), X509_get_subject_name(ours.handle()));
  X509_set_pubkey(x509.get(), ours.public_key().handle());
  Extend(x509.get(), root.handle(), NID_key_usage, key_usage);
  Extend(x509.get(), root.handle(), NID_ext_key_usage, "serverAuth,clientAuth");
  Extend(x509.get(), root.handle(), NID_basic_constraints, "critical,CA:FALSE");
  Extend(x509.get(), root.handle(), NID_subject_key_identifier, "hash");
  Extend(x509.get(), root.handle(), NID_authority_key_identifier, "keyid:always");
  Extend(x509.get(), root.handle(), NID_subject_alt_name, names);
  const bool is_p384 = root_key.public_key().HasType(KeyType::kEcP384);
  REQUIRE(X509_sign(x509.get(), root_key.handle(), is_p384 ? EVP_sha384() : EVP_sha256()) > 0);
  std::uint8_t* der = nullptr;
  const int size = i2d_re_X509_tbs(x509.get(), &der);
  Bytes tbs(der, der + size);
  OPENSSL_free(der);
  return tbs;
}

std::vector<std::string> ExtensionNames(const Certificate& certificate) {
  std::vector<std::string> names;
  for (int i = 0; i < X509_get_ext_count(certificate.handle()); ++i) {
    X509_EXTENSION* extension = X509_get_ext(certificate.handle(), i);
    names.push_back(std::string(OBJ_nid2sn(OBJ_obj2nid(X509_EXTENSION_get_object(extension)))) +
                    (X509_EXTENSION_get_critical(extension) != 0 ? " critical" : ""));
  }
  return names;
}

bool SignedBy(const Certificate& certificate, const Certificate& issuer) {
  return X509_verify(certificate.handle(), issuer.public_key().handle()) == 1;
}

}  // namespace

TEST_CASE("a root of each key type is self-signed and holds what SPIRE's roots hold") {
  for (const KeyType type :
       {KeyType::kEcP256, KeyType::kEcP384, KeyType::kRsa2048, KeyType::kRsa4096}) {
    INFO(KeyTypeName(type));
    const auto authority = NewAuthority(type);
    const Certificate& root = authority->certificate();
    CHECK(SignedBy(root, root));
    CHECK(root.IsSelfSigned());
    CHECK(root.public_key().HasType(type));
    CHECK(root.SubjectText() == "serialNumber=" + root.SerialDecimal() + ",O=SPIFFE,C=US");
    CHECK(root.uri_sans() == std::vector<std::string>{"spiffe://example.org"});
    CHECK(root.is_ca());
    CHECK(root.key_usage()->bits == ((1 << 5) | (1 << 6)));
    CHECK(root.authority_key_id().empty());
    CHECK(root.not_after() - root.not_before() == seconds(86410));
    CHECK(authority->id() == EncodeHex(root.subject_key_id()));
    CHECK(root.subject_key_id() == root.public_key().SubjectKeyId());
    CHECK(authority->upstream_chain().empty());
    CHECK(ExtensionNames(root) ==
          std::vector<std::string>{"keyUsage critical", "basicConstraints critical",
                                   "subjectKeyIdentifier", "subjectAltName"});
  }
}

TEST_CASE("a root's subject can be chosen and always ends with its serial") {
  RootProfile profile = DayOfRoot();
  profile.subject = {{"2.5.4.6", "DE"}, {"2.5.4.10", "Größe*"}, {"2.5.4.3", "Root"}};
  OsRandom random;
  const auto authority = X509Authority::CreateRoot(
      profile, std::make_shared<CountingSigner>(KeyType::kEcP256), random, Recorded);
  REQUIRE(authority);
  const Certificate& root = (*authority)->certificate();
  CHECK(X509_NAME_entry_count(X509_get_subject_name(root.handle())) == 4);
  profile.subject = {{"2.5.4", "x"}, {"", "y"}};
  const auto signer = std::make_shared<CountingSigner>(KeyType::kEcP256);
  for (const NameAttribute& bad : std::vector<NameAttribute>{{"", "x"},
                                                             {"2", "x"},
                                                             {"2.5.x", "x"},
                                                             {"2.5.", "x"},
                                                             {"2.40", "x"},
                                                             {"3.1", "x"},
                                                             {"2.05", "x"},
                                                             {"2.5.4.3", ""},
                                                             {"2.5.4.3", "\xc3"},
                                                             {"2.5.4.3", "\xed\xa0\x80"},
                                                             {"2.5.4.3", "\xc0\x80"}}) {
    profile.subject = {bad};
    CHECK(X509Authority::CreateRoot(profile, signer, random, Recorded).error().reason ==
          kProfileRefused);
  }
  CHECK(signer->signatures == 0);
}

TEST_CASE("a root is signed only after it was linted and recorded") {
  OsRandom random;
  const auto signer = std::make_shared<CountingSigner>(KeyType::kEcP256);
  RootProfile with_path = DayOfRoot();
  with_path.uri_san = "spiffe://example.org/x";
  bool recorded = false;
  const auto record = [&](const IssuanceIntent&) -> Status {
    recorded = true;
    return {};
  };
  CHECK(X509Authority::CreateRoot(with_path, signer, random, record).error().reason ==
        kProfileRefused);
  CHECK_FALSE(recorded);
  const auto failing = [&](const IssuanceIntent& intent) -> Status {
    CHECK(intent.purpose == Purpose::kRoot);
    CHECK(intent.uri_san == "spiffe://example.org");
    CHECK(intent.authority_key_id == signer->public_key().SubjectKeyId());
    CHECK(signer->signatures == 0);
    return Fail(Code::kUnavailable, kSigningFailed, "no journal");
  };
  CHECK(X509Authority::CreateRoot(DayOfRoot(), signer, random, failing).error().code ==
        Code::kUnavailable);
  CHECK(signer->signatures == 0);
}

TEST_CASE("a serial number reads the same before and after it is signed") {
  const auto decimal = [](Bytes serial) {
    IssuanceIntent intent;
    intent.serial = std::move(serial);
    return intent.SerialDecimal();
  };
  CHECK(decimal({0x01}) == "1");
  CHECK(decimal({0x0a}) == "10");
  CHECK(decimal({0x01, 0x00}) == "256");
  CHECK(decimal(Bytes(20, 0xff)) == "1461501637330902918203684832716283019655932542975");
}

TEST_CASE("leaves are laid out byte for byte as OpenSSL lays them out") {
  OsRandom random;
  const auto signer = std::make_shared<CountingSigner>(KeyType::kEcP256);
  const auto authority = X509Authority::CreateRoot(DayOfRoot(), signer, random, Recorded).value();
  const Certificate& root = authority->certificate();
  for (const KeyType type :
       {KeyType::kEcP256, KeyType::kEcP384, KeyType::kRsa2048, KeyType::kRsa4096}) {
    INFO(KeyTypeName(type));
    const bool rsa = type == KeyType::kRsa2048 || type == KeyType::kRsa4096;
    const char* usage =
        rsa ? "critical,digitalSignature,keyEncipherment" : "critical,digitalSignature";
    LeafProfile profile = HourOfLeaf();
    const auto plain = Issue(*authority, NewPublicKey(type), profile);
    REQUIRE(plain);
    CHECK(Equal(plain->tbs(),
                TextbookTbs(*plain, root, signer->key(), usage, "URI:spiffe://example.org/w")));
    profile.dns_sans = {"a.example", "*.b.example"};
    const auto named = Issue(*authority, NewPublicKey(type), profile);
    REQUIRE(named);
    CHECK(Equal(named->tbs(),
                TextbookTbs(*named, root, signer->key(), usage,
                            "URI:spiffe://example.org/w,DNS:a.example,DNS:*.b.example")));
    profile.dns_sans.clear();
    profile.subject = {0x30, 0x00};
    const auto nameless = Issue(*authority, NewPublicKey(type), profile);
    REQUIRE(nameless);
    CHECK(Equal(nameless->tbs(), TextbookTbs(*nameless, root, signer->key(), usage,
                                             "critical,URI:spiffe://example.org/w")));
  }
}

TEST_CASE("random profiles under authorities of each type: our bytes are OpenSSL's") {
  std::mt19937 dice(20261127);
  const auto pick = [&](std::size_t bound) { return static_cast<std::size_t>(dice() % bound); };
  const std::vector<KeyType> types = {KeyType::kEcP256, KeyType::kEcP384, KeyType::kRsa2048};
  const auto word = [&](std::size_t longest) {
    std::string text(1 + pick(longest), 'a');
    for (char& c : text) c = "abcdefghijklmnopqrstuvwxyz0123456789-"[pick(36)];
    return text;
  };
  OsRandom random;
  for (const KeyType authority_type : types) {
    const auto signer = std::make_shared<CountingSigner>(authority_type);
    RootProfile root_profile = DayOfRoot();
    root_profile.not_after = kNow + hours(24 * 365 * 60);  // so that some leaves end after 2049
    const auto authority =
        X509Authority::CreateRoot(root_profile, signer, random, Recorded).value();
    for (int round = 0; round < 120; ++round) {
      CAPTURE(KeyTypeName(authority_type), round);
      const KeyType type = types[pick(types.size())];
      LeafProfile profile = HourOfLeaf();
      profile.uri_san = "spiffe://example.org";
      for (std::size_t i = 0; i <= pick(8); ++i) profile.uri_san += "/" + word(1 + pick(200));
      for (std::size_t i = pick(12); i > 0; --i) profile.dns_sans.push_back(word(40) + ".example");
      profile.not_before = kNow + seconds(static_cast<std::int64_t>(pick(1'000'000)));
      profile.not_after = profile.not_before + hours(1 + pick(24 * 365 * 40));
      const bool is_nameless = pick(4) == 0;
      if (is_nameless) {
        profile.subject = {0x30, 0x00};
        profile.dns_sans.clear();
      }
      const auto leaf = Issue(*authority, NewPublicKey(type), profile);
      REQUIRE(leaf);
      std::string names = (is_nameless ? "critical,URI:" : "URI:") + profile.uri_san;
      for (const std::string& name : profile.dns_sans) names += ",DNS:" + name;
      const char* const usage = type == KeyType::kRsa2048
                                    ? "critical,digitalSignature,keyEncipherment"
                                    : "critical,digitalSignature";
      CHECK(Equal(leaf->tbs(), TextbookTbs(*leaf, authority->certificate(), signer->key(), usage,
                                           names.c_str())));
    }
  }
}

TEST_CASE("a leaf holds what SPIRE's leaves hold, but for key usage") {
  for (const KeyType type :
       {KeyType::kEcP256, KeyType::kEcP384, KeyType::kRsa2048, KeyType::kRsa4096}) {
    const auto authority = NewAuthority(type);
    LeafProfile profile = HourOfLeaf();
    profile.dns_sans = {"one.example.org", "two.example.org"};
    const auto leaf = Issue(*authority, NewPublicKey(), profile);
    REQUIRE(leaf);
    CHECK(SignedBy(*leaf, authority->certificate()));
    CHECK(leaf->SubjectText() == "CN=one.example.org,O=SPIRE,C=US");
    CHECK(leaf->dns_sans() == profile.dns_sans);
    CHECK(leaf->uri_sans() == std::vector<std::string>{profile.uri_san});
    CHECK(leaf->authority_key_id() == authority->certificate().subject_key_id());
    CHECK(leaf->not_after() - leaf->not_before() == seconds(3610));
    CHECK(leaf->key_usage()->bits == 1);
    CHECK(ExtensionNames(*leaf) ==
          std::vector<std::string>{"keyUsage critical", "extendedKeyUsage",
                                   "basicConstraints critical", "subjectKeyIdentifier",
                                   "authorityKeyIdentifier", "subjectAltName"});
  }
}

TEST_CASE("an issued leaf answers as the same bytes read back do") {
  const auto authority = NewAuthority();
  for (const KeyType type :
       {KeyType::kEcP256, KeyType::kEcP384, KeyType::kRsa2048, KeyType::kRsa4096}) {
    for (const bool named : {false, true}) {
      LeafProfile profile = HourOfLeaf();
      profile.not_after += std::chrono::milliseconds(700);
      if (named) profile.dns_sans = {"a.example", "*.b.example"};
      const auto issued = Issue(*authority, NewPublicKey(type), profile);
      REQUIRE(issued);
      const auto read = Certificate::Parse(issued->der());
      REQUIRE(read);
      CHECK(*issued == *read);
      CHECK(Equal(issued->tbs(), read->tbs()));
      CHECK(Equal(issued->serial(), read->serial()));
      CHECK(Equal(issued->subject(), read->subject()));
      CHECK(Equal(issued->issuer(), read->issuer()));
      CHECK(issued->HasEmptySubject() == read->HasEmptySubject());
      CHECK(issued->SubjectText() == read->SubjectText());
      CHECK(issued->not_before() == read->not_before());
      CHECK(issued->not_after() == read->not_after());
      CHECK(issued->public_key() == read->public_key());
      CHECK(issued->uri_sans() == read->uri_sans());
      CHECK(issued->dns_sans() == read->dns_sans());
      CHECK(issued->other_san_count() == read->other_san_count());
      CHECK(issued->subject_alt_name_critical() == read->subject_alt_name_critical());
      CHECK(issued->is_ca() == read->is_ca());
      CHECK(issued->path_length() == read->path_length());
      REQUIRE((issued->key_usage() && read->key_usage()));
      CHECK(issued->key_usage()->bits == read->key_usage()->bits);
      CHECK(issued->key_usage()->critical == read->key_usage()->critical);
      CHECK(issued->key_usage()->digital_signature == read->key_usage()->digital_signature);
      CHECK(issued->key_usage()->key_cert_sign == read->key_usage()->key_cert_sign);
      CHECK(issued->extended_key_usages() == read->extended_key_usages());
      CHECK(issued->subject_key_id() == read->subject_key_id());
      CHECK(issued->authority_key_id() == read->authority_key_id());
      CHECK(issued->self_issued() == read->self_issued());
      CHECK(issued->IsSelfSigned() == read->IsSelfSigned());
      CHECK(issued->fingerprint() == read->fingerprint());
      CHECK(X509_cmp(issued->handle(), read->handle()) == 0);
    }
  }
}

TEST_CASE("the first DNS name is the only CN, also beside a subject of the caller's") {
  const auto authority = NewAuthority();
  LeafProfile profile = HourOfLeaf();
  profile.dns_sans = {"*.a.example"};
  CHECK(Issue(*authority, NewPublicKey(), profile)->SubjectText() == "CN=*.a.example,O=SPIRE,C=US");
  // C=DE, CN=boss
  profile.subject = *DecodeHex("301c310b3009060355040613024445310d300b06035504030c04626f7373");
  CHECK(Issue(*authority, NewPublicKey(), profile)->SubjectText() == "CN=*.a.example,C=DE");
  profile.dns_sans.clear();
  CHECK(Issue(*authority, NewPublicKey(), profile)->SubjectText() == "CN=boss,C=DE");
  profile.dns_sans = {std::string(200, 'a')};
  CHECK(Issue(*authority, NewPublicKey(), profile)->SubjectText() ==
        "CN=" + std::string(200, 'a') + ",C=DE");
}

TEST_CASE("a profile that breaks a rule is refused with the rule's name") {
  const auto authority = NewAuthority();
  const auto refused = [&](auto spoil) {
    LeafProfile profile = HourOfLeaf();
    spoil(profile);
    const auto leaf = Issue(*authority, NewPublicKey(), profile);
    REQUIRE_FALSE(leaf);
    CHECK(leaf.error().reason == kProfileRefused);
    return leaf.error().detail;
  };
  CHECK(refused([](LeafProfile& p) { p.uri_san = "spiffe://example.org"; }).starts_with("X-03 "));
  CHECK(refused([](LeafProfile& p) { p.uri_san.clear(); }).starts_with("R-09 "));
  CHECK(refused([](LeafProfile& p) { p.not_after = p.not_before; }).starts_with("R-03 "));
  CHECK(refused([](LeafProfile& p) { p.dns_sans = {"a\nb"}; }).starts_with("R-09 "));
  CHECK(refused([](LeafProfile& p) { p.subject = {0x31, 0x00}; }).find("R-11") !=
        std::string::npos);
  CHECK_FALSE(refused([](LeafProfile& p) { p.purpose = Purpose::kDownstreamCa; }).empty());
  CHECK_FALSE(refused([](LeafProfile& p) { p.purpose = Purpose::kRoot; }).empty());
  CHECK_FALSE(refused([](LeafProfile& p) {
                p.subject = {0x30, 0x01, 0x05};
                p.dns_sans = {"a"};
              }).empty());
}

TEST_CASE("a leaf ends with its authority at the latest, and an ended authority issues none") {
  const auto authority = NewAuthority();
  LeafProfile profile = HourOfLeaf();
  profile.not_after = kNow + hours(48);
  const auto leaf = Issue(*authority, NewPublicKey(), profile);
  REQUIRE(leaf);
  CHECK(leaf->not_after() == authority->certificate().not_after());
  OsRandom random;
  const auto late = authority->Prepare(NewPublicKey(), HourOfLeaf(), random, kNow + hours(24));
  CHECK(late.error().reason == kAuthorityExpired);
}

TEST_CASE("keys that are certified are those of the list and Ed25519") {
  const auto authority = NewAuthority();
  const auto ed25519 = PublicKey::FromSpki(*DecodeHex(
      "302a300506032b657003210019bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1"));
  const auto leaf = Issue(*authority, *ed25519, HourOfLeaf());
  REQUIRE(leaf);
  CHECK(leaf->key_usage()->bits == 1);
  const auto compressed =
      PublicKey::FromSpki(*DecodeHex("3039301306072a8648ce3d020106082a8648ce3d030107032200036b17d1f"
                                     "2e12c4247f8bce6e563a440f277037d812deb33a0"
                                     "f4a13945d898c296"));
  CHECK(Issue(*authority, *compressed, HourOfLeaf()).error().reason == kKeyTypeRefused);
}

TEST_CASE("serials are positive, never zero and without leading zero octets") {
  const auto authority = NewAuthority();
  test::FakeRandom zeros(0x00), ones(0xff);
  CHECK(authority->Prepare(NewPublicKey(), HourOfLeaf(), zeros, kNow)->intent.serial == Bytes{1});
  const auto largest = authority->Prepare(NewPublicKey(), HourOfLeaf(), ones, kNow);
  CHECK(largest->intent.serial.size() == 16);
  CHECK(largest->intent.serial.front() == 0x7f);
  const auto leaf = authority->Sign(*largest);
  REQUIRE(leaf);
  CHECK(Equal(leaf->serial(), largest->intent.serial));
  CHECK(leaf->SerialDecimal() == "170141183460469231731687303715884105727");
}

TEST_CASE("an authority signs only what it prepared itself") {
  const auto one = NewAuthority(), other = NewAuthority();
  OsRandom random;
  const auto prepared = one->Prepare(NewPublicKey(), HourOfLeaf(), random, kNow);
  CHECK(other->Sign(*prepared).error().reason == kAuthorityKeyMismatch);
  CHECK(one->Sign(*prepared));
}

TEST_CASE("an authority is restored only over its own key and a certificate that may sign") {
  OsRandom random;
  const auto signer = std::make_shared<CountingSigner>(KeyType::kEcP256);
  const auto authority = X509Authority::CreateRoot(DayOfRoot(), signer, random, Recorded).value();
  const auto restored = X509Authority::Create({authority->certificate()}, signer);
  REQUIRE(restored);
  CHECK((*restored)->id() == authority->id());
  const auto foreign = std::make_shared<CountingSigner>(KeyType::kEcP256);
  CHECK(X509Authority::Create({authority->certificate()}, foreign).error().reason ==
        kAuthorityKeyMismatch);
  CHECK(X509Authority::Create({}, signer).error().reason == kAuthorityMayNotSign);
  CHECK(X509Authority::Create({authority->certificate()}, nullptr).error().reason ==
        kAuthorityMayNotSign);
  const auto leaf = Issue(*authority, foreign->public_key(), HourOfLeaf());
  CHECK(X509Authority::Create({*leaf}, foreign).error().reason == kAuthorityMayNotSign);
}

TEST_CASE("an intermediate authority sends its chain along, and no leaf outlives the chain") {
  OsRandom random;
  const auto root_signer = std::make_shared<CountingSigner>(KeyType::kEcP256);
  const auto root = X509Authority::CreateRoot(DayOfRoot(), root_signer, random, Recorded).value();
  const auto signer = std::make_shared<CountingSigner>(KeyType::kEcP256);
  const X509Handle x509(X509_new());
  X509_set_version(x509.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(x509.get()), 7);
  X509_set_issuer_name(x509.get(), X509_get_subject_name(root->certificate().handle()));
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x509.get()), "O", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("Intermediate"), -1, -1, 0);
  ASN1_TIME_set(X509_getm_notBefore(x509.get()), UnixSeconds(kNow));
  ASN1_TIME_set(X509_getm_notAfter(x509.get()), UnixSeconds(kNow + hours(100)));
  X509_set_pubkey(x509.get(), signer->key().handle());
  Extend(x509.get(), root->certificate().handle(), NID_key_usage, "critical,keyCertSign");
  Extend(x509.get(), root->certificate().handle(), NID_basic_constraints, "critical,CA:TRUE");
  Extend(x509.get(), root->certificate().handle(), NID_subject_key_identifier, "hash");
  REQUIRE(X509_sign(x509.get(), root_signer->key().handle(), EVP_sha256()) > 0);
  std::uint8_t* der = nullptr;
  const int size = i2d_X509(x509.get(), &der);
  const auto intermediate = Certificate::Parse({der, static_cast<std::size_t>(size)});
  OPENSSL_free(der);
  REQUIRE(intermediate);
  const auto authority = X509Authority::Create({*intermediate, root->certificate()}, signer);
  REQUIRE(authority);
  REQUIRE((*authority)->upstream_chain().size() == 1);
  CHECK((*authority)->upstream_chain()[0] == *intermediate);
  LeafProfile profile = HourOfLeaf();
  profile.not_after = kNow + hours(50);
  const auto leaf = Issue(**authority, NewPublicKey(), profile);
  REQUIRE(leaf);
  CHECK(leaf->not_after() == root->certificate().not_after());
}

TEST_CASE("an authority below ours is certified within ours, and what it signs verifies") {
  OsRandom random;
  const auto root = NewAuthority();
  const auto signer = std::make_shared<CountingSigner>(KeyType::kEcP384);
  DownstreamProfile profile{.uri_san = "spiffe://example.org",
                            .limits = {.path_length = 1,
                                       .permitted_uri_hosts = {"example.org"},
                                       .permitted_dns_names = {"example.org"}},
                            .not_before = kNow - seconds(10),
                            .not_after = kNow + hours(100)};
  const auto prepared = root->PrepareDownstream(signer->public_key(), profile, random, kNow);
  REQUIRE(prepared);
  CHECK(prepared->intent.purpose == Purpose::kDownstreamCa);
  const auto certificate = root->Sign(*prepared);
  REQUIRE(certificate);
  CHECK(certificate->is_ca());
  CHECK(certificate->path_length() == 1);
  CHECK(certificate->not_after() == root->certificate().not_after());
  CHECK(certificate->uri_sans() == std::vector<std::string>{"spiffe://example.org"});
  CHECK(certificate->authority_key_id() == root->certificate().subject_key_id());
  CHECK(certificate->SubjectText().find("OU=DOWNSTREAM-1") != std::string::npos);
  CHECK(certificate->SubjectText().find(certificate->SerialDecimal()) != std::string::npos);

  const auto below = X509Authority::Create({*certificate}, signer);
  REQUIRE(below);
  LeafProfile leaf_profile = HourOfLeaf();
  leaf_profile.dns_sans = {"a.example.org"};
  const auto good = Issue(**below, NewPublicKey(), leaf_profile);
  REQUIRE(good);
  const std::vector<Certificate> presented = {*good, *certificate};
  const std::vector<Certificate> anchors = {root->certificate()};
  CHECK(BuildPath(presented, anchors, kNow));
  leaf_profile.uri_san = "spiffe://other.org/w";
  const auto foreign = Issue(**below, NewPublicKey(), leaf_profile);
  REQUIRE(foreign);
  const std::vector<Certificate> foreign_chain = {*foreign, *certificate};
  CHECK(BuildPath(foreign_chain, anchors, kNow).error().reason == kPathInvalid);
}

TEST_CASE("each level below takes from the path length, until none is left") {
  OsRandom random;
  auto authority = NewAuthority();
  Chain chain;
  const DownstreamProfile profile{
      .uri_san = "spiffe://example.org",
      .limits = {.path_length = 1, .permitted_uri_hosts = {}, .permitted_dns_names = {}},
      .not_before = kNow - seconds(10),
      .not_after = kNow + hours(1)};
  for (const int left : {1, 0}) {
    const auto signer = std::make_shared<CountingSigner>(KeyType::kEcP256);
    const auto prepared = authority->PrepareDownstream(signer->public_key(), profile, random, kNow);
    REQUIRE(prepared);
    const auto certificate = authority->Sign(*prepared);
    REQUIRE(certificate);
    CHECK(certificate->path_length() == left);
    chain.insert(chain.begin(), *certificate);
    authority = X509Authority::Create(chain, signer).value();
  }
  CHECK(chain[1].SubjectText().find("OU=DOWNSTREAM-1") != std::string::npos);
  const auto refused = authority->PrepareDownstream(NewPublicKey(), profile, random, kNow);
  CHECK(refused.error().reason == kAuthorityMayNotSign);
}

TEST_CASE("the unit in the subject counts the intermediates above, from one, and stands alone") {
  OsRandom random;
  RootProfile root = DayOfRoot();
  root.subject = {{"2.5.4.6", "DE"}, {"2.5.4.10", "Example"}, {"2.5.4.3", "td"}};
  auto authority = X509Authority::CreateRoot(
                       root, std::make_shared<CountingSigner>(KeyType::kEcP256), random, Recorded)
                       .value();
  const DownstreamProfile profile{.uri_san = "spiffe://example.org",
                                  .limits = {},
                                  .not_before = kNow,
                                  .not_after = kNow + hours(1)};
  Chain chain;
  for (int level = 1; level <= 3; ++level) {
    const auto signer = std::make_shared<CountingSigner>(KeyType::kEcP256);
    const auto certificate =
        authority
            ->Sign(
                authority->PrepareDownstream(signer->public_key(), profile, random, kNow).value())
            .value();
    const std::string text = certificate.SubjectText();
    INFO(text);
    const auto unit = text.find("OU=DOWNSTREAM-" + std::to_string(std::max(1, level - 1)));
    CHECK(unit != std::string::npos);
    CHECK(text.find("OU=") == text.rfind("OU="));
    CHECK_FALSE(certificate.path_length());
    chain.insert(chain.begin(), certificate);
    authority = X509Authority::Create(chain, signer).value();
  }
}

TEST_CASE("an authority below ours is refused after our end, and where the profile cannot be") {
  OsRandom random;
  const auto authority = NewAuthority();
  DownstreamProfile profile{.uri_san = "spiffe://example.org",
                            .limits = {},
                            .not_before = kNow,
                            .not_after = kNow + hours(1)};
  CHECK(authority->PrepareDownstream(NewPublicKey(), profile, random, kNow + hours(24))
            .error()
            .reason == kAuthorityExpired);
  profile.uri_san = "spiffe://example.org/path";
  CHECK(authority->PrepareDownstream(NewPublicKey(), profile, random, kNow).error().reason ==
        kProfileRefused);
  profile.uri_san = "spiffe://example.org";
  profile.limits.permitted_uri_hosts = {"spiffe://example.org"};
  CHECK(authority->PrepareDownstream(NewPublicKey(), profile, random, kNow).error().reason ==
        kProfileRefused);
}

}  // namespace signet::ca
