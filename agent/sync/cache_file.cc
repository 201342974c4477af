#include "agent/sync/cache_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "agent/sync/batch_assembler.h"
#include "agent/sync/codec.h"
#include "base/file.h"

namespace signet::agent {
namespace {

constexpr std::string_view kMagic = "SGNTAC2\n";
constexpr std::size_t kFileIdBytes = 16;
constexpr std::size_t kLengthBytes = 4;
constexpr std::size_t kSealBytes = 28;  // nonce and tag
constexpr std::size_t kMostSegmentBytes = kMostRecordBytes + kSegmentTarget;

constexpr std::uint8_t kHeader = 'H', kBundle = 'B', kIssuers = 'I', kEntry = 'E', kSvid = 'S';

void PutNumber(std::uint8_t* at, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i)
    at[i] = static_cast<std::uint8_t>((value >> (8 * (bytes - 1 - i))) & 0xff);
}

std::uint64_t GetNumber(ByteView bytes) {
  std::uint64_t value = 0;
  for (const std::uint8_t byte : bytes) value = (value << 8) | byte;
  return value;
}

tl::unexpected<Error> Malformed(std::string what) {
  return Fail(Code::kDataLoss, kCacheMalformed, std::move(what));
}

// What a segment is bound to: this file, its place in it, and whether it is the last.
Bytes AssociatedData(ByteView file_id, std::uint64_t index, bool is_last) {
  constexpr std::string_view kPurpose = "signet-agent-cache-2";
  Bytes data(AsBytes(kPurpose).begin(), AsBytes(kPurpose).end());
  data.insert(data.end(), file_id.begin(), file_id.end());
  data.resize(data.size() + 5);
  PutNumber(data.data() + data.size() - 5, index, 4);
  data.back() = is_last ? 1 : 0;
  return data;
}

// Records go in, sealed segments go to the file.
class SegmentWriter {
 public:
  SegmentWriter(AtomicFile file, const SecretBytes& kek, Random& random)
      : file_(std::move(file)), kek_(kek), file_id_(kFileIdBytes), room_(kMostSegmentBytes) {
    random.Fill(file_id_);
  }

  Status Begin() {
    SIGNET_RETURN_IF_ERROR(Write(AsBytes(kMagic)));
    return Write(file_id_);
  }

  Status Add(std::uint8_t type, std::initializer_list<ByteView> fields) {
    std::size_t size = 1;
    for (const ByteView field : fields) size += kLengthBytes + field.size();
    if (size > kMostRecordBytes)
      return Fail(Code::kResourceExhausted, kCacheTooLarge, fmt::format("a record of {}", size));
    if (used_ > 0 && used_ + size > kSegmentTarget) SIGNET_RETURN_IF_ERROR(Flush(false));
    std::uint8_t* at = room_.mutable_view().data() + used_;
    *at++ = type;
    for (const ByteView field : fields) {
      PutNumber(at, field.size(), kLengthBytes);
      at = std::copy(field.begin(), field.end(), at + kLengthBytes);
    }
    used_ += size;
    return {};
  }

  // Answers the size of the file.
  Result<std::size_t> Finish() {
    SIGNET_RETURN_IF_ERROR(Flush(true));
    SIGNET_RETURN_IF_ERROR(file_.Commit(0600));
    return written_;
  }

 private:
  Status Flush(bool is_last) {
    SIGNET_TRY(const Bytes sealed, ca::Seal(kek_, room_.view().first(used_),
                                            AssociatedData(file_id_, segments_++, is_last)));
    used_ = 0;
    std::uint8_t length[kLengthBytes];
    PutNumber(length, sealed.size(), kLengthBytes);
    SIGNET_RETURN_IF_ERROR(Write(length));
    return Write(sealed);
  }

  Status Write(ByteView bytes) {
    written_ += bytes.size();
    if (written_ > kMostCacheBytes)
      return Fail(Code::kResourceExhausted, kCacheTooLarge,
                  fmt::format("more than {} bytes", kMostCacheBytes));
    return file_.Append(bytes);
  }

  AtomicFile file_;
  const SecretBytes& kek_;
  Bytes file_id_;
  SecretBytes room_;
  std::size_t used_ = 0;
  std::size_t written_ = 0;
  std::uint64_t segments_ = 0;
};

// A number as a field of a record.
class NumberField {
 public:
  explicit NumberField(std::uint64_t value) { PutNumber(bytes_, value, sizeof bytes_); }
  explicit NumberField(std::int64_t value) : NumberField(static_cast<std::uint64_t>(value)) {}
  operator ByteView() const { return bytes_; }  // NOLINT(google-explicit-constructor)

 private:
  std::uint8_t bytes_[8];
};

class SnapshotWriter {
 public:
  explicit SnapshotWriter(SegmentWriter* out) : out_(*out) {}

  Status Write(const CacheLabel& label, const Snapshot& snapshot) {
    SIGNET_RETURN_IF_ERROR(out_.Begin());
    SIGNET_RETURN_IF_ERROR(
        out_.Add(kHeader, {NumberField(label.generation), NumberField(snapshot.revision),
                           AsBytes(label.agent.ToString()), label.agent_svid,
                           NumberField(UnixSeconds(label.written_at))}));
    for (const auto& [name, bundle] : snapshot.bundles)
      SIGNET_RETURN_IF_ERROR(
          out_.Add(kBundle, {AsBytes(FromBundle(bundle->bundle).SerializeAsString())}));
    Status status;
    snapshot.entries.ForEach([&](const HeldEntry& held) {
      if (status) status = WriteHeld(held);
    });
    return status;
  }

 private:
  Status WriteHeld(const HeldEntry& held) {
    std::uint64_t issuers = 0;
    if (held.svid) {
      SIGNET_TRY(issuers, IndexOf(held.svid->issuers));
    }
    SIGNET_RETURN_IF_ERROR(out_.Add(kEntry, {AsBytes(FromEntry(*held.entry).SerializeAsString())}));
    if (!held.svid) return {};
    const IssuedSvid& svid = *held.svid;
    return out_.Add(kSvid,
                    {NumberField(issuers), NumberField(svid.entry_revision),
                     NumberField(svid.entry_created_at), NumberField(UnixSeconds(svid.not_before)),
                     NumberField(UnixSeconds(svid.not_after)), svid.leaf_der, svid.key.view()});
  }

  // Written before the first SVID that has them.
  Result<std::uint64_t> IndexOf(const IssuersPtr& issuers) {
    const auto [found, added] = indexes_.try_emplace(issuers, indexes_.size());
    if (added)
      SIGNET_RETURN_IF_ERROR(out_.Add(kIssuers, {issuers->der, issuers->authority_key_id}));
    return found->second;
  }

  SegmentWriter& out_;
  std::map<IssuersPtr, std::uint64_t> indexes_;
};

}  // namespace

Result<std::size_t> WriteCacheFile(const std::string& path, const SecretBytes& kek,
                                   const CacheLabel& label, const Snapshot& snapshot,
                                   Random& random) {
  SIGNET_TRY(AtomicFile file, AtomicFile::Create(path));
  SegmentWriter segments(std::move(file), kek, random);
  SIGNET_RETURN_IF_ERROR(SnapshotWriter(&segments).Write(label, snapshot));
  return segments.Finish();
}

Result<CacheFrames> SplitCacheFile(ByteView file) {
  if (file.size() < kMagic.size() + kFileIdBytes || AsText(file.first(kMagic.size())) != kMagic)
    return Malformed("no cache of this version");
  CacheFrames frames;
  frames.file_id = file.subspan(kMagic.size(), kFileIdBytes);
  for (ByteView rest = file.subspan(kMagic.size() + kFileIdBytes); !rest.empty();) {
    if (rest.size() < kLengthBytes) return Malformed("segment cut short");
    const std::size_t length = GetNumber(rest.first(kLengthBytes));
    rest = rest.subspan(kLengthBytes);
    if (length < kSealBytes || length > kMostSegmentBytes + kSealBytes || length > rest.size())
      return Malformed("segment of a length that cannot be");
    frames.sealed.push_back(rest.first(length));
    rest = rest.subspan(length);
  }
  if (frames.sealed.empty()) return Malformed("no segment");
  return frames;
}

Result<KeptCache> ReadCacheFile(const std::string& path, const SecretBytes& kek,
                                IssuerPool& issuers) {
  SIGNET_TRY(const Bytes file, ReadFile(path, kMostCacheBytes));
  SIGNET_TRY(const CacheFrames frames, SplitCacheFile(file));
  CacheDecoder decoder(issuers);
  for (std::size_t i = 0; i < frames.sealed.size(); ++i) {
    const bool is_last = i + 1 == frames.sealed.size();
    SIGNET_TRY(const SecretBytes plain,
               ca::Open(kek, frames.sealed[i], AssociatedData(frames.file_id, i, is_last)));
    SIGNET_RETURN_IF_ERROR(decoder.AddSegment(plain.view()));
  }
  return decoder.Finish();
}

// ---- records

class CacheDecoder::Fields {
 public:
  explicit Fields(ByteView rest) : rest_(rest) {}
  bool AtEnd() const { return rest_.empty(); }

  Result<std::uint8_t> Type() {
    const std::uint8_t type = rest_.front();
    rest_ = rest_.subspan(1);
    return type;
  }
  Result<ByteView> Next() {
    if (rest_.size() < kLengthBytes) return Malformed("field missing");
    const std::size_t length = GetNumber(rest_.first(kLengthBytes));
    if (length > rest_.size() - kLengthBytes) return Malformed("field cut short");
    const ByteView field = rest_.subspan(kLengthBytes, length);
    rest_ = rest_.subspan(kLengthBytes + length);
    return field;
  }
  Result<std::uint64_t> Number() {
    SIGNET_TRY(const ByteView field, Next());
    if (field.size() != 8) return Malformed("number not of 8 bytes");
    return GetNumber(field);
  }
  Result<std::int64_t> Signed() {
    SIGNET_TRY(const std::uint64_t number, Number());
    return static_cast<std::int64_t>(number);
  }
  // Seconds since the epoch that a WallTime can hold.
  Result<WallTime> Time() {
    constexpr std::int64_t kYear2200 = 7'258'118'400;
    SIGNET_TRY(const std::int64_t seconds, Signed());
    if (seconds < 0 || seconds > kYear2200) return Malformed("time out of range");
    return FromUnixSeconds(seconds);
  }
  // A protocol buffers message.
  template <class Message>
  Result<Message> Parsed() {
    SIGNET_TRY(const ByteView field, Next());
    Message message;
    if (!message.ParseFromArray(field.data(), static_cast<int>(field.size())))
      return Malformed("message does not parse");
    return message;
  }

 private:
  ByteView rest_;
};

Status CacheDecoder::AddSegment(ByteView plain) {
  if (plain.size() > kMostSegmentBytes) return Malformed("segment too large");
  Fields fields(plain);
  while (!fields.AtEnd()) {
    SIGNET_TRY(const std::uint8_t type, fields.Type());
    if (has_header_ == (type == kHeader)) return Malformed("header not first, or not once");
    SIGNET_RETURN_IF_ERROR(AddRecord(type, &fields));
    may_have_svid_ = type == kEntry;
  }
  return {};
}

Status CacheDecoder::AddRecord(std::uint8_t type, Fields* fields) {
  switch (type) {
    case kHeader:
      return AddHeader(fields);
    case kBundle:
      return AddBundle(fields);
    case kIssuers:
      return AddIssuers(fields);
    case kEntry:
      return AddEntry(fields);
    case kSvid:
      return AddSvid(fields);
    default:
      return Malformed("unknown record");
  }
}

Status CacheDecoder::AddHeader(Fields* fields) {
  has_header_ = true;
  kept_.delta.full = true;
  SIGNET_TRY(kept_.label.generation, fields->Number());
  SIGNET_TRY(kept_.delta.revision, fields->Number());
  SIGNET_TRY(const ByteView agent, fields->Next());
  SIGNET_TRY(kept_.label.agent, identity::SpiffeId::Parse(AsText(agent)));
  SIGNET_TRY(const ByteView svid, fields->Next());
  if (svid.size() != kept_.label.agent_svid.size()) return Malformed("fingerprint");
  std::copy(svid.begin(), svid.end(), kept_.label.agent_svid.begin());
  SIGNET_TRY(kept_.label.written_at, fields->Time());
  return {};
}

Status CacheDecoder::AddBundle(Fields* fields) {
  SIGNET_TRY(const auto message, fields->Parsed<spire::api::types::Bundle>());
  SIGNET_TRY(auto bundle, ToBundle(message));
  kept_.delta.bundles.push_back(std::move(bundle));
  return {};
}

Status CacheDecoder::AddIssuers(Fields* fields) {
  if (known_issuers_.size() >= kMostIssuers) return Malformed("too many issuers");
  SIGNET_TRY(const ByteView der, fields->Next());
  SIGNET_TRY(const ByteView key_id, fields->Next());
  if (!der.empty()) SIGNET_RETURN_IF_ERROR(ca::ParseConcatenatedDer(der, ca::kMaxChainLength));
  known_issuers_.push_back(issuers_.Intern({ToBytes(der), ToBytes(key_id)}));
  return {};
}

Status CacheDecoder::AddEntry(Fields* fields) {
  if (kept_.delta.upserts.size() >= kMaxEntries) return Malformed("too many entries");
  SIGNET_TRY(const auto message, fields->Parsed<spire::api::types::Entry>());
  SIGNET_TRY(auto entry, ToEntry(message));
  if (!kept_.delta.upserts.empty() && kept_.delta.upserts.back().id >= entry.id)
    return Malformed("entries not in order");
  kept_.delta.upserts.push_back(std::move(entry));
  return {};
}

Status CacheDecoder::AddSvid(Fields* fields) {
  if (!may_have_svid_) return Malformed("SVID without entry");
  const AuthorizedEntry& entry = kept_.delta.upserts.back();
  auto svid = std::make_shared<IssuedSvid>();
  SIGNET_TRY(const std::uint64_t issuers, fields->Number());
  if (issuers >= known_issuers_.size()) return Malformed("SVID of unknown issuers");
  svid->id = entry.spiffe_id;
  svid->issuers = known_issuers_[issuers];
  SIGNET_TRY(svid->entry_revision, fields->Signed());
  SIGNET_TRY(svid->entry_created_at, fields->Signed());
  SIGNET_TRY(svid->not_before, fields->Time());
  SIGNET_TRY(svid->not_after, fields->Time());
  SIGNET_TRY(const ByteView leaf, fields->Next());
  SIGNET_TRY(const ByteView key, fields->Next());
  if (leaf.empty() || key.empty()) return Malformed("SVID without certificate or key");
  svid->leaf_der = ToBytes(leaf);
  svid->key = SecretBytes(key);
  svid->fingerprint = ca::Sha256(leaf);
  kept_.svids.emplace_back(entry.id, std::move(svid));
  return {};
}

Result<KeptCache> CacheDecoder::Finish() {
  if (!has_header_) return Malformed("no header");
  return std::move(kept_);
}

}  // namespace signet::agent
