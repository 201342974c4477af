#include "proxy/http/http2_session.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "net/http2_callbacks.h"
#include "proxy/http/field_rules.h"
#include "proxy/http/syntax.h"

namespace signet::proxy {
namespace {

constexpr std::int32_t kStreamWindow = 256 * 1024;
constexpr std::int32_t kConnectionWindow = 1 << 20;
constexpr std::size_t kFieldOverhead = 32;  // RFC 9113, 6.5.2
// Of a head beyond the limits so much more is read, to answer it; then its stream is reset.
constexpr std::size_t kPatienceFactor = 4;
constexpr double kBudget = 200;
constexpr double kBudgetPerSecond = 20;

bool AreGoodTrailers(const Http2Stream& stream) {
  if (stream.too_large) return false;
  for (std::size_t i = 0; i < stream.raw.size(); ++i) {
    const Fields::Field field = stream.raw[i];
    if (!MayBeTrailer(field.name) || !IsToken(field.name) || !IsFieldValue(field.value))
      return false;
  }
  return true;
}

using Callbacks = net::Http2Callbacks<Http2Session>;

}  // namespace

std::uint32_t Http2ErrorOf(StreamFault fault) {
  switch (fault) {
    case StreamFault::kRefused:
      return NGHTTP2_REFUSED_STREAM;
    case StreamFault::kProtocol:
      return NGHTTP2_PROTOCOL_ERROR;
    case StreamFault::kReset:
    case StreamFault::kCancelled:
      return NGHTTP2_CANCEL;
    case StreamFault::kConnection:
    case StreamFault::kTimeout:
      return NGHTTP2_INTERNAL_ERROR;
  }
  return NGHTTP2_INTERNAL_ERROR;
}

StreamFault FaultOfHttp2Error(std::uint32_t error) {
  if (error == NGHTTP2_REFUSED_STREAM) return StreamFault::kRefused;
  return error == NGHTTP2_PROTOCOL_ERROR ? StreamFault::kProtocol : StreamFault::kReset;
}

void Http2FieldBlock::Add(std::string_view name, std::string_view value) {
  places_.push_back({text_.size(), name.size(), value.size()});
  for (const char c : name) text_.push_back(LowerAscii(c));
  text_.append(value);
}

void Http2FieldBlock::AddAll(const Fields& fields) {
  for (std::size_t i = 0; i < fields.size(); ++i) Add(fields[i].name, fields[i].value);
}

int Http2FieldBlock::With(
    const std::function<int(const void* fields, std::size_t count)>& use) const {
  std::vector<nghttp2_nv> list;
  list.reserve(places_.size());
  // nghttp2 takes them by pointers to non-const, and copies.
  auto* text = reinterpret_cast<std::uint8_t*>(const_cast<char*>(text_.data()));
  for (const Place& at : places_)
    list.push_back({text + at.begin, text + at.begin + at.name_bytes, at.name_bytes, at.value_bytes,
                    NGHTTP2_NV_FLAG_NONE});
  return use(list.data(), list.size());
}

Http2Session::Http2Session(Role role, OutputBuffer& out, const HttpSettings& settings, Now now)
    : role_(role),
      out_(out),
      settings_(settings),
      now_(std::move(now)),
      budget_(kBudget, kBudgetPerSecond, now_()) {
  Start();
}

Http2Session::~Http2Session() { nghttp2_session_del(session_); }

void Http2Session::Start() {
  session_ = Callbacks::Open(
      this, {.is_server = role_ == Role::kServer, .most_head = 2 * settings_.message.head_bytes});
  const nghttp2_settings_entry entries[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, settings_.streams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
       static_cast<std::uint32_t>(settings_.message.head_bytes)},
      // RFC 8441: a server that passes WebSockets on says so. A client wants no push.
      role_ == Role::kServer ? nghttp2_settings_entry{NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1}
                             : nghttp2_settings_entry{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, entries, std::size(entries));
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
}

const void* Http2Session::PendingBody() {
  static constexpr nghttp2_data_provider kProvider{{0}, Callbacks::Read};
  return &kProvider;
}

// ---- streams

Http2Stream* Http2Session::Find(std::int32_t id) {
  const auto found = streams_.find(id);
  return found == streams_.end() ? nullptr : found->second.get();
}

Http2Stream& Http2Session::Add(std::unique_ptr<Http2Stream> stream) {
  Http2Stream& added = *stream;
  streams_[added.id] = std::move(stream);
  return added;
}

int Http2Session::OnBeginHeaders(std::int32_t id, bool trailers) {
  Http2Stream* stream = Find(id);
  if (stream == nullptr) {
    if (trailers) return 0;
    stream = &Add(MakeStream(id));
  }
  stream->raw.Clear();
  stream->head_cost = stream->head_entries = 0;
  return 0;
}

int Http2Session::OnField(std::int32_t id, std::string_view name, std::string_view value) {
  Http2Stream* stream = Find(id);
  if (stream == nullptr) return 0;
  const HttpLimits& limits = settings_.message;
  stream->head_cost += name.size() + value.size() + kFieldOverhead;
  ++stream->head_entries;
  if (stream->head_cost > limits.head_bytes || stream->head_entries > limits.fields + 8) {
    stream->too_large = true;
    if (stream->head_cost <= kPatienceFactor * limits.head_bytes &&
        stream->head_entries <= kPatienceFactor * limits.fields)
      return 0;
    Charge(10);  // the rest is decoded all the same, or the connection's table would be lost
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }
  if (!name.starts_with(':')) {
    stream->raw.Add(name, value);
    return 0;
  }
  for (const auto& [pseudo, target] : {std::pair{std::string_view(":method"), &stream->method},
                                       {":path", &stream->path},
                                       {":authority", &stream->authority},
                                       {":scheme", &stream->scheme},
                                       {":status", &stream->status},
                                       {":protocol", &stream->protocol}})
    if (name == pseudo) *target = value;
  return 0;
}

int Http2Session::OnFrame(const void* untyped) {
  const auto& frame = *static_cast<const nghttp2_frame*>(untyped);
  const bool ended = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  switch (frame.hd.type) {
    case NGHTTP2_HEADERS: {
      Http2Stream* stream = Find(frame.hd.stream_id);
      if (stream == nullptr) return 0;
      if (ended) stream->in_ended = true;
      if (!stream->head_done)
        OnHead(*stream, ended);
      else
        EndIncoming(*stream);
      return 0;
    }
    case NGHTTP2_DATA: {
      Http2Stream* stream = Find(frame.hd.stream_id);
      if (frame.hd.length == 0 && !ended) Charge();
      if (stream == nullptr || !ended || stream->in_ended) return 0;
      stream->in_ended = true;
      stream->raw.Clear();
      EndIncoming(*stream);
      return 0;
    }
    case NGHTTP2_SETTINGS:
      settled_ = true;
      if ((frame.hd.flags & NGHTTP2_FLAG_ACK) == 0) Charge();
      return 0;
    case NGHTTP2_PING:
      if ((frame.hd.flags & NGHTTP2_FLAG_ACK) == 0) {
        Charge();
      } else if (draining_) {
        nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                              nullptr, 0);
        WakeUp();
      }
      return 0;
    case NGHTTP2_PRIORITY:
    case NGHTTP2_RST_STREAM:
      Charge();
      return 0;
    default:
      return 0;
  }
}

void Http2Session::EndIncoming(Http2Stream& stream) {
  StreamEvents* events = stream.events;
  if (events == nullptr) return;
  if (!AreGoodTrailers(stream)) {
    stream.events = nullptr;
    Drop(stream, StreamFault::kProtocol);
    return events->OnFault(StreamFault::kProtocol);
  }
  const Fields trailers = std::exchange(stream.raw, {});
  if (role_ == Role::kClient) {
    // The answer is whole: nobody listens any more, and the rest of the request is not wanted.
    stream.events = nullptr;
    if (!stream.out_ended && !stream.out_ending && stream.has_body)
      Drop(stream, StreamFault::kCancelled);
  }
  events->OnEnd(trailers);
}

int Http2Session::OnChunk(std::int32_t id, std::string_view data) {
  Http2Stream* stream = Find(id);
  if (stream == nullptr || stream->events == nullptr) {
    nghttp2_session_consume_connection(session_, data.size());
    return 0;
  }
  stream->unconsumed += data.size();
  stream->events->OnData(data);
  return 0;
}

int Http2Session::OnClose(std::int32_t id, std::uint32_t error) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return 0;
  const std::unique_ptr<Http2Stream> stream = std::move(found->second);
  streams_.erase(found);
  waiting_ -= stream->waiting();
  if (stream->full) --full_;
  if (stream->unconsumed > 0) nghttp2_session_consume_connection(session_, stream->unconsumed);
  stream->unconsumed = 0;
  if (error == NGHTTP2_NO_ERROR) budget_.Earn();
  OnStreamGone(*stream, error);
  return 0;
}

void Http2Session::Drop(Http2Stream& stream, StreamFault fault) {
  stream.events = nullptr;
  if (stream.unconsumed > 0) nghttp2_session_consume_connection(session_, stream.unconsumed);
  stream.unconsumed = 0;
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id, Http2ErrorOf(fault));
  WakeUp();
}

void Http2Session::FailAll(StreamFault fault) {
  dead_ = true;
  std::vector<StreamEvents*> listeners;
  for (auto& [id, stream] : streams_)
    if (StreamEvents* events = std::exchange(stream->events, nullptr); events != nullptr)
      listeners.push_back(events);
  for (StreamEvents* events : listeners) events->OnFault(fault);
}

void Http2Session::Return(Http2Stream& stream, std::size_t count) {
  CHECK_TRUE(count <= stream.unconsumed);
  stream.unconsumed -= count;
  nghttp2_session_consume(session_, stream.id, count);
  WakeUp();
}

// ---- input and output

void Http2Session::Receive(std::string_view bytes) {
  if (dead_) return;
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  if (nghttp2_session_mem_recv(session_, data, bytes.size()) < 0) FailAll(StreamFault::kProtocol);
}

bool Http2Session::over() const {
  return dead_ ||
         (nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0);
}

void Http2Session::ProduceFrames() {
  while (!dead_ && out_.size() < kStreamHighWater) {
    const std::uint8_t* data = nullptr;
    const ssize_t count = nghttp2_session_mem_send(session_, &data);
    if (count < 0) return FailAll(StreamFault::kProtocol);
    if (count == 0) break;
    out_.tail().append(Callbacks::Text(data, static_cast<std::size_t>(count)));
  }
  if (full_ > 0) TellDrained();
}

void Http2Session::Queue(Http2Stream& stream, std::string_view data) {
  stream.pending.append(data);
  waiting_ += data.size();
  if (!stream.full && BufferedOf(stream) > kStreamHighWater) {
    stream.full = true;
    ++full_;
  }
  if (std::exchange(stream.deferred, false)) nghttp2_session_resume_data(session_, stream.id);
  WakeUp();
}

void Http2Session::QueueEnd(Http2Stream& stream, const Fields& trailers) {
  stream.trailers = trailers;
  stream.out_ending = true;
  if (std::exchange(stream.deferred, false)) nghttp2_session_resume_data(session_, stream.id);
  WakeUp();
}

std::size_t Http2Session::BufferedOf(const Http2Stream& stream) const {
  // Many streams of little each come to much.
  return waiting_ > kConnectionWaiting ? kStreamHighWater + 1 : stream.waiting();
}

void Http2Session::TellDrained() {
  std::vector<StreamEvents*> ready;
  for (auto& [id, stream] : streams_) {
    if (!stream->full || BufferedOf(*stream) > kStreamHighWater / 2) continue;
    stream->full = false;
    --full_;
    if (stream->events != nullptr) ready.push_back(stream->events);
  }
  for (StreamEvents* events : ready) events->OnDrained();
}

long Http2Session::ReadPending(std::int32_t id, std::span<std::uint8_t> out, std::uint32_t* flags) {
  Http2Stream* stream = Find(id);
  if (stream == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  const std::size_t count = std::min(out.size(), stream->waiting());
  if (count == 0 && !stream->out_ending) {
    stream->deferred = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  std::copy_n(stream->pending.data() + stream->pending_at, count, out.data());
  stream->pending_at += count;
  waiting_ -= count;
  if (stream->waiting() == 0) {
    stream->pending.clear();
    stream->pending_at = 0;
  } else if (stream->pending_at >= kStreamHighWater) {
    stream->pending.erase(0, std::exchange(stream->pending_at, 0));
  }
  if (!stream->out_ending || stream->waiting() > 0) return static_cast<long>(count);
  *flags |= NGHTTP2_DATA_FLAG_EOF;
  if (!stream->trailers.empty()) {
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    Http2FieldBlock block;
    block.AddAll(stream->trailers);
    block.With([&](const void* fields, std::size_t size) {
      return nghttp2_submit_trailer(session_, id, static_cast<const nghttp2_nv*>(fields), size);
    });
  }
  return static_cast<long>(count);
}

void Http2Session::OnFrameSent(const void* untyped) {
  const auto& frame = *static_cast<const nghttp2_frame*>(untyped);
  if (frame.hd.type == NGHTTP2_RST_STREAM) {
    // Ours count too: frames that make us reset are as cheap to send as resets.
    if (frame.rst_stream.error_code != NGHTTP2_NO_ERROR &&
        frame.rst_stream.error_code != NGHTTP2_CANCEL)
      Charge();
    return;
  }
  if ((frame.hd.type != NGHTTP2_HEADERS && frame.hd.type != NGHTTP2_DATA) ||
      (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
    return;
  Http2Stream* stream = Find(frame.hd.stream_id);
  if (stream == nullptr) return;
  stream->out_ended = true;
  // RFC 9113, 8.1: a whole answer before the whole request; the rest is not wanted.
  if (role_ == Role::kServer && !stream->in_ended)
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_NO_ERROR);
}

void Http2Session::Charge(double cost) {
  if (!budget_.Charge(now_(), cost)) Terminate(NGHTTP2_ENHANCE_YOUR_CALM);
}

void Http2Session::Terminate(std::uint32_t error) {
  nghttp2_session_terminate_session(session_, error);
  WakeUp();
}

}  // namespace signet::proxy
