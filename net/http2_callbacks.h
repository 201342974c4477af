// nghttp2's callbacks as functions of a session of ours, and the options all our sessions have:
// windows are given back by hand, acknowledgements that wait are bounded, ended streams are
// forgotten.
//
// Session has OnBeginHeaders(id, trailers), OnField(id, name, value), OnFrame(frame), Charge(),
// OnChunk(id, data), OnClose(id, error), OnFrameSent(frame) and ReadPending(id, out, flags), and
// befriends this. For .cc files: it brings nghttp2's types.
#pragma once

#include <nghttp2/nghttp2.h>

#include <span>
#include <string_view>

#include "base/check.h"

namespace signet::net {

struct Http2Options {
  bool is_server = true;
  std::size_t most_head = 0;  // bytes of a head that is sent; 0: nghttp2's own bound
  // Whether nghttp2 checks heads and lengths (RFC 9113, 8.1 to 8.3); if not, the session must.
  bool checks_messages = true;
  nghttp2_mem* memory = nullptr;  // outlives the session; null: the allocator's
};

template <class Session>
struct Http2Callbacks {
  static std::string_view Text(const std::uint8_t* bytes, std::size_t count) {
    return {reinterpret_cast<const char*>(bytes), count};
  }
  // The caller deletes it.
  static nghttp2_session* Open(Session* session, const Http2Options& options) {
    nghttp2_option* option = nullptr;
    CHECK_TRUE(nghttp2_option_new(&option) == 0);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_max_outbound_ack(option, 100);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_no_http_messaging(option, options.checks_messages ? 0 : 1);
    if (options.most_head > 0)
      nghttp2_option_set_max_send_header_block_length(option, options.most_head);
    nghttp2_session_callbacks* callbacks = Make();
    nghttp2_session* made = nullptr;
    const auto make = options.is_server ? nghttp2_session_server_new3 : nghttp2_session_client_new3;
    const int failed = make(&made, callbacks, session, option, options.memory);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    CHECK_TRUE(failed == 0);
    return made;
  }
  static ssize_t Read(nghttp2_session*, std::int32_t id, std::uint8_t* buffer, std::size_t length,
                      std::uint32_t* flags, nghttp2_data_source*, void* data) {
    return Of(data).ReadPending(id, {buffer, length}, flags);
  }

 private:
  static Session& Of(void* data) { return *static_cast<Session*>(data); }

  static int BeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* data) {
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    return Of(data).OnBeginHeaders(frame->hd.stream_id, frame->headers.cat == NGHTTP2_HCAT_HEADERS);
  }
  static int Field(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                   std::size_t name_bytes, const std::uint8_t* value, std::size_t value_bytes,
                   std::uint8_t, void* data) {
    return Of(data).OnField(frame->hd.stream_id, Text(name, name_bytes), Text(value, value_bytes));
  }
  static int Frame(nghttp2_session*, const nghttp2_frame* frame, void* data) {
    return Of(data).OnFrame(frame);
  }
  static int InvalidFrame(nghttp2_session*, const nghttp2_frame*, int, void* data) {
    Of(data).Charge();
    return 0;
  }
  static int Chunk(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* bytes,
                   std::size_t count, void* data) {
    return Of(data).OnChunk(id, Text(bytes, count));
  }
  static int Close(nghttp2_session*, std::int32_t id, std::uint32_t error, void* data) {
    return Of(data).OnClose(id, error);
  }
  static int Sent(nghttp2_session*, const nghttp2_frame* frame, void* data) {
    Of(data).OnFrameSent(frame);
    return 0;
  }
  static nghttp2_session_callbacks* Make() {
    nghttp2_session_callbacks* callbacks = nullptr;
    CHECK_TRUE(nghttp2_session_callbacks_new(&callbacks) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, BeginHeaders);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, Field);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, InvalidFrame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, Sent);
    return callbacks;
  }
};

}  // namespace signet::net
