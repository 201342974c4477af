// What reaches the server's port: noise, anonymous callers in a hurry, agents on the push stream.

#include <sys/socket.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <latch>
#include <random>
#include <thread>

#include "signet/sync/v1/sync.grpc.pb.h"
#include "tests/support/server_process.h"

namespace signet::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

void Write(int fd, std::string_view bytes) {
  // The server may have hung up; that is its right.
  [[maybe_unused]] const auto sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

TEST_CASE("malformed TLS and HTTP/2 leave the server serving") {
  ServerProcess server(SIGNET_BIN);
  server.Start();
  const auto address = server.address();
  std::mt19937 random(11);
  const auto noise = [&](std::size_t size) {
    std::string bytes(size, '\0');
    for (auto& byte : bytes) byte = static_cast<char>(random());
    return bytes;
  };
  std::vector<UniqueFd> held;
  const auto connect = [&] {
    auto fd = net::Connect(address, seconds(5));
    REQUIRE(fd);
    return std::move(*fd);
  };
  const std::string hello("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
  for (int i = 0; i < 20; ++i) {
    auto fd = connect();
    Write(fd.get(), noise(1 + random() % 2000));
    held.push_back(std::move(fd));
    fd = connect();
    Write(fd.get(), hello + noise(random() % 600));
    held.push_back(std::move(fd));
    held.push_back(connect());  // and says nothing
    fd = connect();
    Write(fd.get(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  }
  const std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  for (int i = 0; i < 20; ++i) {
    auto fd = server.Raw();
    REQUIRE(fd.valid());
    Write(fd.get(), i % 2 == 0 ? noise(3000) : preface + noise(3000));
    held.push_back(std::move(fd));
    fd = server.Raw();
    // A frame that claims 16 MiB.
    Write(fd.get(), preface + std::string("\xff\xff\xff\x00\x00\x00\x00\x00\x01", 9));
    held.push_back(std::move(fd));
  }
  // The admin socket takes noise as well.
  auto admin = net::Connect(*net::Address::Parse("unix:" + server.admin_socket()), seconds(5));
  REQUIRE(admin);
  Write(admin->get(), noise(500));
  const auto channel = server.Tls();
  REQUIRE(channel);
  CHECK(GetBundle(*channel).x509_authorities_size() == 1);
  CHECK_FALSE(MakeAgent(server).id.empty());
  CHECK(server.process().running());
}

TEST_CASE("a request larger than the limit is refused, and the connection goes on") {
  ServerProcess server(SIGNET_BIN, "limits: {message_bytes: 65536}\n");
  server.Start();
  const auto stub = spire::api::server::entry::v1::Entry::NewStub(server.Admin());
  spire::api::server::entry::v1::GetEntryRequest request;
  request.set_id(std::string(100'000, 'x'));
  grpc::ClientContext context;
  spire::api::types::Entry entry;
  CHECK(stub->GetEntry(&context, request, &entry).error_code() == grpc::RESOURCE_EXHAUSTED);
  request.set_id("x");
  grpc::ClientContext second;
  CHECK(stub->GetEntry(&second, request, &entry).error_code() == grpc::NOT_FOUND);
}

TEST_CASE("a token used by a hundred connections at once is good for exactly one") {
  ServerProcess server(SIGNET_BIN, "ratelimit: {attestation: false}\n");
  server.Start();
  const auto token = CreateJoinToken(*server.Admin());
  constexpr int kConnections = 100;
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < kConnections; ++i) {
    channels.push_back(server.Tls());
    REQUIRE(channels.back());
  }
  std::latch start(kConnections);
  std::atomic<int> won = 0, refused = 0, other = 0;
  std::vector<std::thread> threads;
  for (const auto& channel : channels) {
    threads.emplace_back([&, channel] {
      start.arrive_and_wait();
      grpc::Status status;
      AttestAgent(*channel, token, &status);
      ++(status.ok() ? won : status.error_code() == grpc::INVALID_ARGUMENT ? refused : other);
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(won == 1);
  CHECK(refused == kConnections - 1);
  CHECK(other == 0);
}

TEST_CASE("an expired token is refused") {
  ServerProcess server(SIGNET_BIN);
  server.Start();
  const auto token = CreateJoinToken(*server.Admin(), 1);
  // Time has to pass for real here; the process's end would end the wait.
  CHECK_FALSE(server.process().Wait(milliseconds(2100)));
  const auto channel = server.Tls();
  REQUIRE(channel);
  grpc::Status status;
  AttestAgent(*channel, token, &status);
  CHECK(status.error_code() == grpc::INVALID_ARGUMENT);
}

TEST_CASE("attestations of one address are limited, and said so") {
  ServerProcess server(SIGNET_BIN);
  server.Start();
  const auto channel = server.Tls();
  REQUIRE(channel);
  bool exhausted = false;
  for (int i = 0; i < 200 && !exhausted; ++i) {
    grpc::Status status;
    AttestAgent(*channel, "guess", &status);
    exhausted = status.error_code() == grpc::RESOURCE_EXHAUSTED;
  }
  CHECK(exhausted);
}

// An agent on the push stream.
class Subscriber {
 public:
  explicit Subscriber(const std::shared_ptr<grpc::Channel>& channel)
      : stub_(signet::sync::v1::Sync::NewStub(channel)), stream_(stub_->Subscribe(&context_)) {
    context_.set_wait_for_ready(false);
    signet::sync::v1::SubscribeRequest hello;
    hello.mutable_hello();
    stream_->Write(hello);
  }
  ~Subscriber() { context_.TryCancel(); }
  bool Read(signet::sync::v1::SubscribeResponse* response) { return stream_->Read(response); }
  grpc::Status Finish() { return stream_->Finish(); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<signet::sync::v1::Sync::Stub> stub_;
  std::unique_ptr<grpc::ClientReaderWriter<signet::sync::v1::SubscribeRequest,
                                           signet::sync::v1::SubscribeResponse>>
      stream_;
};

TEST_CASE("an entry is on the agent's stream within a quarter of a second") {
  ServerProcess server(SIGNET_BIN);
  server.Start();
  const auto agent = MakeAgent(server);
  const auto channel = server.Tls(&agent);
  REQUIRE(channel);
  Subscriber subscriber(channel);
  signet::sync::v1::SubscribeResponse response;
  REQUIRE(subscriber.Read(&response));
  CHECK(response.batch().full());
  CHECK(response.batch().bundles_size() == 1);
  std::vector<double> milliseconds_each;
  const auto admin = server.Admin();
  for (int i = 0; i < 20; ++i) {
    const auto id = "e" + std::to_string(i);
    const auto began = std::chrono::steady_clock::now();
    CreateEntry(*admin, MakeEntry(id, "/" + id, agent.id, "unix:uid:1"));
    REQUIRE(subscriber.Read(&response));
    milliseconds_each.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began)
            .count());
    REQUIRE(response.batch().upserts_size() == 1);
    CHECK(response.batch().upserts(0).id() == id);
  }
  std::sort(milliseconds_each.begin(), milliseconds_each.end());
  UNSCOPED_INFO("median " << milliseconds_each[10] << " ms");
  CHECK(milliseconds_each[18] < 250);
}

TEST_CASE("a ban reaches the stream, and calls say why from then on") {
  ServerProcess server(SIGNET_BIN);
  server.Start();
  const auto agent = MakeAgent(server);
  const auto channel = server.Tls(&agent);
  REQUIRE(channel);
  Subscriber subscriber(channel);
  signet::sync::v1::SubscribeResponse response;
  REQUIRE(subscriber.Read(&response));
  spire::api::server::agent::v1::BanAgentRequest ban;
  ban.mutable_id()->set_trust_domain("example.org");
  ban.mutable_id()->set_path(agent.id.substr(std::string("spiffe://example.org").size()));
  grpc::ClientContext context;
  google::protobuf::Empty empty;
  REQUIRE(spire::api::server::agent::v1::Agent::NewStub(server.Admin())
              ->BanAgent(&context, ban, &empty)
              .ok());
  REQUIRE(subscriber.Read(&response));
  CHECK(response.has_denied());
  CHECK_FALSE(subscriber.Read(&response));
  CHECK(subscriber.Finish().error_code() == grpc::PERMISSION_DENIED);
  // A new connection is let in, to be told.
  const auto again = server.Tls(&agent);
  REQUIRE(again);
  grpc::ClientContext second;
  spire::api::server::entry::v1::GetAuthorizedEntriesResponse entries;
  const auto status = spire::api::server::entry::v1::Entry::NewStub(again)->GetAuthorizedEntries(
      &second, {}, &entries);
  CHECK(status.error_code() == grpc::PERMISSION_DENIED);
  CHECK_FALSE(status.error_details().empty());
}

}  // namespace
}  // namespace signet::test
