// bench_load: an HTTP/1.1 load generator over TCP or mutual TLS, closed or open loop. Latency of an
// open loop counts from the time a request was due, so that a stalled target cannot hide. It also
// reads the CPU time of the processes under test, and answers it per operation.
//
//   bench_load --target 127.0.0.1:8443 --cert c.pem --key k.der --ca ca.pem --connections 16
//   bench_load … --mode new                   one request a connection
//   bench_load … --mode bulk                   bytes instead of requests
//   bench_load … --mode idle --connections 1000   opens, holds, tells memory per connection
//                                             (32 at a time: what a burst of handshakes takes at
//                                             its height is another figure)
//   bench_load … --rate 1000 --renew 3        open loop; each connection makes way for a new one
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/file.h"
#include "identity/svid/x509_svid.h"
#include "net/address.h"
#include "net/event_loop.h"
#include "net/tls.h"
#include "tools/bench/process_usage.h"

namespace signet::bench {
namespace {

using net::IoResult;
using net::IoStatus;

constexpr std::uint32_t kEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
constexpr std::size_t kFileLimit = 1U << 20;
constexpr std::size_t kHeadLimit = 16 * 1024;
constexpr Duration kRequestDeadline = std::chrono::seconds(10);
constexpr std::size_t kOpeningAtOnce = 32;  // in idle mode

enum class Mode { kKeepAlive, kNew, kBulk, kIdle };

struct Options {
  std::string target;
  std::string cert, key, ca;
  Mode mode = Mode::kKeepAlive;
  std::size_t connections = 16;
  double rate = 0;  // requests a second; 0: closed loop
  double seconds = 5;
  double warmup = 1;
  double renew = 0;  // seconds that a keep-alive connection lives; 0: until the end
  std::size_t bytes = std::size_t{1} << 30;
  std::vector<int> pids;
  bool json = false;
};

// Verifies the server as a workload would, once a chain.
class ServerVerifier final : public net::PeerVerifier {
 public:
  explicit ServerVerifier(std::vector<ca::Certificate> roots) : roots_(std::move(roots)) {}

  Result<std::shared_ptr<const net::PeerIdentity>> Verify(
      std::span<const ca::Certificate> presented) const override {
    auto& known = known_[presented.front().fingerprint()];
    if (known) return known;
    SIGNET_TRY(const identity::SpiffeId id, identity::ParseX509Svid(presented.front()));
    identity::Bundle bundle;
    bundle.trust_domain = id.trust_domain();
    for (const ca::Certificate& root : roots_) bundle.x509_authorities.push_back({root, false});
    SIGNET_TRY(const identity::VerifiedSvid verified,
               identity::VerifyX509Svid(presented, {{bundle.trust_domain, bundle}},
                                        std::chrono::system_clock::now()));
    known = std::make_shared<const net::PeerIdentity>(net::PeerIdentity{
        verified.id.ToString(), {presented.begin(), presented.end()}, verified.valid_until});
    return known;
  }

 private:
  const std::vector<ca::Certificate> roots_;
  mutable std::map<ca::Sha256Digest, std::shared_ptr<const net::PeerIdentity>> known_;
};

// What happened while it was measured.
struct Tally {
  std::uint64_t operations = 0;
  std::uint64_t failures = 0;
  std::uint64_t bytes = 0;
  std::map<std::string, std::uint64_t> reasons;
  std::vector<std::uint32_t> microseconds;
};

Duration Seconds(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

class Session;

// The loop's owner: hands out due requests and collects what became of them.
class Generator final : public net::EventHandler {
 public:
  Generator(const Options& options, net::EventLoop& loop,
            std::shared_ptr<const net::TlsContext> context, net::SocketAddress target);
  ~Generator() override;

  void Start();
  void OnEvents(std::uint32_t) override;  // the rate's timer

  // For sessions.
  const Options& options() const { return options_; }
  net::EventLoop& loop() { return loop_; }
  const std::shared_ptr<const net::TlsContext>& context() const { return context_; }
  const std::shared_ptr<net::TlsScratch>& scratch() const { return scratch_; }
  const net::SocketAddress& target() const { return target_; }
  SteadyTime Now() const { return loop_.clock().SteadyNow(); }
  void Succeeded(SteadyTime due);
  void Failed(const std::string& reason);
  void Received(std::size_t bytes);
  // Ready for a request; it gets one now or when one is due.
  void WantsWork(Session& session);
  // One more of the idle connections, while there are any to open.
  void OpenNext();

  void BeginMeasuring();
  // No request falls due any more. An open loop goes on until each of those that did has an
  // outcome; what has none then is a failure.
  void Finish();
  const Tally& tally() const { return tally_; }
  std::size_t open() const;

 private:
  void StopTimer();
  std::size_t Outstanding() const;
  void AwaitOutcomes(SteadyTime until);

  const Options& options_;
  net::EventLoop& loop_;
  const std::shared_ptr<const net::TlsContext> context_;
  const std::shared_ptr<net::TlsScratch> scratch_ = std::make_shared<net::TlsScratch>();
  const net::SocketAddress target_;
  std::vector<std::unique_ptr<Session>> sessions_;
  std::size_t opened_ = 0;  // of them, in idle mode
  std::deque<Session*> idle_;
  std::deque<SteadyTime> due_;  // open loop: requests that wait for a session
  UniqueFd timer_;
  SteadyTime next_due_;
  Tally tally_;
};

// One slot of concurrency: a connection, or one after the other.
class Session final : public net::EventHandler {
 public:
  // The first connection lives for `first_life`, those after it as the options say; zero: as long
  // as they work.
  Session(Generator& owner, Duration first_life) : owner_(owner), life_(first_life) {}
  ~Session() override { Close(); }

  // Sends a request that was due at `due`; opens a connection when there is none.
  void Work(SteadyTime due);
  void Open();
  void OnEvents(std::uint32_t events) override;
  bool established() const { return established_; }
  bool has_work() const { return has_work_; }

 private:
  enum class State { kClosed, kHandshaking, kReady, kWaiting };

  void Proceed();
  void Handshake();
  void Send();
  void Receive();
  // False when it takes no more now.
  bool Take(ByteView bytes);
  void Finish();
  void Fail(const std::string& reason);
  void Close();
  IoResult Read(std::span<std::uint8_t> out);
  IoResult Write(ByteView bytes);
  int fd() const { return tls_ ? tls_->fd() : socket_.get(); }

  Generator& owner_;
  State state_ = State::kClosed;
  bool established_ = false;
  UniqueFd socket_;
  std::unique_ptr<net::TlsStream> tls_;
  SteadyTime due_;
  Duration life_;
  SteadyTime opened_;
  bool has_work_ = false;
  std::string request_;  // not yet sent
  std::string head_;     // of the answer, until it is whole
  std::size_t body_left_ = 0;
  bool in_body_ = false;
  net::EventLoop::TimerId deadline_ = 0;
};

// ---- Session

void Session::Work(SteadyTime due) {
  due_ = due;
  has_work_ = true;
  if (deadline_ == 0 && owner_.options().mode != Mode::kBulk)
    deadline_ = owner_.loop().RunAfter(kRequestDeadline, [this] {
      deadline_ = 0;
      Fail("timeout");
    });
  if (state_ == State::kClosed) return Open();
  Send();
}

void Session::Open() {
  opened_ = owner_.Now();
  const net::SocketAddress& target = owner_.target();
  UniqueFd socket(::socket(target.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const int connected =
      ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&target.storage), target.length);
  if (connected != 0 && errno != EINPROGRESS) return Fail("connect");
  const int fd = socket.get();
  if (owner_.context())
    tls_ = std::make_unique<net::TlsStream>(owner_.context(), std::move(socket), owner_.scratch());
  else
    socket_ = std::move(socket);
  state_ = State::kHandshaking;
  CHECK_TRUE(owner_.loop().Add(fd, kEvents, this).has_value());
}

void Session::OnEvents(std::uint32_t) { Proceed(); }

void Session::Proceed() {
  if (state_ == State::kHandshaking) Handshake();
  if (state_ == State::kWaiting && !request_.empty()) Send();
  if (state_ == State::kWaiting) Receive();
}

void Session::Handshake() {
  if (tls_) {
    const IoStatus status = tls_->Handshake();
    if (status == IoStatus::kError) return Fail(std::string(tls_->failure_reason().text));
    if (status != IoStatus::kOk) return;
  } else {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return Fail("connect");
  }
  established_ = true;
  state_ = State::kReady;
  if (has_work_) return Send();
  owner_.WantsWork(*this);
}

void Session::Send() {
  if (state_ == State::kHandshaking) return;
  if (state_ == State::kReady) {
    state_ = State::kWaiting;
    const Options& options = owner_.options();
    const bool bulk = options.mode == Mode::kBulk;
    request_ = fmt::format("GET {} HTTP/1.1\r\nHost: bench\r\n\r\n",
                           bulk ? fmt::format("/bytes/{}", options.bytes) : std::string("/"));
    head_.clear();
    in_body_ = false;
  }
  while (!request_.empty()) {
    const IoResult put = Write(AsBytes(request_));
    if (put.status == IoStatus::kError) return Fail("write");
    if (put.status != IoStatus::kOk) return;
    request_.erase(0, put.bytes);
  }
}

void Session::Receive() {
  static thread_local std::vector<std::uint8_t> buffer(256 * 1024);
  while (state_ == State::kWaiting) {
    const IoResult got = Read(buffer);
    if (got.status == IoStatus::kEof || got.status == IoStatus::kError) return Fail("broken");
    if (got.status != IoStatus::kOk) return;
    if (!Take(ByteView(buffer).first(got.bytes))) return Fail("not HTTP 200");
  }
}

bool Session::Take(ByteView bytes) {
  if (!in_body_) {
    head_ += AsText(bytes);
    const auto end = head_.find("\r\n\r\n");
    if (end == std::string::npos) return head_.size() < kHeadLimit;
    constexpr std::string_view kLength = "Content-Length: ";
    const auto length = head_.find(kLength);
    if (!head_.starts_with("HTTP/1.1 200") || length == std::string::npos) return false;
    std::from_chars(head_.data() + length + kLength.size(), head_.data() + end, body_left_);
    in_body_ = true;
    bytes = bytes.last(head_.size() - end - 4);
  }
  if (bytes.size() > body_left_) return false;
  owner_.Received(bytes.size());
  body_left_ -= bytes.size();
  if (body_left_ == 0) Finish();
  return true;
}

void Session::Finish() {
  owner_.loop().Cancel(std::exchange(deadline_, 0));
  has_work_ = false;
  owner_.Succeeded(due_);
  state_ = State::kReady;
  const bool old = life_ > Duration::zero() && owner_.Now() - opened_ >= life_;
  if (old) life_ = Seconds(owner_.options().renew);
  if (old || owner_.options().mode == Mode::kNew) Close();
  owner_.WantsWork(*this);
}

void Session::Fail(const std::string& reason) {
  owner_.Failed(reason);
  Close();
  has_work_ = false;
  // In the next turn: a target that refuses at once must not make this a recursion.
  owner_.loop().RunAfter(std::chrono::milliseconds(10), [this] { owner_.WantsWork(*this); });
}

void Session::Close() {
  owner_.loop().Cancel(std::exchange(deadline_, 0));
  if (state_ == State::kClosed) return;
  owner_.loop().Remove(fd(), this);
  if (tls_ && established_) tls_->CloseWrite();
  tls_.reset();
  socket_.Reset();
  established_ = false;
  state_ = State::kClosed;
}

IoResult Session::Read(std::span<std::uint8_t> out) {
  if (tls_) return tls_->Read(out);
  const ssize_t got = ::recv(socket_.get(), out.data(), out.size(), 0);
  if (got > 0) return {IoStatus::kOk, static_cast<std::size_t>(got)};
  if (got == 0) return {IoStatus::kEof};
  return {errno == EAGAIN ? IoStatus::kWantRead : IoStatus::kError};
}

IoResult Session::Write(ByteView bytes) {
  if (tls_) return tls_->Write(bytes);
  const ssize_t put = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (put >= 0) return {IoStatus::kOk, static_cast<std::size_t>(put)};
  return {errno == EAGAIN ? IoStatus::kWantWrite : IoStatus::kError};
}

// ---- Generator

Generator::Generator(const Options& options, net::EventLoop& loop,
                     std::shared_ptr<const net::TlsContext> context, net::SocketAddress target)
    : options_(options), loop_(loop), context_(std::move(context)), target_(target) {}

Generator::~Generator() { StopTimer(); }

void Generator::StopTimer() {
  if (timer_.valid()) loop_.Remove(timer_.get(), this);
  timer_.Reset();
}

void Generator::Start() {
  for (std::size_t i = 0; i < options_.connections; ++i) {
    // First lives of all lengths, so that connections end one by one and not together.
    const double share = static_cast<double>(i + 1) / static_cast<double>(options_.connections);
    sessions_.push_back(std::make_unique<Session>(*this, Seconds(options_.renew * share)));
    if (options_.mode == Mode::kNew)
      WantsWork(*sessions_.back());
    else if (options_.mode != Mode::kIdle)
      sessions_.back()->Open();
  }
  if (options_.mode == Mode::kIdle)
    for (std::size_t i = 0; i < kOpeningAtOnce; ++i) OpenNext();
  if (options_.rate <= 0) return;
  timer_.Reset(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  const auto interval = static_cast<std::int64_t>(1e9 / options_.rate);
  const timespec every{interval / 1'000'000'000, interval % 1'000'000'000};
  const itimerspec spec{every, every};
  ::timerfd_settime(timer_.get(), 0, &spec, nullptr);
  next_due_ = Now() + Duration(interval);
  CHECK_TRUE(loop_.Add(timer_.get(), EPOLLIN, this).has_value());
}

void Generator::OnEvents(std::uint32_t) {
  std::uint64_t expired = 0;
  if (::read(timer_.get(), &expired, sizeof expired) != sizeof expired) return;
  for (; expired > 0; --expired) {
    due_.push_back(next_due_);
    next_due_ += Duration(static_cast<std::int64_t>(1e9 / options_.rate));
  }
  while (!due_.empty() && !idle_.empty()) {
    Session* session = idle_.front();
    idle_.pop_front();
    const SteadyTime due = due_.front();
    due_.pop_front();
    session->Work(due);
  }
}

void Generator::WantsWork(Session& session) {
  if (options_.mode == Mode::kIdle) return OpenNext();
  if (options_.rate <= 0) return session.Work(Now());
  if (due_.empty()) return idle_.push_back(&session);
  const SteadyTime due = due_.front();
  due_.pop_front();
  session.Work(due);
}

void Generator::OpenNext() {
  if (opened_ < sessions_.size()) sessions_[opened_++]->Open();
}

void Generator::Succeeded(SteadyTime due) {
  ++tally_.operations;
  tally_.microseconds.push_back(static_cast<std::uint32_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(Now() - due).count()));
}

void Generator::Failed(const std::string& reason) {
  ++tally_.failures;
  ++tally_.reasons[reason];
}

void Generator::Received(std::size_t bytes) { tally_.bytes += bytes; }

void Generator::BeginMeasuring() { tally_ = {}; }

void Generator::Finish() {
  StopTimer();
  if (options_.rate <= 0) return loop_.Stop();
  AwaitOutcomes(Now() + kRequestDeadline);
}

void Generator::AwaitOutcomes(SteadyTime until) {
  if (Outstanding() > 0 && Now() < until) {
    loop_.RunAfter(std::chrono::milliseconds(5), [this, until] { AwaitOutcomes(until); });
    return;
  }
  for (std::size_t left = Outstanding(); left > 0; --left) Failed("no answer in time");
  loop_.Stop();
}

std::size_t Generator::Outstanding() const {
  return due_.size() + static_cast<std::size_t>(std::ranges::count_if(
                           sessions_, [](const auto& each) { return each->has_work(); }));
}

std::size_t Generator::open() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(sessions_, [](const auto& each) { return each->established(); }));
}

// ---- what the processes under test used

double CpuSeconds(const std::vector<int>& pids) {
  double total = 0;
  for (const int pid : pids) total += ProcessCpuSeconds(pid);
  return total;
}

double ResidentKilobytes(const std::vector<int>& pids) {
  double total = 0;
  for (const int pid : pids) total += ProcessResidentBytes(pid) / 1024;
  return total;
}

struct Report {
  double seconds = 0;
  double cpu_seconds = 0;
  double kilobytes_before = 0, kilobytes_after = 0;
  std::size_t open = 0;
  Tally tally;
};

double Percentile(const std::vector<std::uint32_t>& sorted, double share) {
  if (sorted.empty()) return 0;
  const auto last = static_cast<double>(sorted.size() - 1);
  return sorted[static_cast<std::size_t>(last * share)];
}

void Print(const Options& options, Report report) {
  std::vector<std::uint32_t>& all = report.tally.microseconds;
  std::ranges::sort(all);
  const auto operations = static_cast<double>(report.tally.operations);
  const auto bytes = static_cast<double>(report.tally.bytes);
  const double per_operation = operations > 0 ? report.cpu_seconds * 1e6 / operations : 0;
  const double gigabytes = report.cpu_seconds > 0 ? bytes / 1e9 / report.cpu_seconds : 0;
  const double per_connection =
      report.open > 0
          ? (report.kilobytes_after - report.kilobytes_before) / static_cast<double>(report.open)
          : 0;
  std::string reasons;
  for (const auto& [reason, count] : report.tally.reasons)
    reasons += fmt::format("{}{}: {}", reasons.empty() ? "" : ", ", reason, count);
  constexpr std::string_view kJson =
      "{{\"operations\":{},\"ops_per_s\":{:.0f},\"failures\":{},\"p50_us\":{:.0f},\"p90_us\":{:.0f}"
      ","
      "\"p99_us\":{:.0f},\"max_us\":{:.0f},\"cpu_us_per_op\":{:.2f},\"gb_per_s\":{:.3f},"
      "\"gb_per_cpu_s\":{:.3f},\"rss_kb\":{:.0f},\"kb_per_conn\":{:.1f},\"reasons\":\"{}\"}}\n";
  constexpr std::string_view kText =
      "{} operations, {:.0f}/s, {} failures; p50 {:.0f} p90 {:.0f} p99 {:.0f} max {:.0f} us; "
      "target CPU {:.2f} us each; {:.3f} GB/s, {:.3f} GB a CPU second; RSS {:.0f} kB, "
      "{:.1f} kB a connection {}\n";
  fmt::print(fmt::runtime(options.json ? kJson : kText), report.tally.operations,
             operations / report.seconds, report.tally.failures, Percentile(all, 0.5),
             Percentile(all, 0.9), Percentile(all, 0.99), Percentile(all, 1), per_operation,
             bytes / 1e9 / report.seconds, gigabytes, report.kilobytes_after, per_connection,
             reasons);
}

// ---- start

Result<std::shared_ptr<const net::TlsContext>> MakeContext(const Options& options) {
  if (options.ca.empty()) return std::shared_ptr<const net::TlsContext>();
  SIGNET_TRY(const Bytes roots_pem, ReadFile(options.ca, kFileLimit));
  SIGNET_TRY(std::vector<ca::Certificate> roots, ca::ParsePem(AsText(roots_pem), 64));
  std::optional<net::TlsIdentity> identity;
  if (!options.cert.empty()) {
    SIGNET_TRY(const Bytes chain_pem, ReadFile(options.cert, kFileLimit));
    SIGNET_TRY(ca::Chain chain, ca::ParsePem(AsText(chain_pem), ca::kMaxChainLength));
    SIGNET_TRY(const Bytes pkcs8, ReadFile(options.key, kFileLimit));
    SIGNET_TRY(ca::PrivateKey key, ca::PrivateKey::FromPkcs8(pkcs8));
    identity = {std::move(chain), std::make_shared<const ca::PrivateKey>(std::move(key))};
  }
  net::TlsOptions tls;
  tls.role = net::TlsRole::kClient;
  return net::TlsContext::Create(tls, identity, std::make_shared<ServerVerifier>(std::move(roots)));
}

Status Run(const Options& options) {
  const SystemClock clock;
  SIGNET_TRY(const net::Address address, net::Address::Parse(options.target));
  SIGNET_TRY(const std::vector<net::SocketAddress> targets, address.Resolve());
  SIGNET_TRY(auto context, MakeContext(options));
  SIGNET_TRY(const std::unique_ptr<net::EventLoop> loop, net::EventLoop::Create(clock));
  Report report;
  report.kilobytes_before = ResidentKilobytes(options.pids);
  Generator generator(options, *loop, std::move(context), targets.front());
  SteadyTime began;
  loop->RunAfter(Seconds(options.warmup), [&] {
    generator.BeginMeasuring();
    began = clock.SteadyNow();
    report.cpu_seconds = -CpuSeconds(options.pids);
  });
  loop->RunAfter(Seconds(options.warmup + options.seconds), [&] {
    report.cpu_seconds += CpuSeconds(options.pids);
    report.seconds = std::chrono::duration<double>(clock.SteadyNow() - began).count();
    generator.Finish();
  });
  generator.Start();
  loop->Run();
  report.kilobytes_after = ResidentKilobytes(options.pids);
  report.open = generator.open();
  report.tally = generator.tally();
  Print(options, std::move(report));
  return {};
}

}  // namespace
}  // namespace signet::bench

int main(int argc, char** argv) {
  using signet::bench::Mode;
  signet::bench::Options options;
  CLI::App app("an HTTP/1.1 load generator over TCP or mutual TLS", "bench_load");
  const std::map<std::string, Mode> modes{{"keepalive", Mode::kKeepAlive},
                                          {"new", Mode::kNew},
                                          {"bulk", Mode::kBulk},
                                          {"idle", Mode::kIdle}};
  app.add_option("--target", options.target, "host:port")->required();
  app.add_option("--cert", options.cert, "own chain, PEM; without it the client is anonymous");
  app.add_option("--key", options.key, "own key, PKCS#8 DER");
  app.add_option("--ca", options.ca, "the server's authorities, PEM; without it no TLS");
  app.add_option("--mode", options.mode, "keepalive, new, bulk or idle")
      ->transform(CLI::CheckedTransformer(modes));
  app.add_option("--connections", options.connections, "at once");
  app.add_option("--rate", options.rate, "requests a second, open loop; 0: closed loop");
  app.add_option("--renew", options.renew, "seconds a keep-alive connection lives; 0: all along");
  app.add_option("--seconds", options.seconds, "measured");
  app.add_option("--warmup", options.warmup, "seconds before that");
  app.add_option("--bytes", options.bytes, "of one answer in bulk mode");
  app.add_option("--pid", options.pids, "a process under test; may be repeated");
  app.add_flag("--json", options.json, "one JSON object instead of a line for people");
  CLI11_PARSE(app, argc, argv);
  const signet::Status ran = signet::bench::Run(options);
  if (ran) return 0;
  std::fprintf(stderr, "bench_load: %s\n", ran.error().Message().c_str());
  return 1;
}
