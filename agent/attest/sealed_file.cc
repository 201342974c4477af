#include "agent/attest/sealed_file.h"

#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "base/random.h"
#include "ca/crypto/digest.h"

namespace signet::agent {
namespace {

constexpr std::size_t kKekBytes = 32;
constexpr std::size_t kSealedLimit = 256U << 20;
constexpr std::size_t kFieldLimit = kSealedLimit;

}  // namespace

Result<std::shared_ptr<const SecretBytes>> LoadOrCreateKek(const std::string& path) {
  auto kek = ReadSecretFile(path, kKekBytes);
  if (!kek && kek.error().reason == kFileMissing) {
    OsRandom random;
    SecretBytes fresh(kKekBytes);
    random.Fill(fresh.mutable_view());
    SIGNET_RETURN_IF_ERROR(WriteFileAtomically(path, fresh.view(), 0600));
    kek = std::move(fresh);
  }
  if (!kek) return Fail(std::move(kek).error());
  if (kek->size() != kKekBytes)
    return Fail(Code::kDataLoss, kRecordMalformed, path + " does not hold a key of 32 bytes");
  return std::make_shared<const SecretBytes>(std::move(*kek));
}

SealedFile::SealedFile(std::string path, std::shared_ptr<const SecretBytes> kek,
                       std::string purpose)
    : path_(std::move(path)), kek_(std::move(kek)), purpose_(std::move(purpose)) {}

Result<std::optional<SecretBytes>> SealedFile::Load() const {
  const auto sealed = ReadFile(path_, kSealedLimit);
  if (!sealed && sealed.error().reason == kFileMissing) return std::nullopt;
  if (!sealed) return Fail(sealed.error());
  auto content = ca::Open(*kek_, *sealed, AsBytes(purpose_));
  if (!content)
    return Fail(content.error().code, content.error().reason,
                path_ + " was changed, or sealed under another key");
  return std::optional<SecretBytes>(std::move(*content));
}

Status SealedFile::Save(const SecretBytes& content) const {
  SIGNET_TRY(const Bytes sealed, ca::Seal(*kek_, content.view(), AsBytes(purpose_)));
  return WriteFileAtomically(path_, sealed, 0600);
}

Status SealedFile::Erase() const {
  if (unlink(path_.c_str()) == 0 || errno == ENOENT) return {};
  return Fail(Code::kInternal, kFileWriteFailed, path_ + ": " + ErrnoText(errno));
}

void RecordWriter::Reserve(std::size_t more) {
  if (bytes_.capacity() - bytes_.size() >= more) return;
  // Growing in place of the vector, which would leave a copy of secrets behind.
  Bytes larger;
  larger.reserve(2 * bytes_.size() + more);
  larger.insert(larger.end(), bytes_.begin(), bytes_.end());
  WipeBytes(bytes_);
  bytes_ = std::move(larger);
}

void RecordWriter::Add(ByteView field) {
  Reserve(4 + field.size());
  for (int shift = 24; shift >= 0; shift -= 8)
    bytes_.push_back(static_cast<std::uint8_t>((field.size() >> shift) & 0xff));
  bytes_.insert(bytes_.end(), field.begin(), field.end());
}

SecretBytes RecordWriter::Finish() {
  SecretBytes finished(bytes_);
  WipeBytes(bytes_);
  bytes_.clear();
  return finished;
}

Result<ByteView> RecordReader::Next() {
  constexpr std::size_t kPrefix = 4;
  if (rest_.size() < kPrefix) return Fail(Code::kDataLoss, kRecordMalformed, "field missing");
  std::size_t length = 0;
  for (std::size_t i = 0; i < kPrefix; ++i) length = (length << 8) | rest_[i];
  if (length > kFieldLimit || length > rest_.size() - kPrefix)
    return Fail(Code::kDataLoss, kRecordMalformed, "field cut short");
  const ByteView field = rest_.subspan(kPrefix, length);
  rest_ = rest_.subspan(kPrefix + length);
  return field;
}

}  // namespace signet::agent
