// A real signet-server on loopback with a data directory of its own, and clients of it: over the
// admin socket as an administrator, and over TLS as whoever shows a certificate.
//
// Threads: none.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "ca/crypto/key.h"
#include "ca/x509/certificate.h"
#include "net/tls_front.h"
#include "spire/api/server/agent/v1/agent.grpc.pb.h"
#include "spire/api/server/bundle/v1/bundle.grpc.pb.h"
#include "spire/api/server/entry/v1/entry.grpc.pb.h"
#include "spire/api/server/svid/v1/svid.grpc.pb.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace signet::test {

// A key and the chain issued over it.
struct TestIdentity {
  std::shared_ptr<const ca::PrivateKey> key;
  ca::Chain chain;
  std::string id;
};

class ServerProcess {
 public:
  // `bin`: the folder of the programs. `settings`: lines of YAML added to the trust domain, folders
  // and addresses.
  explicit ServerProcess(std::string bin, const std::string& settings = {});

  // Replaces the configuration; counts at the next start.
  void Configure(const std::string& settings, const std::string& trust_domain = "example.org");
  // Starts it and waits until it serves; throws with its output when it does not within ten
  // seconds.
  void Start();
  // Starts it and waits for it to give up.
  ProcessEnd StartRefused();
  void Kill() { process_->Kill(); }
  // SIGTERM; throws when it has not ended within fifteen seconds.
  ProcessEnd Stop();

  Process& process() { return *process_; }
  pid_t process_id() const { return process_->pid(); }
  const std::string& config_path() const { return config_path_; }
  const std::string& folder() const { return folder_.path(); }
  const std::string& data_dir() const { return data_dir_; }
  const std::string& admin_socket() const { return admin_socket_; }
  // Of the running one.
  net::Address address() const;
  std::string Output() const { return process_->Output(); }

  std::shared_ptr<grpc::Channel> Admin() const;
  // One TLS connection, anonymous when `identity` is null; the server is not verified. Null when
  // refused.
  std::shared_ptr<grpc::Channel> Tls(const TestIdentity* identity = nullptr) const;
  // What it shows in a TLS handshake; empty when refused.
  ca::Chain ServerChain() const;
  // The plain end of a TLS connection without a client certificate, for speaking other than gRPC.
  UniqueFd Raw() const;

 private:
  net::TlsDialer::Dialed Dial(const TestIdentity* identity) const;

  const std::string bin_;
  TempDir folder_;
  std::string data_dir_;
  std::string admin_socket_;
  std::string config_path_;
  std::unique_ptr<net::TlsDialer> dialer_;
  std::unique_ptr<Process> process_;
};

// Shorthands for what most tests do; each throws with the status when the call fails.
std::string CreateJoinToken(grpc::Channel& admin, std::int32_t ttl = 600);
// The call's status is answered through `status` when given; then nothing is thrown.
TestIdentity AttestAgent(grpc::Channel& anonymous, const std::string& token,
                         grpc::Status* status = nullptr);
// A token and an agent attested with it.
TestIdentity MakeAgent(const ServerProcess& server);
spire::api::types::Entry MakeEntry(const std::string& id, const std::string& path,
                                   const std::string& parent_id, const std::string& selector);
void CreateEntry(grpc::Channel& admin, const spire::api::types::Entry& entry);
TestIdentity MintSvid(grpc::Channel& admin, const std::string& id, std::int32_t ttl = 0);
TestIdentity NewSvid(grpc::Channel& agent, const std::string& entry_id);
spire::api::types::Bundle GetBundle(grpc::Channel& channel);
ca::Chain ParseChain(const google::protobuf::RepeatedPtrField<std::string>& ders);

}  // namespace signet::test
