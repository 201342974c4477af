// A hostile node, and hostile strangers, against a real signet-server: attacks A1, A3 and A10.
// Certificate requests are the openssl program's.

#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <latch>
#include <mutex>
#include <thread>

#include "ca/x509/request.h"
#include "tests/support/server_process.h"
#include "tests/support/tools.h"

namespace signet::test {
namespace {

namespace agent_api = spire::api::server::agent::v1;
namespace svid_api = spire::api::server::svid::v1;
using std::chrono::seconds;

std::unique_ptr<grpc::ClientContext> Context() {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + seconds(30));
  return context;
}

// A request in DER over a fresh key, with all that a node should not get.
Bytes GreedyRequest(const TempDir& dir, const std::vector<std::string>& key,
                    const std::string& more_names = {}) {
  WriteText(dir.File("greedy.cnf"),
            "[req]\ndistinguished_name=dn\nreq_extensions=ext\nprompt=no\n"
            "[dn]\nCN=root\nO=Somebody Else\n"
            "[ext]\nbasicConstraints=critical,CA:TRUE\n"
            "keyUsage=critical,keyCertSign,cRLSign,digitalSignature\n"
            "extendedKeyUsage=anyExtendedKeyUsage\n"
            "subjectAltName=URI:spiffe://example.org/spire/server,URI:spiffe://example.org/admin,"
            "DNS:evil.test,IP:127.0.0.1,email:root@evil.test" +
                more_names + "\n");
  std::vector<std::string> arguments = {"req",
                                        "-new",
                                        "-nodes",
                                        "-config",
                                        dir.File("greedy.cnf"),
                                        "-keyout",
                                        dir.File("greedy.key"),
                                        "-outform",
                                        "DER",
                                        "-out",
                                        dir.File("greedy.der")};
  arguments.insert(arguments.end(), key.begin(), key.end());
  Openssl(dir, arguments);
  return ToBytes(AsBytes(ReadText(dir.File("greedy.der"))));
}

const std::vector<std::string> kP256 = {"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"};

// That the leaf is `id`'s and nothing more.
void CheckModest(const ca::Chain& chain, const std::string& id) {
  REQUIRE_FALSE(chain.empty());
  const auto& leaf = chain.front();
  CHECK(leaf.uri_sans() == std::vector<std::string>{id});
  CHECK(leaf.dns_sans().empty());
  CHECK(leaf.other_san_count() == 0);
  CHECK_FALSE(leaf.is_ca());
  REQUIRE(leaf.key_usage());
  CHECK_FALSE(leaf.key_usage()->key_cert_sign);
  CHECK_FALSE(leaf.key_usage()->crl_sign);
  CHECK(leaf.SubjectText().find("Somebody") == std::string::npos);
  CHECK(leaf.extended_key_usages() ==
        std::vector<std::string>{"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"});
}

grpc::Status Renew(grpc::Channel& agent, const Bytes& csr, ca::Chain* chain = nullptr) {
  const std::shared_ptr<grpc::Channel> channel(std::shared_ptr<void>(), &agent);
  agent_api::RenewAgentRequest request;
  request.mutable_params()->set_csr(ToString(csr));
  agent_api::RenewAgentResponse response;
  const auto status =
      agent_api::Agent::NewStub(channel)->RenewAgent(Context().get(), request, &response);
  if (status.ok() && chain != nullptr) *chain = ParseChain(response.svid().cert_chain());
  return status;
}

grpc::Status Attest(grpc::Channel& anonymous, const std::string& token, const Bytes& csr,
                    agent_api::AttestAgentResponse* response) {
  const std::shared_ptr<grpc::Channel> channel(std::shared_ptr<void>(), &anonymous);
  agent_api::AttestAgentRequest request;
  request.mutable_params()->mutable_data()->set_type("join_token");
  request.mutable_params()->mutable_data()->set_payload(token);
  request.mutable_params()->mutable_params()->set_csr(ToString(csr));
  const auto context = Context();
  const auto stub = agent_api::Agent::NewStub(channel);
  const auto stream = stub->AttestAgent(context.get());
  stream->Write(request);
  stream->Read(response);
  stream->WritesDone();
  return stream->Finish();
}

}  // namespace

TEST_CASE("A1: of a certificate request only the public key is taken") {
  TempDir dir;
  ServerProcess server(SIGNET_BIN);
  server.Start();
  const Bytes greedy = GreedyRequest(dir, kP256);

  agent_api::AttestAgentResponse joined;
  const auto anonymous = server.Tls();
  REQUIRE(Attest(*anonymous, CreateJoinToken(*server.Admin()), greedy, &joined).ok());
  const auto& svid = joined.result().svid();
  CHECK(svid.id().path().starts_with("/spire/agent/join_token/"));
  CheckModest(ParseChain(svid.cert_chain()), "spiffe://example.org" + svid.id().path());

  const TestIdentity agent = MakeAgent(server);
  const auto channel = server.Tls(&agent);
  ca::Chain renewed;
  REQUIRE(Renew(*channel, greedy, &renewed).ok());
  CheckModest(renewed, agent.id);

  CreateEntry(*server.Admin(), MakeEntry("mine", "/web", agent.id, "unix:uid:1"));
  CreateEntry(*server.Admin(),
              MakeEntry("others", "/db", "spiffe://example.org/spire/agent/join_token/other",
                        "unix:uid:1"));
  svid_api::BatchNewX509SVIDRequest request;
  for (const char* entry : {"mine", "others", "no-such-entry"}) {
    auto* params = request.add_params();
    params->set_entry_id(entry);
    params->set_csr(ToString(greedy));
  }
  svid_api::BatchNewX509SVIDResponse response;
  REQUIRE(
      svid_api::SVID::NewStub(channel)->BatchNewX509SVID(Context().get(), request, &response).ok());
  REQUIRE(response.results_size() == 3);
  CheckModest(ParseChain(response.results(0).svid().cert_chain()), "spiffe://example.org/web");
  for (const int i : {1, 2}) {
    CHECK(response.results(i).status().code() == static_cast<int>(grpc::NOT_FOUND));
    CHECK(response.results(i).svid().cert_chain_size() == 0);
  }
}

TEST_CASE("A1: odd keys get no certificate, nor do requests that nobody signed") {
  TempDir dir;
  ServerProcess server(SIGNET_BIN);
  server.Start();
  const TestIdentity agent = MakeAgent(server);
  const auto channel = server.Tls(&agent);
  const auto refused = [&](const std::string& what, const Bytes& csr) {
    CAPTURE(what);
    const auto status = Renew(*channel, csr);
    CHECK(status.error_code() == grpc::INVALID_ARGUMENT);
  };
  refused("P-521", GreedyRequest(dir, {"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"}));
  refused("RSA-1024", GreedyRequest(dir, {"-newkey", "rsa:1024"}));
  Openssl(dir, {"genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-pkeyopt",
                "rsa_keygen_pubexp:3", "-out", dir.File("small.key")});
  refused("RSA, e = 3", GreedyRequest(dir, {"-key", dir.File("small.key")}));
  Bytes forged = GreedyRequest(dir, kP256);
  forged.back() ^= 1;
  refused("another signature", forged);
  refused("no request", Bytes{0x30, 0x00});
  CHECK(Renew(*channel, GreedyRequest(dir, kP256)).ok());
}

TEST_CASE(
    "A3: of 100 connections at once with one token one joins, and the token is nowhere said") {
  constexpr int kConnections = 100;
  constexpr int kRounds = 10;
  ServerProcess server(SIGNET_BIN, "ratelimit: {attestation: false}\nlog: {level: trace}\n");
  server.Start();
  const auto admin = server.Admin();
  const auto key = *ca::PrivateKey::Generate(ca::KeyType::kEcP256);
  const Bytes csr = *ca::MakeRequest(key);
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < kConnections; ++i) channels.push_back(server.Tls());
  std::vector<std::string> tokens;
  for (int round = 0; round < kRounds; ++round) {
    const std::string token = CreateJoinToken(*admin);
    tokens.push_back(token);
    std::mutex mutex;
    int joined = 0;
    int refused = 0;
    std::vector<std::string> said;
    std::latch ready(kConnections);
    {
      std::vector<std::jthread> threads;
      for (auto& channel : channels) {
        threads.emplace_back([&] {
          agent_api::AttestAgentResponse response;
          ready.arrive_and_wait();
          const auto status = Attest(*channel, token, csr, &response);
          const std::lock_guard lock(mutex);
          if (status.ok()) ++joined;
          if (status.error_code() == grpc::INVALID_ARGUMENT) ++refused;
          said.push_back(status.error_message());
          said.push_back(response.result().svid().id().path());
        });
      }
    }
    CHECK(joined == 1);
    CHECK(refused == kConnections - 1);
    for (const auto& text : said) CHECK(text.find(token) == std::string::npos);
  }
  const std::string log = server.Output();
  for (const auto& token : tokens) CHECK(log.find(token) == std::string::npos);
}

TEST_CASE("A10: requests of 10 MB and 10,000 names cost the server a look at their size") {
  TempDir dir;
  ServerProcess server(SIGNET_BIN);
  server.Start();
  const TestIdentity agent = MakeAgent(server);
  const auto channel = server.Tls(&agent);
  CHECK(Renew(*channel, Bytes(std::size_t{10} << 20, 0x30)).error_code() == grpc::INVALID_ARGUMENT);
  std::string names;
  for (int i = 0; i < 10'000; ++i) names += ",DNS:n" + std::to_string(i) + ".test";
  CHECK(Renew(*channel, GreedyRequest(dir, kP256, names)).error_code() == grpc::INVALID_ARGUMENT);
  // Who shows no certificate does not even get that far.
  const auto anonymous = server.Tls();
  agent_api::AttestAgentResponse response;
  CHECK_FALSE(Attest(*anonymous, "token", Bytes(std::size_t{10} << 20, 0x30), &response).ok());
  CHECK_FALSE(MakeAgent(server).id.empty());
}

TEST_CASE("A10: half-open handshakes and nodes that never answer keep no other node out") {
  TempDir dir;
  const auto ec = [&](std::vector<std::string> arguments, const std::string& name) {
    arguments.insert(arguments.end(),
                     {"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                      dir.File(name + ".key"), "-subj", "/CN=" + name});
    Openssl(dir, arguments);
  };
  ec({"req", "-x509", "-out", dir.File("ca.pem"), "-days", "30"}, "ca");
  ec({"req", "-out", dir.File("node.csr")}, "node");
  WriteText(dir.File("ext"), "keyUsage=critical,digitalSignature\n");
  Openssl(dir, {"x509", "-req", "-in", dir.File("node.csr"), "-CA", dir.File("ca.pem"), "-CAkey",
                dir.File("ca.key"), "-CAcreateserial", "-days", "30", "-extfile", dir.File("ext"),
                "-outform", "DER", "-out", dir.File("node.der")});
  ServerProcess server(SIGNET_BIN,
                       "ratelimit: {attestation: false}\nnode_attestors: {x509pop: {"
                       "ca_bundle_path: " +
                           dir.File("ca.pem") + "}}\n");
  server.Start();
  std::vector<UniqueFd> silent;
  for (int i = 0; i < 500; ++i) {
    auto fd = net::Connect(server.address(), seconds(5));
    if (!fd) continue;
    // Some say nothing, some the beginning of a TLS hello.
    if (i % 2 == 0) send(fd->get(), "\x16\x03\x01\x02\x00\x01", 6, MSG_NOSIGNAL);
    silent.push_back(std::move(*fd));
  }
  // Nodes that take their challenge and go silent.
  const auto channel = server.Tls();
  REQUIRE(channel);
  const auto stub = agent_api::Agent::NewStub(channel);
  agent_api::AttestAgentRequest request;
  request.mutable_params()->mutable_data()->set_type("x509pop");
  request.mutable_params()->mutable_data()->set_payload(
      "{\"certificates\":[\"" + EncodeBase64(AsBytes(ReadText(dir.File("node.der")))) + "\"]}");
  request.mutable_params()->mutable_params()->set_csr("not looked at yet");
  struct Waiting {
    std::unique_ptr<grpc::ClientContext> context = std::make_unique<grpc::ClientContext>();
    std::unique_ptr<
        grpc::ClientReaderWriter<agent_api::AttestAgentRequest, agent_api::AttestAgentResponse>>
        stream;
  };
  std::vector<Waiting> waiting(100);
  for (auto& node : waiting) {
    node.stream = stub->AttestAgent(node.context.get());
    node.stream->Write(request);
    agent_api::AttestAgentResponse response;
    REQUIRE(node.stream->Read(&response));
    CHECK_FALSE(response.challenge().empty());
  }
  CHECK_FALSE(MakeAgent(server).id.empty());
  for (auto& node : waiting) {
    node.context->TryCancel();
    node.stream->Finish();
  }
}

}  // namespace signet::test
