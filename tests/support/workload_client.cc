#include "tests/support/workload_client.h"

namespace signet::test {
namespace {

std::unique_ptr<grpc::ClientReader<X509SVIDResponse>> Open(SpiffeWorkloadAPI::Stub& stub,
                                                           grpc::ClientContext* context,
                                                           const X509SVIDResponse*) {
  return stub.FetchX509SVID(context, X509SVIDRequest());
}

std::unique_ptr<grpc::ClientReader<X509BundlesResponse>> Open(SpiffeWorkloadAPI::Stub& stub,
                                                              grpc::ClientContext* context,
                                                              const X509BundlesResponse*) {
  return stub.FetchX509Bundles(context, X509BundlesRequest());
}

}  // namespace

std::shared_ptr<grpc::Channel> WorkloadChannel(const std::string& socket_path) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  return grpc::CreateCustomChannel("unix:" + socket_path, grpc::InsecureChannelCredentials(),
                                   arguments);
}

void AddSecurityHeader(grpc::ClientContext* context) {
  context->AddMetadata("workload.spiffe.io", "true");
}

template <class Response>
void WorkloadStream<Response>::Read() {
  const auto stub = SpiffeWorkloadAPI::NewStub(channel_);
  const auto reader = Open(*stub, &context_, static_cast<const Response*>(nullptr));
  Response message;
  while (reader->Read(&message)) {
    const std::lock_guard lock(mutex_);
    messages_.push_back(std::move(message));
    changed_.notify_all();
  }
  const grpc::Status status = reader->Finish();
  const std::lock_guard lock(mutex_);
  status_ = status;
  changed_.notify_all();
}

template class WorkloadStream<X509SVIDResponse>;
template class WorkloadStream<X509BundlesResponse>;

std::vector<std::string> IdsOf(const X509SVIDResponse& response) {
  std::vector<std::string> ids;
  for (const X509SVID& svid : response.svids()) ids.push_back(svid.spiffe_id());
  return ids;
}

FirstAnswer FetchOnce(const std::string& socket_path,
                      const std::multimap<std::string, std::string>& metadata) {
  FirstAnswer answer;
  grpc::ClientContext context;
  for (const auto& [key, value] : metadata) context.AddMetadata(key, value);
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(40));
  const auto stub = SpiffeWorkloadAPI::NewStub(WorkloadChannel(socket_path));
  const auto reader = stub->FetchX509SVID(&context, X509SVIDRequest());
  if (reader->Read(&answer.response)) {
    context.TryCancel();
    reader->Finish();
    return answer;
  }
  answer.status = reader->Finish();
  return answer;
}

}  // namespace signet::test
