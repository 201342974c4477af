// One exchange of messages on one connection, as seen from between the connections: HTTP/1.1 and
// HTTP/2 look alike here. A codec owns the streams of its connection and calls the events; verbs
// may be called from inside events. Nothing here calls back synchronously except where it says so.
//
// Flow: a codec stops taking body bytes while too many that it handed to OnData() were not given
// back with Consumed(), so a body occupies a bounded buffer wherever it waits.
//
// Threads: one worker's.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "proxy/http/message.h"

namespace signet::proxy {

// Why an exchange ended without its last byte.
enum class StreamFault {
  kReset,       // the other end gave it up
  kRefused,     // the other end says that it did nothing with it (RFC 9113, 8.7)
  kProtocol,    // the other end broke the protocol
  kConnection,  // the connection broke
  kTimeout,     // a limit of time passed
  kCancelled,   // this proxy gave it up: policy, shutdown, or the other side's end
};

// Bytes on their way out of one connection.
class OutputBuffer {
 public:
  std::string& tail() { return bytes_; }  // append here
  std::string_view view() const { return std::string_view(bytes_).substr(sent_); }
  std::size_t size() const { return bytes_.size() - sent_; }
  bool empty() const { return size() == 0; }
  void Sent(std::size_t count) {
    sent_ += count;
    if (sent_ < bytes_.size()) return;
    sent_ = 0;
    if (bytes_.capacity() > kKept)
      std::string().swap(bytes_);
    else
      bytes_.clear();
  }

 private:
  static constexpr std::size_t kKept = 2048;  // what an idle connection may hold
  std::string bytes_;
  std::size_t sent_ = 0;
};

// Above this many bytes waiting in a stream, its source pauses.
inline constexpr std::size_t kStreamHighWater = 64 * 1024;

class MessageSink {
 public:
  virtual ~MessageSink() = default;
  virtual void SendData(std::string_view data) = 0;
  // The message is whole. A ServerStream is gone after this.
  virtual void SendEnd(const Fields& trailers) = 0;
  // Gives up the exchange on this connection. The stream is gone after this.
  virtual void Reset(StreamFault fault) = 0;
  // Bytes given to SendData() that have not left yet.
  virtual std::size_t buffered() const = 0;
  // `count` bytes of OnData() have been passed on.
  virtual void Consumed(std::size_t count) = 0;
};

class ServerStream : public MessageSink {
 public:
  // Informational heads first, any number; then one final one. With `end` there is no body and the
  // stream is gone. A 101 makes a tunnel: data both ways until both ends.
  virtual void SendHead(const ResponseHead& head, bool end) = 0;
};
using ClientStream = MessageSink;

class StreamEvents {
 public:
  virtual ~StreamEvents() = default;
  virtual void OnData(std::string_view data) = 0;
  // The incoming message is whole. A ClientStream is gone after this.
  virtual void OnEnd(const Fields& trailers) = 0;
  // The stream is gone.
  virtual void OnFault(StreamFault fault) = 0;
  // buffered() fell below the high-water mark again.
  virtual void OnDrained() = 0;
};

class ClientStreamEvents : public StreamEvents {
 public:
  virtual void OnHead(ResponseHead head) = 0;
};

// Takes requests of one connection. `end`: there is no body.
class RequestHandler {
 public:
  virtual ~RequestHandler() = default;
  // Answers who hears of the stream, or null when the handler has answered it already.
  virtual StreamEvents* OnRequest(ServerStream& stream, RequestHead head, bool end) = 0;
  // A request that was refused before it became one; it is answered already.
  virtual void OnMalformed(HttpFault fault) = 0;
  // There is output, or input may be taken again. Never calls back synchronously.
  virtual void Wake() = 0;
  // The steady time of this turn.
  virtual SteadyTime Time() const = 0;
};

// What a connection waits for, which says how long it may.
enum class Waiting {
  kIdle,    // the next request
  kHead,    // the rest of a head
  kStream,  // streams are open
  kOver,    // nothing: all is sent that will be, close when it is out
};

// One connection's protocol.
class Codec {
 public:
  virtual ~Codec() = default;
  // Answers how many of `bytes` were taken; the rest is offered again, with more behind it, once
  // wants_input().
  virtual std::size_t OnInput(std::string_view bytes) = 0;
  virtual bool wants_input() const = 0;
  virtual void OnInputEnd() = 0;
  // The connection is gone: every stream is told.
  virtual void OnBroken(StreamFault fault) = 0;
  // Appends what there is to send, up to about kStreamHighWater, to its output buffer.
  virtual void Produce() = 0;
  // Bytes left the output buffer.
  virtual void OnOutput() = 0;
  virtual Waiting waiting() const = 0;
  // No more will be written after what is in the output buffer, though input goes on.
  virtual bool write_ended() const { return false; }
  // An answer could not be finished: no orderly end may follow it.
  virtual bool broken_off() const { return false; }
  // What waiting() names took too long.
  virtual void OnTimeout() = 0;
  // Takes no new requests: says so where the protocol can.
  virtual void BeginDrain() = 0;
  // The same, without closing what may be about to carry a request.
  virtual void Retire() { BeginDrain(); }
};

}  // namespace signet::proxy
