// HTTP through proxies in this process: a backend that keeps what it received and answers as a test
// says, and a caller that reads answers apart.
#pragma once

#include <condition_variable>
#include <deque>
#include <optional>

#include "proxy/http/http1_body.h"
#include "proxy/http/syntax.h"
#include "tests/unit/proxy/proxy_world.h"

namespace signet::proxy {

inline constexpr const char* kShop = "spiffe://example.org/shop";
inline constexpr const char* kWeb = "spiffe://example.org/web";

// One message as a test compares it: everything but the way it was cut into chunks and packets.
struct Message {
  std::string start_line;
  std::vector<std::string> fields;  // "name: value" with the name in lower case, sorted
  std::string body;
  std::vector<std::string> trailers;
  bool complete = false;  // ended as its framing says

  std::string Field(const std::string& name) const {
    for (const std::string& field : fields)
      if (field.starts_with(name + ": ")) return field.substr(name.size() + 2);
    return {};
  }
  bool Has(const std::string& name) const {
    return std::ranges::any_of(fields, [&](const auto& f) { return f.starts_with(name + ":"); });
  }
  void Drop(const std::string& name) {
    std::erase_if(fields, [&](const auto& f) { return f.starts_with(name + ":"); });
  }
  friend bool operator==(const Message&, const Message&) = default;
};

inline std::string LowerText(std::string text) {
  for (char& c : text) c = LowerAscii(c);
  return text;
}

// Reads messages off a stream with a reader of its own, simple and trusting.
class MessageReader {
 public:
  explicit MessageReader(StreamClient& stream) : stream_(stream) {}

  // `bodyless`: whatever the fields say (HEAD). Absent at the end.
  std::optional<Message> Next(bool bodyless = false) {
    const auto end = Until("\r\n\r\n");
    if (!end) return std::nullopt;
    Message message;
    std::string head = Take(*end + 4);
    bool chunked = false;
    std::optional<std::size_t> length;
    const auto first = head.find("\r\n");
    message.start_line = head.substr(0, first);
    for (std::size_t at = first + 2; at + 2 < head.size();) {
      const auto line_end = head.find("\r\n", at);
      const std::string line = head.substr(at, line_end - at);
      const auto colon = line.find(':');
      auto value = line.substr(colon + 1);
      value.erase(0, value.find_first_not_of(' '));
      const std::string name = LowerText(line.substr(0, colon));
      if (name == "transfer-encoding") chunked = true;
      if (name == "content-length") length = std::stoul(value);
      message.fields.push_back(name + ": " + value);
      at = line_end + 2;
    }
    std::ranges::sort(message.fields);
    const bool request = !message.start_line.starts_with("HTTP/");
    const std::string status = request ? "" : message.start_line.substr(9, 3);
    if (bodyless || status.starts_with("1") || status == "204" || status == "304") {
      message.complete = true;
    } else if (chunked) {
      ReadChunks(&message);
    } else if (length) {
      message.body = Take(*length);
      message.complete = message.body.size() == *length;
    } else if (request) {
      message.complete = true;
    } else {
      message.body = std::exchange(held_, {}) + stream_.ReceiveToEnd();
      message.complete = stream_.end() == StreamEnd::kOrderly;
    }
    return message;
  }
  // Bytes as they come, those that were read already first.
  std::string Raw(std::size_t count) { return Take(count); }
  // True when nothing more comes and the end was an orderly one.
  bool AtOrderlyEnd() {
    return held_.empty() && stream_.ReceiveToEnd().empty() && stream_.end() == StreamEnd::kOrderly;
  }

 private:
  void ReadChunks(Message* message) {
    for (;;) {
      const auto end = Until("\r\n");
      if (!end) return;
      const std::size_t size = std::stoul(Take(*end + 2), nullptr, 16);
      if (size == 0) break;
      const std::string chunk = Take(size);
      message->body += chunk;
      if (chunk.size() < size || Take(2) != "\r\n") return;
    }
    for (;;) {
      const auto end = Until("\r\n");
      if (!end) return;
      const std::string line = Take(*end + 2);
      if (line == "\r\n") break;
      message->trailers.push_back(line.substr(0, line.size() - 2));
    }
    message->complete = true;
  }
  std::optional<std::size_t> Until(const std::string& mark) {
    for (;;) {
      if (const auto at = held_.find(mark); at != std::string::npos) return at;
      const std::string more = stream_.ReceiveSome(65536);
      if (more.empty()) return std::nullopt;
      held_ += more;
    }
  }
  std::string Take(std::size_t count) {
    while (held_.size() < count) {
      const std::string more = stream_.ReceiveSome(65536);
      if (more.empty()) break;
      held_ += more;
    }
    std::string taken = held_.substr(0, count);
    held_.erase(0, count);
    return taken;
  }

  StreamClient& stream_;
  std::string held_;
};

// Keeps each request and answers it by `answer`, bytes as they are. An empty answer closes.
class ScriptedBackend {
 public:
  using Answer = std::function<std::string(const Message& request)>;
  explicit ScriptedBackend(Answer answer)
      : answer_(std::move(answer)), backend_([this](StreamClient& stream) { Serve(stream); }) {}
  explicit ScriptedBackend(std::string answer)
      : ScriptedBackend([answer](const Message&) { return answer; }) {}

  const net::SocketAddress& address() const { return backend_.address(); }
  std::uint64_t accepted() const { return backend_.accepted(); }
  std::vector<Message> requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void Serve(StreamClient& stream) {
    MessageReader reader(stream);
    while (const auto request = reader.Next()) {
      {
        const std::lock_guard lock(mutex_);
        requests_.push_back(*request);
      }
      const std::string answer = answer_(*request);
      if (!stream.Send(answer)) return;
      const bool until_end = answer.find("ontent-") == std::string::npos &&
                             answer.find("chunked") == std::string::npos &&
                             !answer.starts_with("HTTP/1.1 204") &&
                             !answer.starts_with("HTTP/1.1 304");
      if (answer.empty() || until_end || answer.find("onnection: close") != std::string::npos) {
        stream.CloseWrite();
        return;
      }
    }
  }

  const Answer answer_;
  std::mutex mutex_;
  std::vector<Message> requests_;
  TestBackend backend_;
};

inline std::string HttpInboundYaml(const net::SocketAddress& backend, const std::string& allow,
                                   const std::string& listener = "", const std::string& more = "") {
  return fmt::format(
      "inbound: [{{name: web, listen: '127.0.0.1:0', forward: '{}', protocol: http, allow: [{}] "
      "{}}}]\n{}",
      backend.ToString(), allow, listener.empty() ? "" : ", " + listener, more);
}
inline std::string HttpOutboundYaml(const net::SocketAddress& peer, const std::string& more = "") {
  return fmt::format(
      "outbound: [{{name: out, listen: '127.0.0.1:0', forward: '{}', protocol: http, expect: "
      "[{{id: '{}'}}]}}]\n{}",
      peer.ToString(), kWeb, more);
}

// plain caller -> outbound -> mutual TLS -> inbound -> plain backend.
struct HttpPair {
  explicit HttpPair(const net::SocketAddress& backend, const std::string& listener = "",
                    const std::string& more = "")
      : inbound(HttpInboundYaml(backend, "{id: 'spiffe://example.org/*'}", listener, more)),
        outbound(
            HttpOutboundYaml(*inbound.proxy->ListenAddress(Direction::kInbound, "web"), more)) {
    inbound.Become(kWeb);
    outbound.proxy->OnIdentity(
        MakeIdentity(1, kShop, inbound.root.Issue(kShop), {inbound.root.certificate()}));
  }
  net::SocketAddress address() const {
    return *outbound.proxy->ListenAddress(Direction::kOutbound, "out");
  }
  StreamClient Call() { return StreamClient::Connect(address()); }

  World inbound;
  World outbound;
};

}  // namespace signet::proxy
