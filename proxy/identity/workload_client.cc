#include "proxy/identity/workload_client.h"

#include "identity/workload/agent_channel.h"
#include "identity/workload/workload_response.h"
#include "proxy/identity/agent_stream.h"
#include "spiffe/workload.grpc.pb.h"

namespace signet::proxy {
namespace {

constexpr int kMaxAnswerBytes = 16 << 20;

bool SameIdentity(const identity::WorkloadIdentity& a, const identity::WorkloadIdentity& b) {
  return a.id == b.id && a.tls.chain == b.tls.chain && a.bundles == b.bundles;
}

}  // namespace

struct WorkloadClient::State {
  State(WorkloadClientOptions o, IdentityObserver& s, const Clock& c, Random& r, Metrics& metrics)
      : options(std::move(o)),
        observer(s),
        clock(c),
        applied(Updates(metrics, "applied")),
        unchanged(Updates(metrics, "unchanged")),
        rejected(Updates(metrics, "rejected")),
        withdrawn(Updates(metrics, "withdrawn")),
        failures(metrics.Counter("signet_proxy_workload_api_failures_total",
                                 "Workload API streams that ended or could not be opened.")),
        stream({options.first_retry, options.longest_retry}, r) {}

  static Counter& Updates(Metrics& metrics, const std::string& result) {
    return metrics.Counter("signet_proxy_identity_updates_total",
                           "Answers of the Workload API, by what they did.", {{"result", result}});
  }

  // One stream from its opening to its end.
  grpc::Status RunStream(grpc::ClientContext& context);
  // False when the answer is unusable.
  bool Take(X509SVIDResponse* response);
  void Judge(const grpc::Status& ended);

  const WorkloadClientOptions options;
  IdentityObserver& observer;
  const Clock& clock;
  Counter& applied;
  Counter& unchanged;
  Counter& rejected;
  Counter& withdrawn;
  Counter& failures;

  IdentityPtr current;           // of the client's thread
  std::uint64_t generation = 0;  // of the client's thread

  AgentStream stream;  // last: its thread uses what stands above
};

grpc::Status WorkloadClient::State::RunStream(grpc::ClientContext& context) {
  const auto stub =
      SpiffeWorkloadAPI::NewStub(identity::DialAgent(options.socket_path, kMaxAnswerBytes));
  const auto reader = stub->FetchX509SVID(&context, X509SVIDRequest());
  X509SVIDResponse response;
  bool usable = true;
  while (usable && reader->Read(&response)) usable = Take(&response);
  if (!usable) context.TryCancel();  // asking again is how a bad answer heals
  const grpc::Status ended = reader->Finish();
  return usable ? ended : grpc::Status::OK;
}

bool WorkloadClient::State::Take(X509SVIDResponse* response) {
  auto workload = identity::ReadX509SvidResponse(response, clock.Now());
  if (!workload) {
    rejected.Add();
    observer.OnAgentTrouble(workload.error());
    return false;
  }
  stream.Worked();
  if (current && SameIdentity(*current, *workload)) {
    unchanged.Add();
    observer.OnAgentBack();
    return true;
  }
  current = std::make_shared<const IdentitySnapshot>(
      IdentitySnapshot{*std::move(workload), ++generation});
  applied.Add();
  observer.OnIdentity(current);
  return true;
}

void WorkloadClient::State::Judge(const grpc::Status& ended) {
  failures.Add();
  if (ended.error_code() == grpc::StatusCode::PERMISSION_DENIED) {
    current = nullptr;
    withdrawn.Add();
    observer.OnIdentityWithdrawn(
        {Code::kPermissionDenied, kIdentityDenied,
         ended.error_message() + "; is there an entry whose selectors this process has?"});
  } else if (!ended.ok()) {
    observer.OnAgentTrouble(
        {Code::kUnavailable, kAgentAway, ended.error_message() + " (" + options.socket_path + ")"});
  }
}

WorkloadClient::WorkloadClient(std::unique_ptr<State> state) : state_(std::move(state)) {}

std::unique_ptr<WorkloadClient> WorkloadClient::Start(WorkloadClientOptions options,
                                                      IdentityObserver& observer,
                                                      const Clock& clock, Random& random,
                                                      Metrics& metrics) {
  auto state = std::make_unique<State>(std::move(options), observer, clock, random, metrics);
  State* raw = state.get();
  raw->stream.Start([raw](grpc::ClientContext& context) { return raw->RunStream(context); },
                    [raw](const grpc::Status& ended) { raw->Judge(ended); });
  return std::unique_ptr<WorkloadClient>(new WorkloadClient(std::move(state)));
}

WorkloadClient::~WorkloadClient() { state_->stream.Stop(); }

}  // namespace signet::proxy
