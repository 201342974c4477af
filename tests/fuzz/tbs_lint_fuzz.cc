// The lint before signing: on any bytes it answers, and what it passes is a certificate that reads
// back as the leaf it should be. Inputs with an odd first byte are patches (offset, value) of a
// good leaf.
#include <cstdlib>

#include "base/check.h"
#include "ca/authority/x509_authority.h"
#include "ca/x509/tbs_writer.h"

namespace {

using namespace signet;
using namespace signet::ca;

constexpr std::string_view kUri = "spiffe://example.org/w";
const WallTime kNow = FromUnixSeconds(1'767'225'600);

struct Good {
  std::shared_ptr<const X509Authority> authority;
  Bytes tbs;

  Good() {
    OsRandom random;
    const auto key = std::make_shared<PrivateKey>(PrivateKey::Generate(KeyType::kEcP256).value());
    const RootProfile root{.uri_san = "spiffe://example.org",
                           .subject = {},
                           .not_before = kNow,
                           .not_after = kNow + std::chrono::hours(24)};
    authority = X509Authority::CreateRoot(root, key, random, [](const IssuanceIntent&) {
                  return Status();
                }).value();
    const LeafProfile leaf{.uri_san = std::string(kUri),
                           .dns_sans = {"a.example", "*.b.example"},
                           .subject = {},
                           .not_before = kNow,
                           .not_after = kNow + std::chrono::hours(1)};
    tbs = authority->Prepare(key->public_key(), leaf, random, kNow).value().tbs;
  }
};

void Check(const Good& good, ByteView tbs) {
  const Certificate& issuer = good.authority->certificate();
  const auto findings = LintTbs(tbs, Purpose::kWorkload, kUri, issuer.subject(),
                                issuer.subject_key_id(), issuer.not_after());
  (void)LintTbs(tbs, Purpose::kRoot, "spiffe://example.org", issuer.subject(), {},
                issuer.not_after());
  if (!findings.empty()) return;
  const Bytes signature(70, 0x30);
  const auto leaf =
      Certificate::Parse(WriteCertificate(tbs, SignatureAlgorithm::kEcdsaSha256, signature));
  // The lint reads a public key's structure, not whether its point is on the curve.
  if (!leaf && leaf.error().detail.find("public key") != std::string::npos) return;
  // The two algorithms must be equal (RFC 5280, 4.1.1.2); this test always writes the same outer
  // one.
  if (!leaf && leaf.error().detail.find("algorithm") != std::string::npos) return;
  CHECK_TRUE(leaf.has_value());
  CHECK_TRUE(leaf->uri_sans().size() == 1 && leaf->uri_sans()[0] == kUri &&
             leaf->other_san_count() == 0);
  CHECK_TRUE(!leaf->is_ca() && leaf->key_usage() && leaf->key_usage()->digital_signature);
  CHECK_TRUE(!leaf->key_usage()->key_cert_sign && !leaf->key_usage()->crl_sign &&
             leaf->key_usage()->critical);
  CHECK_TRUE(leaf->extended_key_usages().size() == 2);
  CHECK_TRUE(leaf->not_before() < leaf->not_after() && leaf->not_after() <= issuer.not_after());
  CHECK_TRUE(leaf->authority_key_id() == issuer.subject_key_id() &&
             Equal(leaf->issuer(), issuer.subject()));
  CHECK_TRUE(leaf->subject_alt_name_critical() == leaf->HasEmptySubject());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Good good;
  if (size == 0) return 0;
  if (data[0] % 2 == 0) {
    Check(good, {data + 1, size - 1});
    return 0;
  }
  Bytes patched = good.tbs;
  for (std::size_t i = 1; i + 3 <= size; i += 3) {
    patched[(data[i] * 256U + data[i + 1]) % patched.size()] = data[i + 2];
  }
  Check(good, patched);
  return 0;
}
