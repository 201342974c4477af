// A file whose content is sealed under the agent's key-encryption key, and the record format
// inside. A power cut leaves the old or the new content; a file that does not open is an error,
// never silently empty.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace signet::agent {

inline constexpr Reason kRecordMalformed{"malformed stored record"};

// 32 bytes in a file of mode 0600, made at first use.
Result<std::shared_ptr<const SecretBytes>> LoadOrCreateKek(const std::string& path);

class SealedFile {
 public:
  // `purpose` is bound to the content: a file cannot stand in for another one.
  SealedFile(std::string path, std::shared_ptr<const SecretBytes> kek, std::string purpose);

  // Absent when there is no file. Fails with ca::kSealBroken, kFileUnreadable.
  Result<std::optional<SecretBytes>> Load() const;
  Status Save(const SecretBytes& content) const;
  // The content is gone for good; no file is fine.
  Status Erase() const;
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
  const std::shared_ptr<const SecretBytes> kek_;
  const std::string purpose_;
};

// Fields of bytes, each after its length (4 bytes, big-endian).
class RecordWriter {
 public:
  void Add(ByteView field);
  void Add(std::string_view field) { Add(AsBytes(field)); }
  SecretBytes Finish();

 private:
  void Reserve(std::size_t more);
  Bytes bytes_;
};

class RecordReader {
 public:
  explicit RecordReader(ByteView bytes) : rest_(bytes) {}
  // Fails with kRecordMalformed at the end or when a length is not true.
  Result<ByteView> Next();
  bool AtEnd() const { return rest_.empty(); }

 private:
  ByteView rest_;
};

}  // namespace signet::agent
