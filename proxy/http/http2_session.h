// One HTTP/2 connection (RFC 9113) over nghttp2, what server and client have in common: frames in
// and out, streams' bodies with their windows, and a budget for what costs this end work and the
// other nothing. nghttp2's types stay inside proxy/http.
//
// Bounds: header fields of a head are charged name + value + 32 each, crumbs of cookies included,
// whatever they took on the wire; a stream's window and the connection's bound what waits; own
// output is produced only as far as the socket takes it. Resets (theirs, and those of ours that
// they provoke), pings, settings, empty frames and refused heads draw on the budget; when it is
// used up the connection ends with ENHANCE_YOUR_CALM.
//
// Threads: one worker's.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>

#include "net/http2_budget.h"
#include "proxy/http/http_settings.h"
#include "proxy/http/message_stream.h"

struct nghttp2_session;

namespace signet::net {
template <class Session>
struct Http2Callbacks;
}  // namespace signet::net

namespace signet::proxy {

// One stream's state on this side. Kept from its first frame until nghttp2 closes it.
struct Http2Stream {
  virtual ~Http2Stream() = default;
  std::int32_t id = 0;
  // Incoming.
  Fields raw;  // of the head or trailers being read, pseudo-fields not among them
  std::string method, path, authority, scheme, status, protocol;
  std::size_t head_cost = 0;
  std::size_t head_entries = 0;
  bool too_large = false;
  bool head_done = false;  // the final head was read: what comes are trailers
  bool in_ended = false;
  std::size_t unconsumed = 0;
  StreamEvents* events = nullptr;  // null: nobody listens (any more)
  // Outgoing.
  std::string pending;
  std::size_t pending_at = 0;
  bool has_body = false;    // the outgoing message has one
  bool out_ending = false;  // the end follows what is pending
  bool out_ended = false;   // the last frame left
  bool deferred = false;    // nghttp2 waits for more
  bool full = false;        // its source was told to wait
  Fields trailers;

  std::size_t waiting() const { return pending.size() - pending_at; }
};

class Http2Session {
 public:
  enum class Role { kServer, kClient };
  using Now = std::function<SteadyTime()>;

  Http2Session(const Http2Session&) = delete;
  Http2Session& operator=(const Http2Session&) = delete;

 protected:
  // All outlive this.
  Http2Session(Role role, OutputBuffer& out, const HttpSettings& settings, Now now);
  virtual ~Http2Session();

  // Of the role's.
  virtual std::unique_ptr<Http2Stream> MakeStream(std::int32_t id) = 0;
  // A head is whole; `ended`: and so is the message.
  virtual void OnHead(Http2Stream& stream, bool ended) = 0;
  virtual void OnStreamGone(Http2Stream& stream, std::uint32_t error) = 0;
  virtual void WakeUp() = 0;

  void Receive(std::string_view bytes);
  void ProduceFrames();
  void Queue(Http2Stream& stream, std::string_view data);
  void QueueEnd(Http2Stream& stream, const Fields& trailers);
  void Return(Http2Stream& stream, std::size_t count);
  std::size_t BufferedOf(const Http2Stream& stream) const;
  // Nobody listens to the stream any more; it is reset unless it is over.
  void Drop(Http2Stream& stream, StreamFault fault);
  // The peer's half ended: the trailers that were read, if any, are handed on.
  void EndIncoming(Http2Stream& stream);
  void FailAll(StreamFault fault);
  void Terminate(std::uint32_t error);
  // The next answer to a ping ends the taking of streams.
  void Draining() { draining_ = true; }
  bool draining() const { return draining_; }
  // What nghttp2 asks for the bytes of Queue(): an nghttp2_data_provider.
  static const void* PendingBody();
  void Charge(double cost = 1);
  Http2Stream* Find(std::int32_t id);
  Http2Stream& Add(std::unique_ptr<Http2Stream> stream);

  nghttp2_session* session() const { return session_; }
  bool dead() const { return dead_; }
  bool over() const;
  bool settled() const { return settled_; }  // the peer's first SETTINGS came
  std::size_t stream_count() const { return streams_.size(); }
  const HttpSettings& settings() const { return settings_; }

 private:
  friend struct net::Http2Callbacks<Http2Session>;
  static constexpr std::size_t kConnectionWaiting = 1U << 20;  // of all streams together

  int OnBeginHeaders(std::int32_t id, bool trailers);
  int OnField(std::int32_t id, std::string_view name, std::string_view value);
  int OnFrame(const void* frame);
  int OnChunk(std::int32_t id, std::string_view data);
  int OnClose(std::int32_t id, std::uint32_t error);
  long ReadPending(std::int32_t id, std::span<std::uint8_t> out, std::uint32_t* flags);
  void OnFrameSent(const void* frame);
  void TellDrained();
  void Start();

  const Role role_;
  nghttp2_session* session_ = nullptr;
  OutputBuffer& out_;
  const HttpSettings& settings_;
  const Now now_;
  net::Http2Budget budget_;
  std::map<std::int32_t, std::unique_ptr<Http2Stream>> streams_;
  std::size_t waiting_ = 0;  // bytes pending in all streams
  std::size_t full_ = 0;     // streams whose source waits
  bool settled_ = false;
  bool draining_ = false;
  bool dead_ = false;
};

// The error code of a reset.
std::uint32_t Http2ErrorOf(StreamFault fault);
StreamFault FaultOfHttp2Error(std::uint32_t error);

// A head's fields as nghttp2 takes them: pseudo-fields first, names in lower case. Holds the text.
class Http2FieldBlock {
 public:
  void Add(std::string_view name, std::string_view value);
  void AddAll(const Fields& fields);
  std::size_t size() const { return places_.size(); }
  // Calls `use` with an array of nghttp2_nv as void*, valid inside.
  int With(const std::function<int(const void* fields, std::size_t count)>& use) const;

 private:
  struct Place {
    std::size_t begin, name_bytes, value_bytes;
  };
  std::string text_;
  std::vector<Place> places_;
};

}  // namespace signet::proxy
