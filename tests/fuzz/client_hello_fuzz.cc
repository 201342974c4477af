// Any bytes as the beginning of a TLS connection.
#include "base/check.h"
#include "proxy/detect/client_hello.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const signet::ByteView bytes(data, size);
  std::string name;
  const auto status = signet::proxy::ReadClientHello(bytes, &name);
  CHECK_TRUE((status == signet::proxy::HelloStatus::kName) == !name.empty());
  CHECK_TRUE(name.size() <= 255);
  // What more bytes would complete was not decided before.
  std::string earlier;
  const auto before = signet::proxy::ReadClientHello(bytes.first(size / 2), &earlier);
  if (before == signet::proxy::HelloStatus::kName) CHECK_TRUE(earlier == name);
  if (before == signet::proxy::HelloStatus::kMalformed) CHECK_TRUE(status == before);
  return 0;
}
