#include "identity/audit/log_chain.h"

#include <fmt/format.h>

namespace signet::identity {
namespace {

constexpr std::string_view kFirstVersionLine = "signet issuance 1\n";
constexpr std::string_view kVersionLine = "signet log 2\n";
constexpr std::string_view kCheckpointLine = "signet log checkpoint 1\n";

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

void AppendFirstVersion(Bytes& out, const AuditRecord& record) {
  AppendText(out, record.serial);
  AppendText(out, record.subject);
  AppendText(out, record.purpose);
  AppendText(out, record.object);
  AppendInteger(out, record.revision);
  AppendText(out, record.actor);
  AppendText(out, record.authority_id);
  AppendInteger(out, record.not_before);
  AppendInteger(out, record.not_after);
  AppendInteger(out, record.recorded_at);
}

}  // namespace

Bytes CanonicalRecord(const AuditRecord& record) {
  const bool first_version = record.event.empty();
  const auto line = first_version ? kFirstVersionLine : kVersionLine;
  Bytes out(line.begin(), line.end());
  out.reserve(448 + record.detail.size());
  if (first_version) {
    AppendFirstVersion(out, record);
    return out;
  }
  AppendText(out, record.event);
  AppendInteger(out, record.recorded_at);
  AppendText(out, record.actor);
  AppendText(out, record.subject);
  AppendText(out, record.object);
  AppendInteger(out, record.revision);
  AppendText(out, record.serial);
  AppendText(out, record.purpose);
  AppendText(out, record.authority_id);
  AppendInteger(out, record.not_before);
  AppendInteger(out, record.not_after);
  AppendText(out, record.detail);
  return out;
}

ca::Sha256Digest NextLogHash(const ca::Sha256Digest& previous, const AuditRecord& record) {
  Bytes content(previous.begin(), previous.end());
  const Bytes canonical = CanonicalRecord(record);
  content.insert(content.end(), canonical.begin(), canonical.end());
  return ca::Sha256(content);
}

Bytes CheckpointMessage(std::string_view trust_domain, const LogHead& head, std::int64_t made_at) {
  Bytes out(kCheckpointLine.begin(), kCheckpointLine.end());
  AppendText(out, trust_domain);
  AppendNumber(out, head.seq, 8);
  out.insert(out.end(), head.hash.begin(), head.hash.end());
  AppendInteger(out, made_at);
  return out;
}

Status VerifyCheckpoint(std::string_view trust_domain, const LogCheckpoint& checkpoint,
                        const std::optional<Bytes>& log_key) {
  const auto refuse = [&](std::string why) {
    return Fail(Code::kDataLoss, kCheckpointForged,
                fmt::format("the one at record {}: {}", checkpoint.head.seq, why));
  };
  if (log_key && *log_key != checkpoint.public_key) return refuse("made with another key");
  const auto key = ca::PublicKey::FromSpki(checkpoint.public_key);
  if (!key) return refuse(key.error().Message());
  const Bytes message = CheckpointMessage(trust_domain, checkpoint.head, checkpoint.made_at);
  if (!key->Verify(ca::SignatureAlgorithm::kEcdsaSha256, message, checkpoint.signature))
    return refuse("the signature does not fit");
  return {};
}

Status LogVerifier::Follow(const LoggedRecord& record) {
  const std::uint64_t expected = head_.seq + 1;
  const ca::Sha256Digest hash = NextLogHash(head_.hash, record.record);
  if (record.place.seq != expected || record.place.hash != hash) {
    return Fail(Code::kDataLoss, kLogChainBroken,
                fmt::format("record {} is not the one that was written", expected));
  }
  head_ = record.place;
  return {};
}

}  // namespace signet::identity
