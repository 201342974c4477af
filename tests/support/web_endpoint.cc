#include "tests/support/web_endpoint.h"

#include <netinet/in.h>

#include "base/check.h"
#include "net/web_identity.h"

namespace signet::test {
namespace {

std::shared_ptr<const net::TlsContext> ContextOf(const CertifiedKey& identity) {
  auto context = net::TlsContext::Create(net::DocumentServerOptions(),
                                         net::TlsIdentity{identity.chain, identity.key}, nullptr);
  CHECK_TRUE(context.has_value());
  return *std::move(context);
}

}  // namespace

WebEndpoint::WebEndpoint(const CertifiedKey& identity)
    : backend_([this](StreamClient& stream) { Serve(stream); }, ContextOf(identity)) {}

void WebEndpoint::Answer(std::string response) {
  const std::lock_guard lock(mutex_);
  response_ = std::move(response);
  etag_.clear();
}

void WebEndpoint::Publish(const std::string& body, const std::string& etag) {
  const std::lock_guard lock(mutex_);
  response_ = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
              (etag.empty() ? "" : "ETag: " + etag + "\r\n") + "\r\n" + body;
  etag_ = etag;
}

std::string WebEndpoint::Url(const std::string& host, const std::string& path) const {
  const auto& v4 = reinterpret_cast<const sockaddr_in&>(backend_.address().storage);
  return "https://" + host + ":" + std::to_string(ntohs(v4.sin_port)) + path;
}

std::string WebEndpoint::LastRequest() const {
  const std::lock_guard lock(mutex_);
  return last_request_;
}

void WebEndpoint::Serve(StreamClient& stream) {
  std::string request;
  while (request.find("\r\n\r\n") == request.npos) {
    const std::string more = stream.ReceiveSome(4096);
    if (more.empty()) return;
    request += more;
  }
  std::string response;
  {
    const std::lock_guard lock(mutex_);
    last_request_ = request;
    const bool held =
        !etag_.empty() && request.find("If-None-Match: " + etag_ + "\r\n") != request.npos;
    response = held ? "HTTP/1.1 304 Not Modified\r\nETag: " + etag_ + "\r\n\r\n" : response_;
  }
  stream.Send(response);
  stream.CloseWrite();
}

}  // namespace signet::test
