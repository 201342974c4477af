// The sealed cache on disk: entries, bundles, and X.509-SVIDs with their keys, as one file of
// sealed segments. docs/formats/agent-cache.md is the format. This knows bytes; cache_store.h
// decides what is written when, and what that was read is believed.
//
// Neither side ever holds more of the plain text than one segment, and that in memory that is
// wiped.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/cache/cache.h"
#include "base/random.h"

namespace signet::agent {

inline constexpr Reason kCacheMalformed{"malformed cache file"};
inline constexpr Reason kCacheTooLarge{"cache too large to be kept"};

inline constexpr std::size_t kMostCacheBytes = 256U << 20;  // of a file
inline constexpr std::size_t kSegmentTarget = 128U << 10;   // of plain text, where records end
inline constexpr std::size_t kMostRecordBytes = 1U << 20;   // of one record, alone in its segment
inline constexpr std::size_t kMostIssuers = 4096;           // different ones in a file

// Whose cache it is and which one.
struct CacheLabel {
  std::uint64_t generation = 0;  // grows with each file written
  identity::SpiffeId agent;
  ca::Sha256Digest agent_svid{};  // fingerprint of the agent's SVID as it was written
  WallTime written_at;
};

struct KeptCache {
  CacheLabel label;
  Delta delta;  // full
  SvidList svids;
};

// Puts a new file in place of `path`, durably. Answers its size. Fails with kCacheTooLarge, or as
// AtomicFile does; the old file stays then.
Result<std::size_t> WriteCacheFile(const std::string& path, const SecretBytes& kek,
                                   const CacheLabel& label, const Snapshot& snapshot,
                                   Random& random);

// All of it or nothing. Fails with kFileMissing, kFileUnreadable, kFileTooLarge, ca::kSealBroken or
// kCacheMalformed.
Result<KeptCache> ReadCacheFile(const std::string& path, const SecretBytes& kek,
                                IssuerPool& issuers);

// The two parsers inside, each over bytes that may be anything.

// A file as its parts: the id all its segments are bound to, and the segments, still sealed.
struct CacheFrames {
  ByteView file_id;
  std::vector<ByteView> sealed;  // at least one
};
Result<CacheFrames> SplitCacheFile(ByteView file);

// Takes the plain text of the segments one after another.
class CacheDecoder {
 public:
  explicit CacheDecoder(IssuerPool& issuers) : issuers_(issuers) {}
  Status AddSegment(ByteView plain);
  // After the last segment.
  Result<KeptCache> Finish();

 private:
  class Fields;
  Status AddRecord(std::uint8_t type, Fields* fields);
  Status AddHeader(Fields* fields);
  Status AddBundle(Fields* fields);
  Status AddIssuers(Fields* fields);
  Status AddEntry(Fields* fields);
  Status AddSvid(Fields* fields);

  IssuerPool& issuers_;
  KeptCache kept_;
  std::vector<IssuersPtr> known_issuers_;
  bool has_header_ = false;
  bool may_have_svid_ = false;  // the record before was an entry
};

}  // namespace signet::agent
