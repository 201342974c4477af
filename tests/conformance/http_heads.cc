// Reads base64 lines, each a request head, and answers each with one line of JSON: what the proxy's
// parser made of it. For http_differential_test.py.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/bytes.h"
#include "proxy/http/http1_head.h"

int main() {
  using namespace signet;
  for (std::string line; std::getline(std::cin, line);) {
    const auto bytes = DecodeBase64(line);
    if (!bytes) return 1;
    const std::string text = ToString(*bytes);
    const proxy::HttpLimits limits;
    proxy::HeadScanner scanner;
    proxy::RequestHead head;
    proxy::HttpFault fault = proxy::HttpFault::kTruncated;
    const auto found = scanner.Scan(text, limits.head_bytes);
    if (found == proxy::HeadScanner::Found::kFault) fault = scanner.fault();
    if (found == proxy::HeadScanner::Found::kHead)
      fault =
          ParseRequestHead(std::string_view(text).substr(0, scanner.head_bytes()), limits, &head);
    nlohmann::json answer = {{"fault", proxy::FaultName(fault)}};
    if (fault == proxy::HttpFault::kNone) {
      const auto latin1 = [](std::string_view bytes_in) { return EncodeHex(AsBytes(bytes_in)); };
      answer["method"] = latin1(head.method);
      answer["path"] = latin1(head.path);
      answer["authority"] = latin1(head.authority);
      answer["chunked"] = head.body.kind == proxy::BodyKind::kChunked;
      answer["length"] = head.body.kind == proxy::BodyKind::kLength
                             ? static_cast<std::int64_t>(head.body.content_length)
                             : -1;
      answer["fields"] = nlohmann::json::array();
      for (std::size_t i = 0; i < head.fields.size(); ++i)
        answer["fields"].push_back({latin1(head.fields[i].name), latin1(head.fields[i].value)});
    }
    std::cout << answer.dump() << "\n";
  }
  return 0;
}
