#include "net/grpc/rpc_session.h"

#include <fmt/format.h>
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "net/grpc/rpc_wire.h"
#include "net/http2_callbacks.h"

namespace signet::net {
namespace {

constexpr std::int32_t kStreamWindow = 256 * 1024;
constexpr std::int32_t kConnectionWindow = 1 << 20;
constexpr std::size_t kFieldOverhead = 32;  // RFC 9113, 6.5.2
// Of the frame buffer, which is page-aligned, so much is always in use.
constexpr ssize_t kOnePage = 4000;
constexpr double kBudget = 1000;
constexpr double kBudgetPerSecond = 100;
constexpr double kOversizedHead = 10;
// While so much of a call's answers is not taken, no more of its messages are handed on.
constexpr std::size_t kAnswersAhead = 64 * 1024;
// Clients refuse responses with more than 8 KiB of fields, and nghttp2 sends none with more than
// 64: details that leave no room for the message are left out.
constexpr std::size_t kMostDetails = 1200;

using Callbacks = Http2Callbacks<RpcSession>;

constexpr int kResourceExhausted = 8, kUnimplemented = 12, kInternal = 13;

nghttp2_nv Field(std::string_view name, std::string_view value,
                 std::uint8_t flags = NGHTTP2_NV_FLAG_NONE) {
  // nghttp2 takes them by pointers to non-const, and copies.
  const auto bytes = [](std::string_view text) {
    return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), flags};
}

// Whether it is gRPC's: "+proto" and parameters may follow, "-web" is another protocol.
bool IsRpcContentType(std::string_view type) {
  constexpr std::string_view kType = "application/grpc";
  if (!type.starts_with(kType)) return false;
  type.remove_prefix(kType.size());
  return type.empty() || type.front() == '+' || type.front() == ';';
}

// A status as fields. Holds the text.
class StatusFields {
 public:
  explicit StatusFields(const RpcStatus& status)
      : code_(std::to_string(status.code)), message_(EncodeRpcMessage(status.message)) {
    // What differs each time is no gain for the peer's table.
    constexpr std::uint8_t kOnce = NGHTTP2_NV_FLAG_NO_INDEX;
    Add("grpc-status", code_, NGHTTP2_NV_FLAG_NONE);
    if (!message_.empty()) Add("grpc-message", message_, kOnce);
    if (status.retry_after) {
      pushback_ = std::to_string(status.retry_after->count());
      Add("grpc-retry-pushback-ms", pushback_, kOnce);
    }
    if (status.details.empty() || status.details.size() > kMostDetails) return;
    details_ = EncodeBase64(AsBytes(status.details));
    Add("grpc-status-details-bin", details_, kOnce);
  }
  StatusFields(const StatusFields&) = delete;
  std::span<const nghttp2_nv> all() const { return {fields_.data(), count_}; }

 private:
  void Add(std::string_view name, std::string_view value, std::uint8_t flags) {
    fields_[count_++] = Field(name, value, flags);
  }
  const std::string code_, message_;
  std::string pushback_, details_;
  std::array<nghttp2_nv, 4> fields_{};
  std::size_t count_ = 0;
};

}  // namespace

// ---- A call

bool RpcStream::Head::IsInOrder(std::string_view name) {
  if (!name.starts_with(':')) {
    others = true;
    return true;
  }
  constexpr std::array<std::string_view, 4> kPseudo = {":method", ":scheme", ":authority", ":path"};
  const auto found = std::ranges::find(kPseudo, name);
  if (others || found == kPseudo.end()) return false;
  const unsigned bit = 1U << (found - kPseudo.begin());
  const bool repeated = (pseudo & bit) != 0;
  pseudo |= bit;
  return !repeated;
}

std::vector<std::string> RpcStream::Field(std::string_view name) const {
  std::vector<std::string> values;
  for (const auto& [known, value] : head_.wanted)
    if (known == name) values.push_back(value);
  return values;
}

void RpcStream::Enqueue(RpcMailbox::Wish wish) {
  ++queued_;
  wish.stream = shared_from_this();
  mailbox_->Put(std::move(wish));
}

void RpcStream::Read() {
  if (MustQueue()) return Enqueue({RpcMailbox::Wish::Kind::kRead, nullptr, {}, {}});
  DoRead();
}

void RpcStream::Send(std::string message) {
  if (MustQueue()) return Enqueue({RpcMailbox::Wish::Kind::kSend, nullptr, std::move(message), {}});
  DoSend(std::move(message));
}

void RpcStream::Finish(RpcStatus status) {
  if (MustQueue())
    return Enqueue({RpcMailbox::Wish::Kind::kFinish, nullptr, {}, std::move(status)});
  DoFinish(std::move(status));
}

void RpcStream::HoldConnection(SteadyTime until) {
  if (session_ != nullptr) session_->held_until_ = std::max(session_->held_until_, until);
}

void RpcStream::CarryOut(RpcMailbox::Wish wish) {
  --queued_;
  switch (wish.kind) {
    case RpcMailbox::Wish::Kind::kRead:
      return DoRead();
    case RpcMailbox::Wish::Kind::kSend:
      return DoSend(std::move(wish.message));
    case RpcMailbox::Wish::Kind::kFinish:
      return DoFinish(std::move(wish.status));
  }
}

void RpcStream::DoRead() {
  reading_ = true;
  Deliver();
}

void RpcStream::DoSend(std::string message) {
  if (session_ == nullptr || status_) return WipeText(&message);
  CHECK_TRUE(message.size() <= UINT32_MAX);
  if (session_->unsent_ > session_->limits_.answer_bytes) {
    WipeText(&message);
    return DoFinish({kResourceExhausted, "too many answers of this connection wait", {}});
  }
  Append(message);
  WipeText(&message);
  if (answered_)
    session_->Resume(*this);
  else
    session_->SubmitHead(*this);
}

// Nothing is left behind in memory that a growing string gives back.
void RpcStream::Append(std::string_view message) {
  const std::size_t size = kRpcPrefixBytes + message.size();
  if (out_at_ > out_.size() / 2 || out_.capacity() - out_.size() < size) {
    std::string grown;
    grown.reserve(std::max(waiting() + size, waiting() * 2));
    grown.append(out_, out_at_);
    WipeText(&out_);
    out_ = std::move(grown);
    out_at_ = 0;
  }
  session_->unsent_ += size;
  AppendRpcPrefix(static_cast<std::uint32_t>(message.size()), &out_);
  out_.append(message);
}

void RpcStream::DoFinish(RpcStatus status) {
  if (session_ == nullptr || status_) return;
  status_ = std::move(status);
  DropInput();
  Consume(unconsumed_);
  if (answered_)
    session_->Resume(*this);
  else
    session_->SubmitTrailersOnly(*this);
}

void RpcStream::DropInput() {
  session_->buffered_ -= held().size();
  std::string().swap(in_);
  in_at_ = 0;
}

void RpcStream::DropOutput() {
  WipeText(&out_);
  out_at_ = 0;
}

void RpcStream::Deliver() {
  if (delivering_) return;
  delivering_ = true;
  const auto self = shared_from_this();
  while (session_ != nullptr && handler_ != nullptr && reading_ && !session_->stopped_ &&
         waiting() <= kAnswersAhead && CheckPrefix()) {
    const auto handler = handler_;
    std::string message;
    if (TakeMessage(&message)) {
      reading_ = false;
      handler->OnMessage(std::move(message));
    } else if (in_ended_ && !status_) {
      reading_ = false;
      if (!held().empty())
        DoFinish({kInternal, "the request ends within a message", {}});
      else
        handler->OnHalfClose();
    } else {
      break;
    }
  }
  delivering_ = false;
  ConsumeAhead();
}

bool RpcStream::TakeMessage(std::string* message) {
  if (held().size() < kRpcPrefixBytes) return false;
  const std::size_t size = kRpcPrefixBytes + ReadRpcPrefix(held()).size;
  if (held().size() < size) return false;
  session_->buffered_ -= size;
  if (in_at_ == 0 && in_.size() == size) {
    *message = std::exchange(in_, {});
    message->erase(0, kRpcPrefixBytes);
  } else {
    *message = held().substr(kRpcPrefixBytes, size - kRpcPrefixBytes);
    in_at_ += size;
    // Not each time: a window may hold fifty thousand messages.
    if (in_at_ > in_.size() / 2) {
      in_.erase(0, in_at_);
      in_at_ = 0;
    }
  }
  // What is not consumed is always the end of what is held.
  if (unconsumed_ > held().size()) Consume(unconsumed_ - held().size());
  return true;
}

bool RpcStream::CheckPrefix() {
  if (held().size() < kRpcPrefixBytes) return true;
  const RpcPrefix prefix = ReadRpcPrefix(held());
  const std::size_t most = session_->limits_.message_bytes;
  if (prefix.flag == 1) {
    DoFinish({kUnimplemented, "compressed messages are not supported", {}});
  } else if (prefix.flag != 0) {
    DoFinish({kInternal, "a message with an unknown flag", {}});
  } else if (prefix.size > most) {
    DoFinish({kResourceExhausted,
              fmt::format("Received message larger than max ({} vs. {})", prefix.size, most),
              {}});
  } else {
    return true;
  }
  return false;
}

// The first message is received whole, whatever the window is; what follows it waits there. Its
// prefix is looked at as soon as it is there.
void RpcStream::ConsumeAhead() {
  if (session_ == nullptr || status_ || !CheckPrefix()) return;
  if (held().size() < kRpcPrefixBytes ||
      held().size() < kRpcPrefixBytes + ReadRpcPrefix(held()).size)
    Consume(unconsumed_);
}

void RpcStream::Consume(std::size_t bytes) {
  if (bytes == 0) return;
  unconsumed_ -= bytes;
  nghttp2_session_consume_stream(session_->session_, id_, bytes);
  session_->on_output_();
}

// ---- The connection

RpcSession::RpcSession(RpcService& service, std::shared_ptr<const RpcPeer> peer,
                       std::shared_ptr<RpcMailbox> mailbox, const RpcLimits& limits,
                       const EventLoop& loop, std::function<void()> on_output)
    : service_(service),
      peer_(std::move(peer)),
      mailbox_(std::move(mailbox)),
      limits_(limits),
      loop_(loop),
      on_output_(std::move(on_output)),
      budget_(kBudget, kBudgetPerSecond, loop.now()),
      last_used_(loop.now()) {
  session_ = Callbacks::Open(
      this, {.checks_messages = !limits_.any_authority, .memory = memory_.handle()});
  const nghttp2_settings_entry entries[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits_.streams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(limits_.head_bytes)}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, entries, std::size(entries));
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
}

RpcSession::~RpcSession() {
  EndAll();
  nghttp2_session_del(session_);
}

void RpcSession::EndAll() {
  dead_ = true;
  const auto streams = std::exchange(streams_, {});
  for (const auto& [id, stream] : streams) {
    stream->DropInput();
    stream->DropOutput();
    stream->session_ = nullptr;
    if (const auto handler = std::exchange(stream->handler_, nullptr)) handler->OnOver();
  }
}

std::shared_ptr<RpcStream> RpcSession::Find(std::int32_t id) const {
  const auto found = streams_.find(id);
  return found == streams_.end() ? nullptr : found->second;
}

int RpcSession::OnBeginHeaders(std::int32_t id, bool trailers) {
  if (trailers) return 0;
  streams_.emplace(id, std::make_shared<RpcStream>(*this, id, mailbox_));
  return 0;
}

int RpcSession::OnField(std::int32_t id, std::string_view name, std::string_view value) {
  const auto stream = Find(id);
  if (stream == nullptr) return 0;
  RpcStream::Head& head = stream->head_;
  head.cost += name.size() + value.size() + kFieldOverhead;
  if (head.cost > limits_.head_bytes) {
    Charge(kOversizedHead);  // the rest is decoded all the same, or the table would be lost
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }
  if (stream->began_) return 0;
  if (!head.IsInOrder(name)) {
    Charge();
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }
  if (service_.WantsField(name)) head.wanted.emplace_back(name, value);
  for (const auto& [known, target] : {std::pair{std::string_view(":method"), &head.method},
                                      {":path", &head.path},
                                      {"content-type", &head.content_type},
                                      {"grpc-timeout", &head.timeout}})
    if (name == known) *target = value;
  return 0;
}

int RpcSession::OnFrame(const void* untyped) {
  const auto& frame = *static_cast<const nghttp2_frame*>(untyped);
  const bool ended = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  const bool acknowledges = (frame.hd.flags & NGHTTP2_FLAG_ACK) != 0;
  switch (frame.hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA: {
      last_used_ = loop_.now();
      const auto stream = Find(frame.hd.stream_id);
      if (frame.hd.type == NGHTTP2_DATA && frame.hd.length <= frame.data.padlen && !ended) Charge();
      if (stream == nullptr) return 0;
      if (frame.hd.type == NGHTTP2_HEADERS && stream->began_ && !ended) Charge();
      if (!stream->began_) Begin(*stream);
      if (ended) EndInput(*stream);
      return 0;
    }
    case NGHTTP2_PING:
      if (acknowledges)
        ping_unanswered_ = false;
      else
        Charge();
      return 0;
    case NGHTTP2_SETTINGS:
      if (acknowledges) return 0;
      greeted_ = true;
      Charge();
      return 0;
    case NGHTTP2_PRIORITY:
    case NGHTTP2_RST_STREAM:
      Charge();
      return 0;
    default:
      return 0;
  }
}

void RpcSession::Begin(RpcStream& stream) {
  stream.began_ = true;
  const RpcStream::Head& head = stream.head_;
  if (stopped_) return;
  if (head.method != "POST") return Refuse(stream, "405");
  if (!IsRpcContentType(head.content_type)) return Refuse(stream, "415");
  if (const auto timeout = ParseRpcTimeout(head.timeout)) stream.deadline_ = loop_.now() + *timeout;
  stream.handler_ = service_.Begin(head.path, peer_, stream.shared_from_this());
  CHECK_TRUE(stream.handler_ != nullptr);
  stream.head_ = {};
  stream.Deliver();
}

// What is no gRPC is answered as plain HTTP.
void RpcSession::Refuse(RpcStream& stream, const char* http_status) {
  stream.status_ = RpcStatus{kInternal, {}, {}};
  stream.answered_ = true;
  const std::array fields = {Field(":status", http_status)};
  nghttp2_submit_response(session_, stream.id_, fields.data(), fields.size(), nullptr);
  on_output_();
}

void RpcSession::EndInput(RpcStream& stream) {
  stream.in_ended_ = true;
  stream.Deliver();
}

int RpcSession::OnChunk(std::int32_t id, std::string_view data) {
  last_used_ = loop_.now();
  nghttp2_session_consume_connection(session_, data.size());
  const auto stream = Find(id);
  if (stream == nullptr || stream->status_) {
    nghttp2_session_consume_stream(session_, id, data.size());
    return 0;
  }
  stream->in_.append(data);
  stream->unconsumed_ += data.size();
  buffered_ += data.size();
  stream->Deliver();
  if (buffered_ > std::max(limits_.connection_bytes, 2 * limits_.message_bytes))
    stream->DoFinish({kResourceExhausted, "too much is waiting on this connection", {}});
  return 0;
}

int RpcSession::OnClose(std::int32_t id, std::uint32_t) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return 0;
  const auto stream = std::move(found->second);
  streams_.erase(found);
  // Who was answered in whole did not ask for nothing, whatever code a reset of its carries.
  if (stream->out_ended_) budget_.Earn();
  unsent_ -= stream->waiting();
  stream->DropInput();
  stream->DropOutput();
  stream->session_ = nullptr;
  if (const auto handler = std::exchange(stream->handler_, nullptr)) handler->OnOver();
  on_output_();
  return 0;
}

void RpcSession::Receive(std::string_view bytes) {
  if (dead_) return;
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  if (nghttp2_session_mem_recv(session_, data, bytes.size()) < 0) EndAll();
  on_output_();
}

// ---- Answers

void RpcSession::SubmitHead(RpcStream& stream) {
  stream.answered_ = true;
  const std::array fields = {Field(":status", "200"), Field("content-type", "application/grpc")};
  nghttp2_data_provider body{};
  body.read_callback = Callbacks::Read;
  nghttp2_submit_response(session_, stream.id_, fields.data(), fields.size(), &body);
  on_output_();
}

void RpcSession::SubmitTrailersOnly(RpcStream& stream) {
  stream.answered_ = true;
  const StatusFields status(*stream.status_);
  std::vector<nghttp2_nv> fields = {Field(":status", "200"),
                                    Field("content-type", "application/grpc")};
  fields.insert(fields.end(), status.all().begin(), status.all().end());
  nghttp2_submit_response(session_, stream.id_, fields.data(), fields.size(), nullptr);
  on_output_();
}

void RpcSession::Resume(RpcStream& stream) {
  if (std::exchange(stream.deferred_, false)) nghttp2_session_resume_data(session_, stream.id_);
  on_output_();
}

long RpcSession::ReadPending(std::int32_t id, std::span<std::uint8_t> out, std::uint32_t* flags) {
  const auto stream = Find(id);
  if (stream == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  const std::size_t count = std::min(out.size(), stream->waiting());
  if (count == 0 && !stream->status_) {
    stream->deferred_ = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  std::copy_n(stream->out_.data() + stream->out_at_, count, out.data());
  stream->out_at_ += count;
  unsent_ -= count;
  if (stream->waiting() == 0) {
    stream->DropOutput();
    if (!stream->status_) sent_.push_back(stream);
  }
  if (!stream->status_ || stream->waiting() > 0) return static_cast<long>(count);
  *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
  const StatusFields status(*stream->status_);
  nghttp2_submit_trailer(session_, id, status.all().data(), status.all().size());
  return static_cast<long>(count);
}

void RpcSession::OnFrameSent(const void* untyped) {
  const auto& frame = *static_cast<const nghttp2_frame*>(untyped);
  if (frame.hd.type == NGHTTP2_DATA) {
    last_used_ = loop_.now();
    // Clients ping to measure how fast what they read arrives, and reset a stream once they have
    // heard what they wanted.
    budget_.Earn(2);
  }
  if (frame.hd.type != NGHTTP2_HEADERS || (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return;
  const auto stream = Find(frame.hd.stream_id);
  if (stream == nullptr) return;
  stream->out_ended_ = true;
  // RFC 9113, 8.1: a whole answer before the whole request; the rest is not wanted.
  if (!stream->in_ended_)
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream->id_, NGHTTP2_NO_ERROR);
}

void RpcSession::Rest() {
  if (!sent_much_ || !all_said_) return;
  memory_.GiveBack();
  sent_much_ = false;
}

void RpcSession::Produce(std::size_t most, std::string* out) {
  all_said_ = false;
  while (!dead_ && out->size() < most) {
    const std::uint8_t* data = nullptr;
    const ssize_t count = nghttp2_session_mem_send(session_, &data);
    if (count < 0) return EndAll();
    all_said_ = count == 0;
    if (all_said_) break;
    sent_much_ = sent_much_ || count > kOnePage;
    out->append(Callbacks::Text(data, static_cast<std::size_t>(count)));
  }
  for (const auto& stream : std::exchange(sent_, {})) {
    if (stream->waiting() > 0) continue;  // it is told after that
    if (const auto handler = stream->handler_) handler->OnSent();
    stream->Deliver();
  }
}

bool RpcSession::over() const {
  return dead_ ||
         (nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0);
}

void RpcSession::Drain() {
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                        nullptr, 0);
  on_output_();
}

void RpcSession::Ping() {
  ping_unanswered_ = true;
  nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
  on_output_();
}

void RpcSession::Charge(double cost) {
  if (dead_ || budget_.Charge(loop_.now(), cost)) return;
  nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
  on_output_();
}

}  // namespace signet::net
