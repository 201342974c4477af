// bench_workload_api: a SPIFFE Workload API that serves one SVID from files to every caller, so
// that a proxy can be measured without an agent. Never for production: it attests nobody.

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

#include "base/file.h"
#include "ca/x509/certificate.h"
#include "spiffe/workload.grpc.pb.h"

namespace {

constexpr std::size_t kFileLimit = 1U << 20;
constexpr std::size_t kMaxCertificates = 16;

class Service final : public SpiffeWorkloadAPI::Service {
 public:
  explicit Service(X509SVIDResponse response) : response_(std::move(response)) {}

  grpc::Status FetchX509SVID(grpc::ServerContext* context, const X509SVIDRequest*,
                             grpc::ServerWriter<X509SVIDResponse>* writer) override {
    writer->Write(response_);
    while (!context->IsCancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(200));
    return grpc::Status::CANCELLED;
  }

 private:
  const X509SVIDResponse response_;
};

signet::Result<std::vector<signet::ca::Certificate>> ReadPem(const std::string& path) {
  auto text = signet::ReadFile(path, kFileLimit);
  if (!text) return tl::unexpected(text.error());
  return signet::ca::ParsePem(signet::AsText(*text), kMaxCertificates);
}

signet::Result<X509SVIDResponse> Load(const std::string& cert, const std::string& key,
                                      const std::string& bundle) {
  auto chain = ReadPem(cert);
  if (!chain) return tl::unexpected(chain.error());
  auto roots = ReadPem(bundle);
  if (!roots) return tl::unexpected(roots.error());
  auto pkcs8 = signet::ReadFile(key, kFileLimit);
  if (!pkcs8) return tl::unexpected(pkcs8.error());
  X509SVIDResponse response;
  X509SVID& svid = *response.add_svids();
  if (!chain->empty() && !chain->front().uri_sans().empty())
    svid.set_spiffe_id(chain->front().uri_sans().front());
  svid.set_x509_svid(signet::ToString(signet::ca::ConcatenateDer(*chain)));
  svid.set_x509_svid_key(signet::ToString(*pkcs8));
  svid.set_bundle(signet::ToString(signet::ca::ConcatenateDer(*roots)));
  return response;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("serves one SVID from files over the SPIFFE Workload API", "bench_workload_api");
  std::string socket, cert, key, bundle;
  app.add_option("--socket", socket, "path of the Unix socket")->required();
  app.add_option("--cert", cert, "chain, PEM, leaf first")->required();
  app.add_option("--key", key, "private key, PKCS#8 DER")->required();
  app.add_option("--bundle", bundle, "authorities, PEM")->required();
  CLI11_PARSE(app, argc, argv);
  const auto response = Load(cert, key, bundle);
  if (!response) {
    std::fprintf(stderr, "bench_workload_api: %s\n", response.error().Message().c_str());
    return 1;
  }
  Service service(*response);
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + socket, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  if (!server) return 1;
  std::puts("serving");
  std::fflush(stdout);
  server->Wait();
  return 0;
}
