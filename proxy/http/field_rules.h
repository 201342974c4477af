// What fields mean for the message that carries them: its framing, its connection, its authority.
// HTTP/1.1 and HTTP/2 heads go through the same rules.
//
// Threads: pure functions.
#pragma once

#include "proxy/http/message.h"

namespace signet::proxy {

// Takes `raw` into `head`: Host into authority, Content-Length and Transfer-Encoding into body,
// Connection and Upgrade into keep_alive and upgrade. Fields that concern one connection only,
// those that Connection names included (RFC 9110, 7.6.1), are left out; the rest goes to
// head.fields. `head` has method, path, authority (of an absolute-form target or :authority; else
// empty) and version. On a fault the head must not be used.
HttpFault TakeRequestFields(const Fields& raw, RequestHead* head);

// The same for a response to a request with `method`. A 1xx, 204 or 304, the answer to HEAD and a
// 2xx to CONNECT have no body whatever their fields say (RFC 9112, 6.3).
HttpFault TakeResponseFields(const Fields& raw, std::string_view method, ResponseHead* head);

// A protocol that an upgrade may ask for: what is inside another HTTP or TLS would be out of the
// policy's sight.
bool MayUpgradeTo(std::string_view protocol);

// RFC 9110, 6.5.1: fields that say how to frame, route, authenticate or modify a request may not
// come after it was decided.
bool MayBeTrailer(std::string_view name);

}  // namespace signet::proxy
