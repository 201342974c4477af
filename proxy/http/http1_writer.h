// HTTP/1.1 messages as bytes. What is written is what was judged: the heads' values, and nothing of
// the bytes they came in.
//
// Threads: pure functions.
#pragma once

#include "proxy/http/message.h"

namespace signet::proxy {

// Appends the head. A body whose length is not known is announced as chunked; the length of one
// that is known stands in the fields. An upgrade is asked for when request.upgrade says so.
void WriteRequestHead(const RequestHead& request, std::string* out);

enum class AfterResponse { kKeepAlive, kKeepAliveToHttp10, kClose };
// The same; `chunked`: body parts will be written with WriteChunk.
void WriteResponseHead(const ResponseHead& response, bool chunked, AfterResponse after,
                       std::string* out);

// `data` is not empty: an empty chunk would end the body.
void WriteChunk(std::string_view data, std::string* out);
void WriteLastChunk(const Fields& trailers, std::string* out);

}  // namespace signet::proxy
