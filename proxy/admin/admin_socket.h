// A proxy at work, for its operator: the configuration, connections and requests in progress,
// figures by peer, and records as they happen, as JSON over HTTP on a Unix socket. It answers this
// process's own user and root, by the kernel's word, and changes nothing.
//
//   GET /config  /connections  /series  /tap (the number to begin with)  /tap/NUMBER
//
// Threads: a thread of its own.
#pragma once

#include <memory>
#include <string>

#include "net/http_server.h"
#include "proxy/proxy.h"

namespace signet::proxy {

class AdminSocket {
 public:
  // `path`: made with mode 0600. All outlive this. Fails with net::kListenFailed.
  static Result<std::unique_ptr<AdminSocket>> Start(const std::string& path, Proxy& proxy,
                                                    const Clock& clock);
  // Takes the socket's file away.
  ~AdminSocket();

 private:
  AdminSocket(std::string path, Proxy& proxy) : path_(std::move(path)), proxy_(proxy) {}
  net::HttpResponse Answer(net::HeadStatus status, const net::HttpRequest& request) const;

  const std::string path_;
  Proxy& proxy_;
  std::unique_ptr<net::HttpServer> server_;
};

}  // namespace signet::proxy
