#include "proxy/identity/mesh_client.h"

#include "base/log.h"
#include "identity/workload/agent_channel.h"
#include "proxy/identity/agent_stream.h"
#include "signet/mesh/v1/mesh.grpc.pb.h"

namespace signet::proxy {
namespace {

namespace mesh_api = signet::mesh::v1;
using identity::Denial;
using identity::DenialKind;

constexpr int kMaxAnswerBytes = 32 << 20;  // identity::kMaxDenials of them

bool IsKnown(DenialKind kind) {
  return kind == DenialKind::kSpiffeId || kind == DenialKind::kSerial || kind == DenialKind::kAgent;
}

Result<identity::DenialSetPtr> Read(const mesh_api::WatchResponse& response) {
  std::vector<identity::DenialPtr> denials;
  if (static_cast<std::size_t>(response.denials_size()) > identity::kMaxDenials)
    return Fail(Code::kInvalidArgument, kDenialsUnusable, "too many");
  for (const mesh_api::Denial& message : response.denials()) {
    Denial denial;
    denial.id = message.id();
    denial.kind = static_cast<DenialKind>(message.kind() > 255 ? 0 : message.kind());
    denial.subject = message.subject();
    denial.until = message.until();
    if (IsKnown(denial.kind)) {
      auto subject = identity::NormalizeDenialSubject(denial.kind, denial.subject);
      if (!subject)
        return Fail(Code::kInvalidArgument, kDenialsUnusable, subject.error().Message());
      denial.subject = *std::move(subject);
    }
    denials.push_back(std::make_shared<const Denial>(std::move(denial)));
  }
  return identity::DenialSet::Create(std::move(denials));
}

}  // namespace

struct MeshClient::State {
  State(MeshClientOptions o, DenialObserver& s, Random& r, Metrics& metrics)
      : options(std::move(o)),
        observer(s),
        updates(metrics.Counter("signet_proxy_denial_updates_total",
                                "Times the agent said who is revoked.")),
        failures(metrics.Counter("signet_proxy_mesh_failures_total",
                                 "Mesh streams that ended or could not be opened.")),
        stream({options.first_retry, options.longest_retry}, r) {}

  // One stream from its opening to its end.
  grpc::Status RunStream(grpc::ClientContext& context);
  void Judge(const grpc::Status& ended);

  const MeshClientOptions options;
  DenialObserver& observer;
  Counter& updates;
  Counter& failures;

  AgentStream stream;  // last: its thread uses what stands above
};

grpc::Status MeshClient::State::RunStream(grpc::ClientContext& context) {
  const auto stub =
      mesh_api::Mesh::NewStub(identity::DialAgent(options.socket_path, kMaxAnswerBytes));
  const auto reader = stub->Watch(&context, mesh_api::WatchRequest());
  mesh_api::WatchResponse response;
  while (reader->Read(&response)) {
    auto denials = Read(response);
    if (!denials) {
      observer.OnDenialTrouble(denials.error());
      context.TryCancel();  // asking again is how a bad answer heals
      break;
    }
    stream.Worked();
    updates.Add();
    observer.OnDenials(*std::move(denials));
  }
  return reader->Finish();
}

void MeshClient::State::Judge(const grpc::Status& ended) {
  failures.Add();
  if (ended.error_code() == grpc::StatusCode::UNIMPLEMENTED) return observer.OnNoDenials();
  const std::string why = ended.ok() ? "it ended the stream" : ended.error_message();
  observer.OnDenialTrouble(
      {Code::kUnavailable, kDenialsAway, why + " (" + options.socket_path + ")"});
}

MeshClient::MeshClient(std::unique_ptr<State> state) : state_(std::move(state)) {}

std::unique_ptr<MeshClient> MeshClient::Start(MeshClientOptions options, DenialObserver& observer,
                                              Random& random, Metrics& metrics) {
  auto state = std::make_unique<State>(std::move(options), observer, random, metrics);
  State* raw = state.get();
  raw->stream.Start([raw](grpc::ClientContext& context) { return raw->RunStream(context); },
                    [raw](const grpc::Status& ended) { raw->Judge(ended); });
  return std::unique_ptr<MeshClient>(new MeshClient(std::move(state)));
}

MeshClient::~MeshClient() { state_->stream.Stop(); }

}  // namespace signet::proxy
