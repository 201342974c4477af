#include "identity/audit/log_export.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace signet::identity {
namespace {

using Json = nlohmann::ordered_json;

std::string Text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

tl::unexpected<Error> Malformed(std::string why) {
  return Fail(Code::kInvalidArgument, kLogExportMalformed, std::move(why));
}

// The fields of one line; every one must be there, with its type.
class Fields {
 public:
  explicit Fields(const Json& json) : json_(json) {}
  std::string TextOf(const char* name) {
    if (const Json* value = Find(name); value != nullptr && value->is_string())
      return value->get<std::string>();
    missing_ = name;
    return {};
  }
  std::int64_t NumberOf(const char* name) {
    if (const Json* value = Find(name); value != nullptr && value->is_number_integer())
      return value->get<std::int64_t>();
    missing_ = name;
    return 0;
  }
  Bytes Base64Of(const char* name) {
    auto bytes = DecodeBase64(TextOf(name));
    if (!bytes) missing_ = name;
    return bytes.value_or(Bytes());
  }
  LogHead HeadOf() {
    LogHead head;
    const std::int64_t seq = NumberOf("seq");
    if (seq < 0) missing_ = "seq";
    head.seq = static_cast<std::uint64_t>(std::max<std::int64_t>(seq, 0));
    const auto hash = DecodeHex(TextOf("hash"));
    if (!hash || hash->size() != head.hash.size()) {
      missing_ = "hash";
    } else {
      std::copy(hash->begin(), hash->end(), head.hash.begin());
    }
    return head;
  }
  Status Complete() const {
    if (missing_ == nullptr) return {};
    return Malformed(fmt::format("'{}' is missing or of the wrong kind", missing_));
  }

 private:
  const Json* Find(const char* name) const {
    const auto found = json_.find(name);
    return found == json_.end() ? nullptr : &*found;
  }
  const Json& json_;
  const char* missing_ = nullptr;
};

Result<Json> ParseObject(std::string_view text) {
  if (text.size() > kLogLineBytes) return Malformed("a line is too long");
  Json json = Json::parse(text.begin(), text.end(), nullptr, false);
  if (!json.is_object()) return Malformed("a line is no JSON object");
  return json;
}

Result<StatedCheckpoint> ReadCheckpoint(const Json& json) {
  Fields fields(json);
  StatedCheckpoint stated;
  stated.trust_domain = fields.TextOf("trust_domain");
  stated.checkpoint.head = fields.HeadOf();
  stated.checkpoint.made_at = fields.NumberOf("made_at");
  stated.checkpoint.public_key = fields.Base64Of("public_key");
  stated.checkpoint.signature = fields.Base64Of("signature");
  SIGNET_RETURN_IF_ERROR(fields.Complete());
  return stated;
}

Result<LoggedRecord> ReadRecord(const Json& json) {
  Fields fields(json);
  LoggedRecord logged;
  logged.place = fields.HeadOf();
  AuditRecord& record = logged.record;
  record.event = fields.TextOf("event");
  record.recorded_at = fields.NumberOf("recorded_at");
  record.actor = fields.TextOf("actor");
  record.subject = fields.TextOf("subject");
  record.object = fields.TextOf("object");
  record.revision = fields.NumberOf("revision");
  record.serial = fields.TextOf("serial");
  record.purpose = fields.TextOf("purpose");
  record.authority_id = fields.TextOf("authority_id");
  record.not_before = fields.NumberOf("not_before");
  record.not_after = fields.NumberOf("not_after");
  record.detail = fields.TextOf("detail");
  SIGNET_RETURN_IF_ERROR(fields.Complete());
  return logged;
}

}  // namespace

std::string FormatLogStart(const std::string& trust_domain, const LogHead& base) {
  return Text({{"signet_log", 2},
               {"trust_domain", trust_domain},
               {"seq", base.seq},
               {"hash", EncodeHex(base.hash)}});
}

std::string FormatLogRecord(const LoggedRecord& logged) {
  const AuditRecord& record = logged.record;
  return Text({{"seq", logged.place.seq},
               {"hash", EncodeHex(logged.place.hash)},
               {"event", record.event},
               {"recorded_at", record.recorded_at},
               {"actor", record.actor},
               {"subject", record.subject},
               {"object", record.object},
               {"revision", record.revision},
               {"serial", record.serial},
               {"purpose", record.purpose},
               {"authority_id", record.authority_id},
               {"not_before", record.not_before},
               {"not_after", record.not_after},
               {"detail", record.detail}});
}

std::string FormatLogCheckpoint(const std::string& trust_domain, const LogCheckpoint& checkpoint) {
  return Text({{"checkpoint", 1},
               {"trust_domain", trust_domain},
               {"seq", checkpoint.head.seq},
               {"hash", EncodeHex(checkpoint.head.hash)},
               {"made_at", checkpoint.made_at},
               {"public_key", EncodeBase64(checkpoint.public_key)},
               {"signature", EncodeBase64(checkpoint.signature)}});
}

Result<StatedCheckpoint> ParseLogCheckpoint(std::string_view text) {
  SIGNET_TRY(const Json json, ParseObject(text));
  return ReadCheckpoint(json);
}

Status LogExportVerifier::Expect(const StatedCheckpoint& checkpoint) {
  SIGNET_RETURN_IF_ERROR(
      VerifyCheckpoint(checkpoint.trust_domain, checkpoint.checkpoint, log_key_));
  if (!log_key_) log_key_ = checkpoint.checkpoint.public_key;
  expected_ = checkpoint;
  return {};
}

Status LogExportVerifier::Start(const std::string& trust_domain, const LogHead& base) {
  if (expected_ && expected_->trust_domain != trust_domain)
    return Fail(Code::kDataLoss, kCheckpointForged,
                "the checkpoint is of " + expected_->trust_domain + ", the log of " + trust_domain);
  started_ = true;
  trust_domain_ = trust_domain;
  base_ = base;
  chain_ = LogVerifier(base);
  if (expected_ && expected_->checkpoint.head.seq == base.seq &&
      expected_->checkpoint.head.hash != base.hash)
    return Fail(Code::kDataLoss, kLogChainBroken, "the base is not what the checkpoint covers");
  return {};
}

Status LogExportVerifier::Check(const LogCheckpoint& checkpoint) {
  SIGNET_RETURN_IF_ERROR(VerifyCheckpoint(trust_domain_, checkpoint, log_key_));
  if (!log_key_) log_key_ = checkpoint.public_key;
  if (checkpoint.head.seq > chain_.head().seq)
    return Fail(Code::kDataLoss, kLogCut,
                fmt::format("it ends at record {}, but a checkpoint covers record {}",
                            chain_.head().seq, checkpoint.head.seq));
  if (checkpoint.head.seq < chain_.head().seq)
    return Malformed("a checkpoint does not follow the record it covers");
  if (checkpoint.head != chain_.head())
    return Fail(Code::kDataLoss, kLogChainBroken,
                fmt::format("record {} is not the one a checkpoint covers", checkpoint.head.seq));
  covered_ = std::max(covered_, checkpoint.head.seq);
  return {};
}

Status LogExportVerifier::Line(std::string_view line) {
  SIGNET_TRY(const Json json, ParseObject(line));
  if (!started_) {
    Fields fields(json);
    const std::int64_t version = fields.NumberOf("signet_log");
    const std::string trust_domain = fields.TextOf("trust_domain");
    const LogHead base = fields.HeadOf();
    SIGNET_RETURN_IF_ERROR(fields.Complete());
    if (version != 2) return Malformed(fmt::format("version {} is not known", version));
    return Start(trust_domain, base);
  }
  if (json.contains("checkpoint")) {
    SIGNET_TRY(const StatedCheckpoint stated, ReadCheckpoint(json));
    return Check(stated.checkpoint);
  }
  SIGNET_TRY(const LoggedRecord record, ReadRecord(json));
  SIGNET_RETURN_IF_ERROR(chain_.Follow(record));
  if (!expected_ || expected_->checkpoint.head.seq != record.place.seq) return {};
  return Check(expected_->checkpoint);
}

Status LogExportVerifier::Finish() const {
  if (!started_) return Malformed("it is empty");
  if (expected_ && expected_->checkpoint.head.seq > chain_.head().seq)
    return Fail(Code::kDataLoss, kLogCut,
                fmt::format("it ends at record {}, but the checkpoint covers record {}",
                            chain_.head().seq, expected_->checkpoint.head.seq));
  return {};
}

}  // namespace signet::identity
