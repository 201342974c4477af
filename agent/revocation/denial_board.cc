#include "agent/revocation/denial_board.h"

#include <algorithm>
#include <charconv>
#include <set>

namespace signet::agent {
namespace {

using identity::Denial;
using identity::DenialKind;
using identity::DenialPtr;

constexpr std::string_view kFormat = "signet-agent-denials-1";

SecretBytes Encode(const DenialBoard::State& state) {
  RecordWriter record;
  record.Add(kFormat);
  record.Add(std::to_string(state.revision));
  for (const DenialPtr& denial : state.denials->all()) {
    record.Add(denial->id);
    record.Add(std::to_string(static_cast<int>(denial->kind)));
    record.Add(denial->subject);
    record.Add(std::to_string(denial->until));
  }
  return record.Finish();
}

Result<std::int64_t> NextNumber(RecordReader* record) {
  SIGNET_TRY(const ByteView field, record->Next());
  const std::string_view text = AsText(field);
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value < 0)
    return Fail(Code::kDataLoss, kRecordMalformed, "not a number");
  return value;
}

Result<DenialPtr> NextDenial(RecordReader* record) {
  Denial denial;
  SIGNET_TRY(const ByteView id, record->Next());
  denial.id = ToString(id);
  SIGNET_TRY(const std::int64_t kind, NextNumber(record));
  if (kind > 255) return Fail(Code::kDataLoss, kRecordMalformed, "kind of denial");
  denial.kind = static_cast<DenialKind>(kind);
  SIGNET_TRY(const ByteView subject, record->Next());
  denial.subject = ToString(subject);
  SIGNET_TRY(denial.until, NextNumber(record));
  return std::make_shared<const Denial>(std::move(denial));
}

Result<DenialBoard::State> Decode(ByteView bytes) {
  RecordReader record(bytes);
  SIGNET_TRY(const ByteView format, record.Next());
  if (AsText(format) != kFormat)
    return Fail(Code::kDataLoss, kRecordMalformed, "not a file of denials");
  DenialBoard::State state;
  SIGNET_TRY(const std::int64_t revision, NextNumber(&record));
  state.revision = static_cast<std::uint64_t>(revision);
  std::vector<DenialPtr> denials;
  while (!record.AtEnd()) {
    SIGNET_TRY(DenialPtr denial, NextDenial(&record));
    denials.push_back(std::move(denial));
  }
  state.denials = identity::DenialSet::Create(std::move(denials));
  return state;
}

}  // namespace

DenialBoard::DenialBoard(SealedFile file, const Logger& log) : file_(std::move(file)), log_(log) {}

Status DenialBoard::Restore() {
  SIGNET_TRY(const auto content, file_.Load());
  if (!content) return {};
  SIGNET_TRY(State kept, Decode(content->view()));
  Set(std::move(kept));
  return {};
}

Status DenialBoard::Apply(DenialDelta delta) {
  std::vector<DenialPtr> denials;
  if (!delta.full) {
    const std::set<std::string_view> removed(delta.removed.begin(), delta.removed.end());
    for (const DenialPtr& denial : Current().denials->all())
      if (!removed.contains(denial->id)) denials.push_back(denial);
  }
  denials.insert(denials.end(), delta.upserts.begin(), delta.upserts.end());
  const State next{identity::DenialSet::Create(std::move(denials)), delta.revision};
  if (next.denials->all().size() > identity::kMaxDenials)
    return Fail(Code::kResourceExhausted, identity::kDenialMalformed, "too many denials");
  Set(next);
  if (const Status kept = file_.Save(Encode(next)); !kept)
    log_.Error("the denials could not be kept: after a restart the server is asked for them",
               {{"error", kept.error().Message()}});
  return {};
}

DenialBoard::State DenialBoard::Current() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

void DenialBoard::Set(State next) {
  {
    const std::lock_guard lock(mutex_);
    state_ = std::move(next);
  }
  for (const auto& observer : observers_) observer();
}

}  // namespace signet::agent
