// How lists of certificates are written: DER back to back, and PEM.
#include <fmt/format.h>

#include "ca/x509/certificate.h"
#include "ca/x509/der.h"

namespace signet::ca {
namespace {

constexpr std::string_view kBegin = "-----BEGIN ";
constexpr std::string_view kDashes = "-----";
constexpr std::string_view kBeginCertificate = "-----BEGIN CERTIFICATE-----";
constexpr std::string_view kEndCertificate = "-----END CERTIFICATE-----";
constexpr std::size_t kPemLine = 64;

tl::unexpected<Error> Malformed(std::string what) {
  return Fail(Code::kInvalidArgument, kCertificateMalformed, std::move(what));
}

// Takes the next line off `text`, without its end and trailing blanks.
std::string_view TakeLine(std::string_view* text) {
  const std::size_t end = text->find('\n');
  std::string_view line = text->substr(0, end);
  text->remove_prefix(end == std::string_view::npos ? text->size() : end + 1);
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t'))
    line.remove_suffix(1);
  return line;
}

// Reads base64 lines up to the end line of a block whose begin line was taken.
Result<Bytes> ReadPemBody(std::string_view* text) {
  std::string base64;
  while (!text->empty()) {
    const std::string_view line = TakeLine(text);
    if (line == kEndCertificate) {
      auto der = DecodeBase64(base64);
      if (!der) return Malformed("a PEM block is not base64");
      return std::move(*der);
    }
    if (base64.size() + line.size() > kMaxCertificateBytes * 4 / 3 + 4)
      return Malformed("a PEM block holds more than 64 KiB");
    base64 += line;
  }
  return Malformed("a PEM block does not end");
}

}  // namespace

Result<std::vector<Certificate>> ParseConcatenatedDer(ByteView der, std::size_t limit) {
  std::vector<Certificate> certificates;
  DerReader reader(der);
  while (!reader.AtEnd()) {
    if (certificates.size() == limit)
      return Malformed(fmt::format("more than {} certificates", limit));
    const auto element = reader.Next();
    if (!element)
      return Malformed(fmt::format("after {} certificates: not DER", certificates.size()));
    SIGNET_TRY(Certificate certificate, Certificate::Parse(element->whole));
    certificates.push_back(std::move(certificate));
  }
  return certificates;
}

Bytes ConcatenateDer(std::span<const Certificate> certificates) {
  Bytes der;
  for (const Certificate& certificate : certificates)
    der.insert(der.end(), certificate.der().begin(), certificate.der().end());
  return der;
}

Result<std::vector<Certificate>> ParsePem(std::string_view pem, std::size_t limit) {
  std::vector<Certificate> certificates;
  while (!pem.empty()) {
    const std::string_view line = TakeLine(&pem);
    if (!line.starts_with(kBegin) || !line.ends_with(kDashes)) continue;
    if (line != kBeginCertificate)
      return Malformed("a PEM block that is not a CERTIFICATE; keep only CERTIFICATE blocks");
    if (certificates.size() == limit)
      return Malformed(fmt::format("more than {} certificates", limit));
    SIGNET_TRY(const Bytes der, ReadPemBody(&pem));
    SIGNET_TRY(Certificate certificate, Certificate::Parse(der));
    certificates.push_back(std::move(certificate));
  }
  return certificates;
}

std::string ToPem(const Certificate& certificate) {
  const std::string base64 = EncodeBase64(certificate.der());
  std::string pem = std::string(kBeginCertificate) + '\n';
  for (std::size_t at = 0; at < base64.size(); at += kPemLine) {
    pem.append(base64, at, kPemLine);
    pem += '\n';
  }
  return pem + std::string(kEndCertificate) + '\n';
}

std::string ToPem(std::span<const Certificate> certificates) {
  std::string pem;
  for (const Certificate& certificate : certificates) pem += ToPem(certificate);
  return pem;
}

}  // namespace signet::ca
