#include <poll.h>

#include <atomic>
#include <thread>

#include "base/check.h"
#include "net/deadline.h"
#include "net/tls_bridge.h"
#include "net/tls_front.h"

namespace signet::net {
namespace {

// Drives the handshake in the calling thread.
Status ShakeHands(TlsStream* stream, const Deadline& deadline, const std::string& target) {
  while (true) {
    const IoStatus status = stream->Handshake();
    if (status == IoStatus::kOk) return {};
    if (status == IoStatus::kError) {
      Error error = stream->error();
      error.detail = target + ": " + error.detail;
      return Fail(std::move(error));
    }
    const short wanted = status == IoStatus::kWantRead ? POLLIN : POLLOUT;
    if (deadline.WaitFor(stream->fd(), wanted) != WaitStatus::kReady)
      return Fail(Code::kDeadlineExceeded, kTlsHandshakeFailed, target + ": no answer in time");
  }
}

}  // namespace

struct TlsDialer::State {
  std::unique_ptr<EventLoop> loop;
  std::unique_ptr<BridgeSet> bridges;  // the loop's thread only
  std::atomic<std::uint64_t> last_id{0};
  std::thread thread;
};

TlsDialer::TlsDialer(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<TlsDialer>> TlsDialer::Start(const Clock& clock) {
  auto state = std::make_unique<State>();
  SIGNET_TRY(state->loop, EventLoop::Create(clock));
  state->bridges = std::make_unique<BridgeSet>(*state->loop);
  state->thread = std::thread([loop = state->loop.get()] { loop->Run(); });
  return std::unique_ptr<TlsDialer>(new TlsDialer(std::move(state)));
}

TlsDialer::~TlsDialer() {
  state_->loop->Post([state = state_.get()] { state->bridges.reset(); });
  state_->loop->Stop();
  state_->thread.join();
}

Result<TlsDialer::Dialed> TlsDialer::Dial(const Address& address,
                                          std::shared_ptr<const TlsContext> context,
                                          std::chrono::milliseconds timeout) {
  CHECK_TRUE(context->options().role == TlsRole::kClient);
  SIGNET_TRY(const Deadline deadline, Deadline::After(timeout));
  SIGNET_TRY(UniqueFd socket, Connect(address, timeout));
  EnableKeepAlive(socket.get());
  auto stream = std::make_shared<std::unique_ptr<TlsStream>>(
      std::make_unique<TlsStream>(std::move(context), std::move(socket)));
  SIGNET_RETURN_IF_ERROR(ShakeHands(stream->get(), deadline, address.ToString()));
  SIGNET_TRY(auto pair, MakePlainPair());
  Dialed dialed{std::move(pair.first), (*stream)->peer()};
  // The stream changes threads here; std::function copies, hence the shared pointers around what
  // moves.
  auto plain = std::make_shared<UniqueFd>(std::move(pair.second));
  state_->loop->Post([state = state_.get(), id = ++state_->last_id, stream, plain] {
    state->bridges->Add(id, std::move(*stream), std::move(*plain));
  });
  return dialed;
}

}  // namespace signet::net
