#include "tests/support/fake_workload_api.h"

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>

#include "base/check.h"
#include "spiffe/workload.grpc.pb.h"

namespace signet::test {
namespace {

enum class Mood { kSilent, kAnswers, kDenies };

X509SVIDResponse Encode(const WorkloadAnswer& answer) {
  X509SVIDResponse response;
  X509SVID& svid = *response.add_svids();
  svid.set_spiffe_id(answer.spiffe_id);
  svid.set_x509_svid(ToString(ca::ConcatenateDer(answer.svid.chain)));
  svid.set_x509_svid_key(ToString(answer.svid.key->ToPkcs8().view()));
  svid.set_bundle(ToString(ca::ConcatenateDer(answer.bundle)));
  for (const auto& [trust_domain, roots] : answer.federated)
    (*response.mutable_federated_bundles())[trust_domain] = ToString(ca::ConcatenateDer(roots));
  return response;
}

}  // namespace

struct FakeWorkloadApi::State final : SpiffeWorkloadAPI::Service {
  explicit State(std::string p) : path(std::move(p)) {}

  grpc::Status FetchX509SVID(grpc::ServerContext* context, const X509SVIDRequest*,
                             grpc::ServerWriter<X509SVIDResponse>* writer) override {
    const auto& metadata = context->client_metadata();
    const auto header = metadata.find("workload.spiffe.io");
    std::unique_lock lock(mutex);
    if (header == metadata.end() || header->second != "true") {
      ++refused;
      return {grpc::StatusCode::INVALID_ARGUMENT, "security header missing from request"};
    }
    ++streams;
    const grpc::Status ended = Serve(context, writer, &lock);
    --streams;
    return ended;
  }

  grpc::Status Serve(grpc::ServerContext* context, grpc::ServerWriter<X509SVIDResponse>* writer,
                     std::unique_lock<std::mutex>* lock) {
    std::uint64_t sent = 0;
    for (;;) {
      if (context->IsCancelled() || away) return grpc::Status::CANCELLED;
      if (mood == Mood::kDenies) return {grpc::StatusCode::PERMISSION_DENIED, "no identity issued"};
      if (mood == Mood::kAnswers && sent != version) {
        sent = version;
        const X509SVIDResponse response = Encode(answer);
        lock->unlock();
        writer->Write(response);
        lock->lock();
        continue;
      }
      changed.wait_for(*lock, std::chrono::milliseconds(20));  // cancellation has no event here
    }
  }

  void Listen() {
    ::unlink(path.c_str());
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + path, grpc::InsecureServerCredentials());
    builder.RegisterService(this);
    server = builder.BuildAndStart();
    CHECK_TRUE(server != nullptr);
  }

  void Set(Mood new_mood, std::optional<WorkloadAnswer> new_answer) {
    {
      const std::lock_guard lock(mutex);
      mood = new_mood;
      if (new_answer) answer = *std::move(new_answer);
      ++version;
    }
    changed.notify_all();
  }

  const std::string path;
  std::unique_ptr<grpc::Server> server;
  mutable std::mutex mutex;
  std::condition_variable changed;
  Mood mood = Mood::kSilent;
  WorkloadAnswer answer;
  std::uint64_t version = 0;
  std::size_t streams = 0;
  std::size_t refused = 0;
  bool away = false;
};

FakeWorkloadApi::FakeWorkloadApi(std::string socket_path)
    : state_(std::make_unique<State>(std::move(socket_path))) {
  state_->Listen();
}

FakeWorkloadApi::~FakeWorkloadApi() { GoAway(); }

void FakeWorkloadApi::Answer(WorkloadAnswer answer) {
  state_->Set(Mood::kAnswers, std::move(answer));
}

void FakeWorkloadApi::Deny() { state_->Set(Mood::kDenies, std::nullopt); }

void FakeWorkloadApi::GoAway() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->away = true;
  }
  state_->changed.notify_all();
  if (!state_->server) return;
  state_->server->Shutdown(std::chrono::system_clock::now());
  state_->server.reset();
  ::unlink(state_->path.c_str());
}

void FakeWorkloadApi::ComeBack() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->away = false;
  }
  state_->Listen();
}

std::size_t FakeWorkloadApi::open_streams() const {
  const std::lock_guard lock(state_->mutex);
  return state_->streams;
}

std::size_t FakeWorkloadApi::refused_calls() const {
  const std::lock_guard lock(state_->mutex);
  return state_->refused;
}

}  // namespace signet::test
