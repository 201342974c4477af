#include "identity/api/log_keeper.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "identity/audit/log_chain.h"

namespace signet::identity {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kKeyName = "audit-log";
constexpr auto kCheckpointInterval = std::chrono::minutes(1);
constexpr std::size_t kRefusalText = 512;  // bytes of what a caller named
constexpr std::size_t kHeadFileBytes = 4096;

std::string Clip(std::string_view text) { return std::string(text.substr(0, kRefusalText)); }

std::string HeadFileText(const TrustDomain& trust_domain, const LogCheckpoint& checkpoint) {
  return Json{{"trust_domain", trust_domain.name()},
              {"seq", checkpoint.head.seq},
              {"hash", EncodeHex(checkpoint.head.hash)},
              {"made_at", checkpoint.made_at},
              {"public_key", EncodeBase64(checkpoint.public_key)},
              {"signature", EncodeBase64(checkpoint.signature)}}
             .dump(2) +
         "\n";
}

// Absent when the bytes are no checkpoint.
std::optional<LogCheckpoint> ParseHeadFile(ByteView bytes) {
  const Json json = Json::parse(bytes.begin(), bytes.end(), nullptr, false);
  const auto text = [&](const char* name) -> std::string {
    return json.is_object() && json.contains(name) && json[name].is_string()
               ? json[name].get<std::string>()
               : std::string();
  };
  const auto number = [&](const char* name) -> std::int64_t {
    return json.is_object() && json.contains(name) && json[name].is_number_integer()
               ? json[name].get<std::int64_t>()
               : 0;
  };
  const auto hash = DecodeHex(text("hash"));
  const auto key = DecodeBase64(text("public_key"));
  const auto signature = DecodeBase64(text("signature"));
  LogCheckpoint checkpoint;
  if (!hash || hash->size() != checkpoint.head.hash.size() || !key || !signature ||
      number("seq") < 0)
    return std::nullopt;
  checkpoint.head.seq = static_cast<std::uint64_t>(number("seq"));
  std::copy(hash->begin(), hash->end(), checkpoint.head.hash.begin());
  checkpoint.made_at = number("made_at");
  checkpoint.public_key = *key;
  checkpoint.signature = *signature;
  return checkpoint;
}

}  // namespace

RefusalLog::RefusalLog(const Clock& clock, Metrics& metrics)
    : clock_(clock),
      dropped_(metrics.Counter("signet_server_refusals_not_told_apart_total",
                               "Refusals that the log only counts: too many kinds at once.")) {}

void RefusalLog::Add(const Actor& actor, std::string_view object, std::string_view why) {
  const Gathered::Kind kind{actor.name, Clip(object), Clip(why)};
  const std::lock_guard lock(mutex_);
  AddLocked(kind, 1);
}

void RefusalLog::AddLocked(const Gathered::Kind& kind, std::uint64_t count) {
  if (const auto found = gathered_.counts.find(kind); found != gathered_.counts.end()) {
    found->second += count;
  } else if (gathered_.counts.size() < kRefusalKinds) {
    gathered_.counts.emplace(kind, count);
  } else {
    gathered_.beyond += count;
    dropped_.Add(static_cast<double>(count));
  }
}

RefusalLog::Gathered RefusalLog::Take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(gathered_, {});
}

void RefusalLog::PutBack(const Gathered& gathered) {
  const std::lock_guard lock(mutex_);
  for (const auto& [kind, count] : gathered.counts) AddLocked(kind, count);
  gathered_.beyond += gathered.beyond;
}

std::vector<AuditRecord> RefusalLog::RecordsOf(const Gathered& gathered) const {
  std::vector<AuditRecord> records;
  const auto add = [&](std::string actor, std::string object, const std::string& why,
                       std::uint64_t count) {
    AuditRecord& record = records.emplace_back();
    record.event = event::kRefused;
    record.recorded_at = UnixSeconds(clock_.Now());
    record.actor = std::move(actor);
    record.object = std::move(object);
    record.detail =
        Json{{"why", why}, {"count", count}}.dump(-1, ' ', false, Json::error_handler_t::replace);
  };
  for (const auto& [kind, count] : gathered.counts) {
    const auto& [actor, object, why] = kind;
    add(actor, object, why, count);
  }
  if (gathered.beyond > 0)
    add("several", "", "too many kinds of refusals at once to tell apart", gathered.beyond);
  return records;
}

LogKeeper::LogKeeper(const Parts& parts, std::shared_ptr<const ca::Signer> key)
    : store_(parts.store),
      trust_domain_(parts.trust_domain),
      head_file_(parts.head_file),
      clock_(parts.clock),
      log_(parts.log),
      key_(std::move(key)),
      refusals_(parts.clock, parts.metrics) {}

Result<std::unique_ptr<LogKeeper>> LogKeeper::Start(const Parts& parts) {
  const std::string name(kKeyName);
  auto key = parts.keys.Find(name);
  if (!key && key.error().code == Code::kNotFound)
    key = parts.keys.Generate(name, ca::KeyType::kEcP256);
  if (!key) return Fail(std::move(key).error());
  std::unique_ptr<LogKeeper> keeper(new LogKeeper(parts, *std::move(key)));
  SIGNET_RETURN_IF_ERROR(keeper->CompareWithHeadFile());
  SIGNET_TRY([[maybe_unused]] const auto checkpoint, keeper->MakeCheckpoint());
  keeper->next_ = parts.clock.SteadyNow() + kCheckpointInterval;
  return keeper;
}

Status LogKeeper::CompareWithHeadFile() {
  const auto bytes = ReadFile(head_file_, kHeadFileBytes);
  if (!bytes && bytes.error().code == Code::kNotFound) return {};
  if (!bytes) return Fail(bytes.error());
  const auto found_older = [&](const std::string& why) -> Status {
    found_ = Fail(Code::kDataLoss, kLogOlder, why);
    log_.Error("the log is not the one this server kept: was an older database put back?",
               {{"why", why}, {"checkpoint", head_file_}});
    AuditRecord record;
    record.event = event::kLogFoundOlder;
    record.recorded_at = UnixSeconds(clock_.Now());
    record.actor = Actor().name;
    record.detail = Json{{"why", why}}.dump();
    return store_.AppendRecords({record});
  };
  const auto kept = ParseHeadFile(*bytes);
  const Bytes own_key = ToBytes(key_->public_key().spki());
  if (!kept) return found_older(head_file_ + " holds no checkpoint");
  if (auto verified = VerifyCheckpoint(trust_domain_.name(), *kept, own_key); !verified)
    return found_older(verified.error().Message());
  SIGNET_TRY(const LogHead head, store_.LoadLogHead());
  if (head.seq < kept->head.seq) {
    return found_older(fmt::format("it ends at record {}, the last checkpoint was of record {}",
                                   head.seq, kept->head.seq));
  }
  SIGNET_TRY(const LogHead base, store_.LoadLogBase());
  LogHead there = base;
  if (kept->head.seq > base.seq) {
    SIGNET_TRY(const auto found, store_.LoadLog({.after = kept->head.seq - 1, .limit = 1}));
    if (!found.empty()) there = found.front().place;
  }
  if (kept->head.seq >= base.seq && there != kept->head)
    return found_older(
        fmt::format("record {} is not the one the last checkpoint covers", kept->head.seq));
  return {};
}

Status LogKeeper::Tick() {
  if (const auto refused = refusals_.Take(); !refused.empty()) {
    if (Status recorded = store_.AppendRecords(refusals_.RecordsOf(refused)); !recorded) {
      refusals_.PutBack(refused);
      return recorded;
    }
  }
  const auto now = clock_.SteadyNow();
  if (now < next_) return {};
  SIGNET_TRY([[maybe_unused]] const auto checkpoint, MakeCheckpoint());
  next_ = now + kCheckpointInterval;
  return {};
}

Result<LogCheckpoint> LogKeeper::Sign(const LogHead& head) const {
  LogCheckpoint checkpoint{.head = head,
                           .made_at = UnixSeconds(clock_.Now()),
                           .public_key = ToBytes(key_->public_key().spki()),
                           .signature = {}};
  SIGNET_TRY(checkpoint.signature,
             key_->Sign(ca::SignatureAlgorithm::kEcdsaSha256,
                        CheckpointMessage(trust_domain_.name(), head, checkpoint.made_at)));
  return checkpoint;
}

Status LogKeeper::WriteHeadFile(const LogCheckpoint& checkpoint) const {
  return WriteFileAtomically(head_file_, AsBytes(HeadFileText(trust_domain_, checkpoint)), 0600);
}

Result<LogCheckpoint> LogKeeper::MakeCheckpoint() {
  const std::lock_guard lock(mutex_);
  SIGNET_TRY(const LogHead head, store_.LoadLogHead());
  if (!last_.signature.empty() && last_.head == head) return last_;
  SIGNET_TRY(const LogCheckpoint checkpoint, Sign(head));
  SIGNET_RETURN_IF_ERROR(store_.PutCheckpoint(checkpoint));
  SIGNET_RETURN_IF_ERROR(WriteHeadFile(checkpoint));
  last_ = checkpoint;
  return checkpoint;
}

Result<std::uint64_t> LogKeeper::Prune(std::int64_t before, const Actor& by) {
  SIGNET_TRY(const LogHead base, store_.LoadLogBase());
  SIGNET_TRY(const auto last, store_.LoadLog({.until = before, .newest_first = true, .limit = 1}));
  if (before <= 0 || last.empty()) return 0;
  const std::uint64_t through = last.front().place.seq;
  AuditRecord record;
  record.event = event::kLogPruned;
  record.recorded_at = UnixSeconds(clock_.Now());
  record.actor = by.name;
  record.detail = Json{{"through", through}, {"before", before}}.dump();
  SIGNET_RETURN_IF_ERROR(store_.AppendRecords({record}));
  SIGNET_TRY([[maybe_unused]] const auto checkpoint, MakeCheckpoint());
  SIGNET_RETURN_IF_ERROR(store_.PruneLog(through));
  return through - base.seq;
}

Status LogKeeper::Found() const { return found_; }

}  // namespace signet::identity
