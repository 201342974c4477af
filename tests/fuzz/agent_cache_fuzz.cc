// The agent's cache file: its outer framing, and the records inside a segment, as if it had opened.
#include <cstddef>
#include <cstdint>

#include "agent/sync/cache_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace signet;
  const ByteView bytes(data, size);
  static_cast<void>(agent::SplitCacheFile(bytes));
  agent::IssuerPool issuers;
  agent::CacheDecoder decoder(issuers);
  // Two segments: what one says must hold when the next is read.
  if (decoder.AddSegment(bytes.first(size / 2)) && decoder.AddSegment(bytes.subspan(size / 2))) {
    auto kept = decoder.Finish();
    if (kept) {
      agent::Cache cache(*identity::TrustDomain::Parse("example.org"));
      cache.Restore(std::move(kept->delta), kept->svids);
    }
  }
  return 0;
}
