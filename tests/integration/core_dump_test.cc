// A core of a running server holds no private key and no key-encryption key: gdb's gcore, which
// honours MADV_DONTDUMP as the kernel does. The same search over a core with the excluded memory in
// it finds them, so the search can fail.

#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <functional>

#include "ca/keys/key_store.h"
#include "ca/keys/sealed_key_file.h"
#include "tests/support/server_process.h"

namespace signet::test {
namespace {

constexpr const char* kGdb = "/usr/bin/gdb";

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A secret as it may lie in memory: as written, and in the limbs of a big number, least significant
// first. Half of it is as bad as the whole.
std::vector<std::string> TracesOf(ByteView secret) {
  std::string forward = ToString(secret);
  std::string backward(forward.rbegin(), forward.rend());
  const std::size_t half = forward.size() / 2;
  return {forward.substr(0, half), forward.substr(half), backward.substr(0, half),
          backward.substr(half)};
}

// The private number of an EC key's PKCS#8: the first OCTET STRING of 32 bytes.
Bytes PrivateNumber(ByteView pkcs8) {
  const std::string_view text = AsText(pkcs8);
  const auto at = text.find("\x04\x20");
  REQUIRE(at != std::string_view::npos);
  return ToBytes(pkcs8.subspan(at + 2, 32));
}

std::size_t CountTraces(const std::string& core, const std::vector<std::string>& traces) {
  return static_cast<std::size_t>(std::ranges::count_if(traces, [&](const std::string& trace) {
    return std::search(core.begin(), core.end(),
                       std::boyer_moore_horspool_searcher(trace.begin(), trace.end())) !=
           core.end();
  }));
}

std::string CoreOf(const ServerProcess& server, const std::string& how) {
  const std::string path = server.folder() + "/core";
  std::string output;
  RunProcess({kGdb, "--batch", "-nx", "-p", std::to_string(server.process_id()), "-ex",
              "set dump-excluded-mappings " + how, "-ex", "gcore " + path},
             server.folder() + "/gdb", &output);
  std::string core = ReadAll(path);
  INFO(output);
  REQUIRE(core.size() > 1'000'000);
  std::remove(path.c_str());
  return core;
}

TEST_CASE(
    "attack 48: a core of the server holds neither its private keys nor the key-encryption key") {
  ServerProcess server(SIGNET_BIN);
  server.Start();
  if (geteuid() != 0) {
    // The process is not dumpable: only root may look into it at all.
    CHECK(access(("/proc/" + std::to_string(server.process_id()) + "/mem").c_str(), R_OK) != 0);
    return;
  }
  // A few signatures, and a second start that reads the keys from disk.
  for (int i = 0; i < 20; ++i) MintSvid(*server.Admin(), "spiffe://example.org/w");
  CHECK(server.Stop().code == 0);
  server.Start();
  for (int i = 0; i < 20; ++i) MintSvid(*server.Admin(), "spiffe://example.org/w");

  const std::string keys = server.data_dir() + "/keys";
  const auto kek = ca::ReadKekFile(server.data_dir() + "/kek");
  REQUIRE(kek);
  std::vector<std::string> key_traces;
  const auto names = ca::ListKeyFiles(keys);
  REQUIRE((names && names->size() >= 2));
  for (const std::string& name : *names) {
    const auto pkcs8 = ca::ReadKeyFile(*kek, keys, name);
    REQUIRE(pkcs8);
    for (std::string& trace : TracesOf(PrivateNumber(pkcs8->view())))
      key_traces.push_back(std::move(trace));
  }
  const std::vector<std::string> kek_traces = TracesOf(kek->view());

  const std::string core = CoreOf(server, "off");
  CHECK(CountTraces(core, {"example.org"}) == 1);  // it is the server's memory
  CHECK(CountTraces(core, key_traces) == 0);
  CHECK(CountTraces(core, kek_traces) == 0);
  const std::string whole = CoreOf(server, "on");
  CHECK(CountTraces(whole, key_traces) >= names->size());
  CHECK(CountTraces(whole, kek_traces) >= 1);
}

}  // namespace
}  // namespace signet::test
