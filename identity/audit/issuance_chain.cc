#include "identity/audit/issuance_chain.h"

namespace signet::identity {
namespace {

constexpr std::string_view kVersionLine = "signet issuance 1\n";

void AppendNumber(Bytes& out, std::uint64_t value, int bytes) {
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) {
    out.push_back(static_cast<std::uint8_t>(value >> shift));
  }
}
void AppendInteger(Bytes& out, std::int64_t value) {
  AppendNumber(out, static_cast<std::uint64_t>(value), 8);
}
void AppendText(Bytes& out, std::string_view text) {
  AppendNumber(out, text.size(), 4);
  out.insert(out.end(), text.begin(), text.end());
}

}  // namespace

Bytes CanonicalIssuance(const IssuanceRecord& record) {
  Bytes out(kVersionLine.begin(), kVersionLine.end());
  out.reserve(384);
  AppendText(out, record.serial);
  AppendText(out, record.spiffe_id);
  AppendText(out, record.purpose);
  AppendText(out, record.entry_id);
  AppendInteger(out, record.entry_revision);
  AppendText(out, record.requested_by);
  AppendText(out, record.authority_id);
  AppendInteger(out, record.not_before);
  AppendInteger(out, record.not_after);
  AppendInteger(out, record.recorded_at);
  return out;
}

ca::Sha256Digest NextIssuanceHash(const ca::Sha256Digest& previous, const IssuanceRecord& record) {
  Bytes content(previous.begin(), previous.end());
  const Bytes canonical = CanonicalIssuance(record);
  content.insert(content.end(), canonical.begin(), canonical.end());
  return ca::Sha256(content);
}

}  // namespace signet::identity
