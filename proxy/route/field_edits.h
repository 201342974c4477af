// What a route changes in heads on their way.
//
// Threads: pure functions.
#pragma once

#include "mesh/routes/route.h"
#include "proxy/http/message.h"

namespace signet::proxy {

void ApplyHeaderEdits(const mesh::HeaderEdits& edits, Fields* fields);
// `match`: by which the request was taken.
void ApplyRewrite(const mesh::UrlRewrite& rewrite, const mesh::RouteMatch& match,
                  RequestHead* request);

}  // namespace signet::proxy
