#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "net/tls_internal.h"

namespace signet::net {
namespace {

constexpr std::size_t kScratchBytes = 64 * 1024;
constexpr std::size_t kRecordRoom = 17 * 1024;    // one record with its overhead (RFC 8446, 5.2)
constexpr std::size_t kUnsentLimit = 256 * 1024;  // answers to a peer that sends and never reads
constexpr std::size_t kHandshakeReceive = 16 * 1024;

}  // namespace

// Bytes travel socket → scratch → OpenSSL and back through the BIO below. Between calls the scratch
// belongs to nobody: what a call leaves over moves to `unread` or `unsent`.
struct StreamParts {
  std::shared_ptr<const TlsContext> context;
  UniqueFd socket;
  std::shared_ptr<TlsScratch> scratch;
  SslPtr ssl;
  HandshakeRecord record;
  Error error;

  Bytes unread;  // received, not yet decrypted
  std::size_t unread_at = 0;
  Bytes unsent;  // encrypted, not yet taken by the socket
  std::size_t unsent_at = 0;
  std::size_t owed = 0;  // bytes of the owner's that are encrypted but not yet said to be sent

  std::size_t receive_limit = kHandshakeReceive;
  int receive_error = 0;
  bool ended = false;    // the socket's end of stream
  bool drained = false;  // in this call the socket had nothing more
  bool short_read_is_empty = false;
  bool established = false;
  bool failed = false;       // OpenSSL must not be asked again
  bool send_failed = false;  // what the peer sent may still be read
  bool close_sent = false;

  int BioRead(char* out, std::size_t size, BIO* bio);
  int BioWrite(const char* in, std::size_t size, BIO* bio);
  bool Receive();
  void Begin(std::size_t limit);
  void Settle();
  bool MakeSsl(const BIO_METHOD* method);
  IoStatus Flush();
  IoStatus SendAll(const std::uint8_t* data, std::size_t size, std::size_t* sent);
  IoStatus FailWith(Error cause);
  Error DescribeFailure(int ssl_error, Reason reason);
  IoStatus FinishHandshake();
};

// From memory if there is any, else from the socket.
int StreamParts::BioRead(char* out, std::size_t size, BIO* bio) {
  BIO_clear_retry_flags(bio);
  if (unread_at < unread.size()) {
    const std::size_t count = std::min(size, unread.size() - unread_at);
    std::memcpy(out, unread.data() + unread_at, count);
    unread_at += count;
    if (unread_at == unread.size()) {
      Bytes().swap(unread);  // idle streams hold nothing
      unread_at = 0;
    }
    return static_cast<int>(count);
  }
  TlsScratch& from = *scratch;
  if (from.in_at_ == from.in_end_ && !Receive()) {
    if (drained) BIO_set_retry_read(bio);
    return ended ? 0 : -1;
  }
  const std::size_t count = std::min(size, from.in_end_ - from.in_at_);
  std::memcpy(out, from.in_.data() + from.in_at_, count);
  from.in_at_ += count;
  return static_cast<int>(count);
}

bool StreamParts::Receive() {
  if (ended || drained || receive_error != 0) return false;
  TlsScratch& into = *scratch;
  ssize_t got = -1;
  do {
    got = recv(socket.get(), into.in_.data(), receive_limit, 0);
  } while (got < 0 && errno == EINTR);
  if (got > 0) {
    into.in_at_ = 0;
    into.in_end_ = static_cast<std::size_t>(got);
    drained = short_read_is_empty && into.in_end_ < receive_limit;
    return true;
  }
  if (got == 0)
    ended = true;
  else if (errno == EAGAIN || errno == EWOULDBLOCK)
    drained = true;
  else
    receive_error = errno;
  return false;
}

int StreamParts::BioWrite(const char* in, std::size_t size, BIO* bio) {
  BIO_clear_retry_flags(bio);
  // Behind what waits already, else into the shared buffer, to leave in one send().
  Bytes& out = unsent.empty() ? scratch->out_ : unsent;
  if (out.size() + size > kUnsentLimit) {
    BIO_set_retry_write(bio);
    return -1;
  }
  const auto* bytes =
      reinterpret_cast<const std::uint8_t*>(in);  // one type, so that this is a memcpy
  out.insert(out.end(), bytes, bytes + size);
  return static_cast<int>(size);
}

void StreamParts::Begin(std::size_t limit) {
  CHECK_TRUE(scratch->in_at_ == scratch->in_end_ && scratch->out_.empty());
  ERR_clear_error();
  drained = false;
  receive_limit = limit;
}

// Takes what is left over out of the shared receive buffer.
void StreamParts::Settle() {
  TlsScratch& from = *scratch;
  if (from.in_at_ < from.in_end_) {
    const auto* start = from.in_.data();
    CHECK_TRUE(unread.empty());
    unread.assign(start + from.in_at_, start + from.in_end_);
    unread_at = 0;
  }
  from.in_at_ = from.in_end_ = 0;
}

IoStatus StreamParts::SendAll(const std::uint8_t* data, std::size_t size, std::size_t* sent) {
  while (*sent < size) {
    const ssize_t put = send(socket.get(), data + *sent, size - *sent, MSG_NOSIGNAL);
    if (put > 0)
      *sent += static_cast<std::size_t>(put);
    else if (errno == EAGAIN || errno == EWOULDBLOCK)
      return IoStatus::kWantWrite;
    else if (errno != EINTR)
      return IoStatus::kError;
  }
  return IoStatus::kOk;
}

// kOk: everything encrypted has left; kWantWrite: the rest is in `unsent`.
IoStatus StreamParts::Flush() {
  Bytes& gathered = scratch->out_;
  IoStatus status = IoStatus::kOk;
  if (!unsent.empty()) {
    status = SendAll(unsent.data(), unsent.size(), &unsent_at);
    if (status != IoStatus::kWantWrite) {
      Bytes().swap(unsent);
      unsent_at = 0;
    }
  } else if (!gathered.empty()) {
    std::size_t sent = 0;
    status = SendAll(gathered.data(), gathered.size(), &sent);
    if (status == IoStatus::kWantWrite) {
      unsent.assign(gathered.begin() + static_cast<std::ptrdiff_t>(sent), gathered.end());
      unsent_at = 0;
    }
    gathered.clear();
  }
  if (status == IoStatus::kError) {
    if (!failed && !send_failed)
      error = {Code::kUnavailable, established ? kTlsBroken : kTlsHandshakeFailed,
               fmt::format("sending: {}", ErrnoText(errno))};
    send_failed = true;
  }
  return status;
}

IoStatus StreamParts::FailWith(Error cause) {
  if (!failed) error = std::move(cause);
  failed = true;
  return IoStatus::kError;
}

Error StreamParts::DescribeFailure(int ssl_error, Reason reason) {
  if (record.refusal && !established)
    return {Code::kUnauthenticated, kTlsPeerRefused, record.refusal->Message()};
  if (receive_error != 0)
    return {Code::kUnavailable, reason, fmt::format("receiving: {}", ErrnoText(receive_error))};
  if (ended)
    return {Code::kUnavailable, reason,
            established ? "the peer ended the connection without close_notify"
                        : "the peer ended the connection during the handshake"};
  const int cause = ERR_GET_REASON(ERR_peek_error());
  const std::string text = TakeSslError();
  if (ssl_error == SSL_ERROR_SSL && cause == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
    return {Code::kUnauthenticated, kTlsNoPeerCertificate, text};
  return {Code::kUnauthenticated, reason, text};
}

// OpenSSL is content; are we? Whoever has a certificate was verified, and whoever must have one has
// one.
IoStatus StreamParts::FinishHandshake() {
  const TlsOptions& options = context->options();
  const bool presented = SSL_get0_peer_certificate(ssl.get()) != nullptr;
  const bool required = options.role == TlsRole::kClient ||
                        options.client_certificate == ClientCertificate::kRequired;
  if (presented != (record.peer != nullptr))
    return FailWith({Code::kInternal, kTlsPeerRefused, "the certificate was not verified"});
  if (required && record.peer == nullptr)
    return FailWith({Code::kUnauthenticated, kTlsNoPeerCertificate, ""});
  established = true;
  return IoStatus::kOk;
}

namespace {

StreamParts& PartsOf(BIO* bio) { return *static_cast<StreamParts*>(BIO_get_data(bio)); }

int OnBioRead(BIO* bio, char* out, int size) {
  return PartsOf(bio).BioRead(out, static_cast<std::size_t>(size), bio);
}
int OnBioWrite(BIO* bio, const char* in, int size) {
  return PartsOf(bio).BioWrite(in, static_cast<std::size_t>(size), bio);
}
long OnBioControl(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_EOF) return PartsOf(bio).ended ? 1 : 0;
  return command == BIO_CTRL_FLUSH ? 1 : 0;  // Flush() sends, once per call
}

}  // namespace

BioMethodPtr MakeStreamBioMethod() {
  BioMethodPtr method(BIO_meth_new(BIO_TYPE_SOURCE_SINK, "signet stream"));
  if (method == nullptr) return nullptr;
  BIO_meth_set_read(method.get(), OnBioRead);
  BIO_meth_set_write(method.get(), OnBioWrite);
  BIO_meth_set_ctrl(method.get(), OnBioControl);
  return method;
}

struct TlsStream::State : StreamParts {};

TlsScratch::TlsScratch() : in_(kScratchBytes) { out_.reserve(kScratchBytes + kRecordRoom); }

// False after FailWith().
bool StreamParts::MakeSsl(const BIO_METHOD* method) {
  ssl.reset(SSL_new(context->handle()));
  BIO* bio = BIO_new(method);
  if (ssl == nullptr || bio == nullptr) {
    BIO_free(bio);
    FailWith({Code::kResourceExhausted, kTlsHandshakeFailed, TakeSslError()});
    return false;
  }
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl.get(), bio, bio);
  SSL_set_app_data(ssl.get(), &record);
  const TlsOptions& options = context->options();
  if (options.role == TlsRole::kServer) {
    SSL_set_accept_state(ssl.get());
    return true;
  }
  SSL_set_connect_state(ssl.get());
  if (!options.server_name.empty() &&
      SSL_set_tlsext_host_name(ssl.get(), options.server_name.c_str()) != 1)
    FailWith({Code::kInvalidArgument, kTlsHandshakeFailed, TakeSslError()});
  return !failed;
}

TlsStream::TlsStream(std::shared_ptr<const TlsContext> context, UniqueFd socket,
                     std::shared_ptr<TlsScratch> scratch)
    : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.context = std::move(context);
  state.socket = std::move(socket);
  state.scratch = scratch == nullptr ? std::make_shared<TlsScratch>() : std::move(scratch);
  // A server has nothing to say before it hears something: who connects and stays silent costs a
  // socket, not OpenSSL's buffers for a handshake.
  if (state.context->options().role == TlsRole::kClient)
    state.MakeSsl(state.context->state_->bio_method.get());
}

TlsStream::~TlsStream() = default;

IoStatus TlsStream::Handshake() {
  State& state = *state_;
  if (state.failed) return IoStatus::kError;
  if (state.established) return state.Flush();
  state.Begin(kHandshakeReceive);
  if (state.ssl == nullptr) {
    if (!state.Receive()) {
      if (state.drained) return IoStatus::kWantRead;
      return state.FailWith(state.DescribeFailure(SSL_ERROR_SYSCALL, kTlsHandshakeFailed));
    }
    if (!state.MakeSsl(state.context->state_->bio_method.get())) {
      state.Settle();
      return IoStatus::kError;
    }
  }
  const int done = SSL_do_handshake(state.ssl.get());
  const int ssl_error = done == 1 ? SSL_ERROR_NONE : SSL_get_error(state.ssl.get(), done);
  state.Settle();
  if (done == 1)
    state.FinishHandshake();
  else if (ssl_error != SSL_ERROR_WANT_READ && ssl_error != SSL_ERROR_WANT_WRITE)
    state.FailWith(state.DescribeFailure(ssl_error, kTlsHandshakeFailed));
  const IoStatus flushed = state.Flush();  // also of the alert
  if (state.failed) return IoStatus::kError;
  // A peer that refuses may have closed already; its alert is still to be read.
  if (flushed == IoStatus::kError && ssl_error == SSL_ERROR_WANT_READ) return IoStatus::kWantRead;
  if (flushed != IoStatus::kOk || done == 1) return flushed;
  return ssl_error == SSL_ERROR_WANT_WRITE ? IoStatus::kWantWrite : IoStatus::kWantRead;
}

IoResult TlsStream::Read(std::span<std::uint8_t> out) {
  State& state = *state_;
  CHECK_TRUE(state.established);
  if (state.failed) return {IoStatus::kError};
  state.Begin(std::clamp(out.size() + 1024, kRecordRoom, kScratchBytes));
  std::size_t done = 0;
  IoStatus stop = IoStatus::kOk;
  while (done < out.size() && stop == IoStatus::kOk) {
    std::size_t count = 0;
    const int ok = SSL_read_ex(state.ssl.get(), out.data() + done, out.size() - done, &count);
    done += count;
    if (ok == 1) continue;
    const int ssl_error = SSL_get_error(state.ssl.get(), ok);
    if (ssl_error == SSL_ERROR_WANT_READ)
      stop = IoStatus::kWantRead;
    else if (ssl_error == SSL_ERROR_WANT_WRITE)
      stop = IoStatus::kWantWrite;
    else if (ssl_error == SSL_ERROR_ZERO_RETURN)
      stop = IoStatus::kEof;
    else
      stop = state.FailWith(state.DescribeFailure(ssl_error, kTlsBroken));
  }
  state.Settle();
  // Answers to the peer's key updates, and alerts. What the socket does not take goes with the next
  // call.
  if (!state.scratch->out_.empty()) state.Flush();
  if (done > 0) return {IoStatus::kOk, done, stop == IoStatus::kWantRead};
  return {stop};
}

IoResult TlsStream::Write(ByteView bytes) {
  State& state = *state_;
  CHECK_TRUE(state.established && !state.close_sent && bytes.size() >= state.owed);
  if (state.failed || state.send_failed) return {IoStatus::kError};
  state.Begin(kRecordRoom);
  IoStatus status = state.Flush();
  if (status != IoStatus::kOk) return {status};
  std::size_t done = std::exchange(state.owed, 0);
  while (done < bytes.size() && status == IoStatus::kOk) {
    const ByteView batch = bytes.subspan(done, std::min(kScratchBytes, bytes.size() - done));
    std::size_t taken = 0;
    while (taken < batch.size()) {
      std::size_t count = 0;
      const int ok =
          SSL_write_ex(state.ssl.get(), batch.data() + taken, batch.size() - taken, &count);
      if (ok != 1) {
        status =
            state.FailWith(state.DescribeFailure(SSL_get_error(state.ssl.get(), ok), kTlsBroken));
        break;
      }
      taken += count;
    }
    const IoStatus flushed = state.Flush();
    if (status == IoStatus::kOk) status = flushed;
    if (status == IoStatus::kOk) done += taken;
    if (status == IoStatus::kWantWrite) state.owed = taken;
  }
  if (status == IoStatus::kError) return {IoStatus::kError};
  if (done > 0 || bytes.empty()) return {IoStatus::kOk, done, status == IoStatus::kWantWrite};
  return {status};
}

IoStatus TlsStream::CloseWrite() {
  State& state = *state_;
  CHECK_TRUE(state.established);
  if (state.failed || state.send_failed) return IoStatus::kError;
  state.Begin(kRecordRoom);
  if (!state.close_sent) {
    const IoStatus flushed = state.Flush();
    if (flushed != IoStatus::kOk) return flushed;
    const int done = SSL_shutdown(state.ssl.get());
    if (done < 0)
      state.FailWith(state.DescribeFailure(SSL_get_error(state.ssl.get(), done), kTlsBroken));
    state.close_sent = true;
  }
  const IoStatus flushed = state.Flush();
  return state.failed ? IoStatus::kError : flushed;
}

std::size_t TlsStream::Pending() const {
  return state_->ssl == nullptr ? 0 : static_cast<std::size_t>(SSL_pending(state_->ssl.get()));
}

void TlsStream::TakeShortReadForEmpty(bool yes) { state_->short_read_is_empty = yes; }

void TlsStream::UseScratch(std::shared_ptr<TlsScratch> scratch) {
  state_->scratch = std::move(scratch);
}

int TlsStream::fd() const { return state_->socket.get(); }

const std::shared_ptr<const PeerIdentity>& TlsStream::peer() const {
  // The verifier's answer counts once the peer has proved to hold the key.
  static const std::shared_ptr<const PeerIdentity> kNobody;
  return state_->established ? state_->record.peer : kNobody;
}

std::string TlsStream::alpn() const {
  const unsigned char* name = nullptr;
  unsigned length = 0;
  if (state_->established) SSL_get0_alpn_selected(state_->ssl.get(), &name, &length);
  return std::string(reinterpret_cast<const char*>(name), length);
}

const Error& TlsStream::error() const { return state_->error; }

Reason TlsStream::failure_reason() const {
  if (state_->error.reason == kTlsPeerRefused && state_->record.refusal)
    return state_->record.refusal->reason;
  return state_->error.reason;
}

std::string TlsStream::Description() const {
  if (!state_->established) return "no TLS session";
  SSL* ssl = state_->ssl.get();
  const char* group = SSL_group_to_name(ssl, static_cast<int>(SSL_get_negotiated_group(ssl)));
  return fmt::format("{} {} {}", SSL_get_version(ssl), SSL_get_cipher_name(ssl),
                     group == nullptr ? "?" : group);
}

}  // namespace signet::net
