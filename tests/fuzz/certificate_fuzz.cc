// Certificates from any bytes, as DER, concatenated DER and PEM: what is read prints as it was
// written, and judging it as a peer's chain neither crashes nor trusts it.
#include "base/check.h"
#include "ca/x509/path.h"
#include "identity/svid/x509_svid.h"

using namespace signet;  // NOLINT: a fuzz target is a program of its own

namespace {

constexpr std::size_t kLimit = 16;

void CheckOne(const ca::Certificate& certificate) {
  CHECK_TRUE(certificate.tbs().size() < certificate.der().size());
  CHECK_TRUE(certificate.serial().size() <= 20);
  CHECK_TRUE(!certificate.SerialDecimal().empty());
  (void)certificate.SubjectText();
  (void)certificate.IsSelfSigned();
  if (const auto id = identity::ParseX509Svid(certificate)) {
    CHECK_TRUE(!id->path().empty() && !certificate.is_ca());
    CHECK_TRUE(id->ToString() == certificate.uri_sans().front());
  }
}

// The last certificate plays the anchor: if there is a path, it ends there and the leaf is no
// anchor.
void CheckChain(const std::vector<ca::Certificate>& chain) {
  for (const ca::Certificate& certificate : chain) CheckOne(certificate);
  CHECK_TRUE(ca::ParsePem(ca::ToPem(chain), kLimit).value() == chain);
  if (chain.empty()) return;
  const std::span all(chain);
  const auto path =
      ca::BuildPath(all.first(chain.size() - 1), all.last(1), chain.front().not_before());
  if (path) CHECK_TRUE(path->size() >= 2 && path->back() == chain.back() && path->back().is_ca());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes(data, size);
  if (const auto one = ca::Certificate::Parse(bytes)) CHECK_TRUE(Equal(one->der(), bytes));
  if (const auto chain = ca::ParseConcatenatedDer(bytes, kLimit)) {
    CHECK_TRUE(Equal(ca::ConcatenateDer(*chain), bytes));
    CheckChain(*chain);
  }
  if (const auto chain = ca::ParsePem(AsText(bytes), kLimit)) CheckChain(*chain);
  return 0;
}
