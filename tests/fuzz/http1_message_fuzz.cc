// Any bytes as what a client or a backend sends over HTTP/1.1: heads, bodies and trailers. What is
// accepted must read the same once it is written again, because the next hop reads that.
#include <string>
#include <string_view>

#include "base/check.h"
#include "proxy/http/http1_body.h"
#include "proxy/http/http1_head.h"
#include "proxy/http/http1_writer.h"

namespace signet::proxy {
namespace {

bool SameFields(const Fields& a, const Fields& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i].name != b[i].name || a[i].value != b[i].value) return false;
  return true;
}

void ReadBody(const BodyFraming& framing, std::string_view input) {
  Http1Body whole(framing, {});
  std::string_view rest = input, data;
  std::string taken;
  Http1Body::Step step = whole.Next(&rest, &data);
  for (; step == Http1Body::Step::kData; step = whole.Next(&rest, &data)) taken.append(data);

  // The same in single bytes.
  Http1Body dribble(framing, {});
  std::string held, taken_slowly;
  Http1Body::Step slow = Http1Body::Step::kMore;
  std::size_t at = 0;
  for (;;) {
    std::string_view left = held;
    slow = dribble.Next(&left, &data);
    if (slow == Http1Body::Step::kData) taken_slowly.append(data);
    held.erase(0, held.size() - left.size());
    if (slow == Http1Body::Step::kData) continue;
    if (slow != Http1Body::Step::kMore || at == input.size()) break;
    held.push_back(input[at++]);
  }
  CHECK_TRUE(slow == step);
  if (step != Http1Body::Step::kFault) CHECK_TRUE(taken == taken_slowly);
  if (step == Http1Body::Step::kEnd) CHECK_TRUE(SameFields(whole.trailers(), dribble.trailers()));
}

void ReadRequest(std::string_view input) {
  HeadScanner scanner;
  if (scanner.Scan(input, HttpLimits().head_bytes) != HeadScanner::Found::kHead) return;
  RequestHead head;
  if (ParseRequestHead(input.substr(0, scanner.head_bytes()), {}, &head) != HttpFault::kNone)
    return;
  std::string written;
  WriteRequestHead(head, &written);
  HeadScanner second;
  CHECK_TRUE(second.Scan(written, 2 * HttpLimits().head_bytes) == HeadScanner::Found::kHead);
  CHECK_TRUE(second.head_bytes() == written.size());
  RequestHead again;
  CHECK_TRUE(ParseRequestHead(written, {}, &again) == HttpFault::kNone);
  CHECK_TRUE(again.method == head.method && again.path == head.path);
  CHECK_TRUE(again.authority == head.authority && again.upgrade == head.upgrade);
  CHECK_TRUE(again.body.kind == head.body.kind);
  CHECK_TRUE(again.body.content_length == head.body.content_length);
  CHECK_TRUE(SameFields(again.fields, head.fields));
  ReadBody(head.body, input.substr(scanner.head_bytes()));
}

void ReadResponse(std::string_view input) {
  HeadScanner scanner;
  if (scanner.Scan(input, HttpLimits().head_bytes) != HeadScanner::Found::kHead) return;
  ResponseHead head;
  if (ParseResponseHead(input.substr(0, scanner.head_bytes()), {}, "GET", &head) !=
      HttpFault::kNone)
    return;
  std::string written;
  const bool chunked = head.body.kind == BodyKind::kChunked;
  WriteResponseHead(head, chunked, AfterResponse::kKeepAlive, &written);
  ResponseHead again;
  CHECK_TRUE(ParseResponseHead(written, {}, "GET", &again) == HttpFault::kNone);
  CHECK_TRUE(again.status == head.status && SameFields(again.fields, head.fields));
  CHECK_TRUE(again.body.kind == head.body.kind);
  ReadBody(head.body, input.substr(scanner.head_bytes()));
}

}  // namespace
}  // namespace signet::proxy

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 3) {
    case 0:
      signet::proxy::ReadRequest(text);
      break;
    case 1:
      signet::proxy::ReadResponse(text);
      break;
    default:
      signet::proxy::ReadBody({signet::proxy::BodyKind::kChunked, 0}, text);
  }
  return 0;
}
