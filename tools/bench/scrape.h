// What benches read of a program's /metrics on loopback, and a port for it.
//
// Threads: none.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>

#include <cstdlib>
#include <string>

namespace signet::bench {

// A port that is free now; for programs whose port 0 could not be found out.
inline int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    fmt::print(stderr, "bench: no free port\n");
    std::exit(1);
  }
  close(fd);
  return ntohs(address.sin_port);
}

// A number of /metrics; absent series count 0. Ends this program when nobody answers.
inline double Metric(int port, const std::string& name) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const std::string request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      write(fd, request.data(), request.size()) < 0) {
    fmt::print(stderr, "bench: the metrics at port {} do not answer\n", port);
    std::exit(1);
  }
  std::string text;
  char buffer[65536];
  for (ssize_t got; (got = read(fd, buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<std::size_t>(got));
  close(fd);
  const auto found = text.find("\n" + name + " ");
  return found == text.npos ? 0 : std::stod(text.substr(found + name.size() + 2));
}

}  // namespace signet::bench
