// Any bytes as the beginning of a connection whose protocol is found out.
#include "base/check.h"
#include "proxy/detect/first_bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using signet::proxy::FirstBytes;
  const signet::ByteView bytes(data, size);
  const FirstBytes whole = signet::proxy::ReadFirstBytes(bytes);
  if (size >= signet::proxy::kMostFirstBytes) CHECK_TRUE(whole != FirstBytes::kUndecided);
  // However the bytes are cut, what was decided stays so.
  for (std::size_t seen = 0; seen < size; seen += 1 + size / 64) {
    const FirstBytes before = signet::proxy::ReadFirstBytes(bytes.first(seen));
    if (before != FirstBytes::kUndecided) CHECK_TRUE(before == whole);
  }
  return 0;
}
