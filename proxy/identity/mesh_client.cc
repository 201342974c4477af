#include "proxy/identity/mesh_client.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/log.h"
#include "proxy/identity/agent_channel.h"
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
        random(r),
        updates(metrics.Counter("signet_proxy_denial_updates_total",
                                "Times the agent said who is revoked.")),
        failures(metrics.Counter("signet_proxy_mesh_failures_total",
                                 "Mesh streams that ended or could not be opened.")) {}

  void Run();
  // One stream from its opening to its end.
  grpc::Status RunStream();
  void Judge(const grpc::Status& ended);
  // False when stopped.
  bool WaitBeforeRetry();

  const MeshClientOptions options;
  DenialObserver& observer;
  Random& random;
  Counter& updates;
  Counter& failures;
  std::uint64_t failed_tries = 0;  // of the client's thread

  std::mutex mutex;
  std::condition_variable wake;
  bool stopping = false;
  grpc::ClientContext* open_call = nullptr;
  std::thread thread;
};

void MeshClient::State::Run() {
  do {
    const grpc::Status ended = RunStream();
    {
      const std::lock_guard lock(mutex);
      if (stopping) return;
    }
    Judge(ended);
  } while (WaitBeforeRetry());
}

grpc::Status MeshClient::State::RunStream() {
  grpc::ClientContext context;
  context.AddMetadata("workload.spiffe.io", "true");
  {
    const std::lock_guard lock(mutex);
    if (stopping) return grpc::Status::CANCELLED;
    open_call = &context;
  }
  const auto stub = mesh_api::Mesh::NewStub(DialAgent(options.socket_path, kMaxAnswerBytes));
  const auto reader = stub->Watch(&context, mesh_api::WatchRequest());
  mesh_api::WatchResponse response;
  while (reader->Read(&response)) {
    auto denials = Read(response);
    if (!denials) {
      observer.OnDenialTrouble(denials.error());
      context.TryCancel();  // asking again is how a bad answer heals
      break;
    }
    failed_tries = 0;
    updates.Add();
    observer.OnDenials(*std::move(denials));
  }
  const grpc::Status ended = reader->Finish();
  const std::lock_guard lock(mutex);
  open_call = nullptr;
  return ended;
}

void MeshClient::State::Judge(const grpc::Status& ended) {
  failures.Add();
  if (ended.error_code() == grpc::StatusCode::UNIMPLEMENTED) return observer.OnNoDenials();
  const std::string why = ended.ok() ? "it ended the stream" : ended.error_message();
  observer.OnDenialTrouble(
      {Code::kUnavailable, kDenialsAway, why + " (" + options.socket_path + ")"});
}

bool MeshClient::State::WaitBeforeRetry() {
  const auto shift = std::min<std::uint64_t>(failed_tries++, 16);
  const Duration ceiling =
      std::min<Duration>(options.longest_retry, options.first_retry * (std::int64_t{1} << shift));
  const auto wait = std::chrono::duration_cast<Duration>(ceiling * random.Unit());
  std::unique_lock lock(mutex);
  return !wake.wait_for(lock, wait, [this] { return stopping; });
}

MeshClient::MeshClient(std::unique_ptr<State> state) : state_(std::move(state)) {}

std::unique_ptr<MeshClient> MeshClient::Start(MeshClientOptions options, DenialObserver& observer,
                                              Random& random, Metrics& metrics) {
  auto state = std::make_unique<State>(std::move(options), observer, random, metrics);
  State* raw = state.get();
  raw->thread = std::thread([raw] { raw->Run(); });
  return std::unique_ptr<MeshClient>(new MeshClient(std::move(state)));
}

MeshClient::~MeshClient() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    if (state_->open_call != nullptr) state_->open_call->TryCancel();
  }
  state_->wake.notify_all();
  state_->thread.join();
}

}  // namespace signet::proxy
