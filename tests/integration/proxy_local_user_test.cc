// What another user of the host, and another process of the proxy's own user, can get at: the proxy
// runs as a user of its own, as the systemd unit runs it. Without root there is no second user to
// be, and only the proxy's own is tried.

#include <fcntl.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "tests/support/proxy_process.h"

namespace signet::test {
namespace {

constexpr const char* kWeb = "spiffe://example.org/web";
constexpr uid_t kProxyUser = 64'321, kOtherUser = 64'322;

// What a process of `user` gets for its attempt: 0 or errno. `attempt` must be fit for a child of a
// program with threads.
template <class Attempt>
int AsUser(uid_t user, Attempt attempt) {
  const pid_t child = ::fork();
  if (child == 0) {
    constexpr int kNotThatUser = 255;
    if (::geteuid() != user &&
        (::setgroups(0, nullptr) != 0 || ::setgid(user) != 0 || ::setuid(user) != 0))
      ::_exit(kNotThatUser);
    ::_exit(attempt() ? 0 : errno);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

int Opens(uid_t user, const std::string& path) {
  return AsUser(user, [&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC) >= 0; });
}

int Connects(uid_t user, const std::string& path) {
  const net::SocketAddress address = (*net::Address::Parse("unix:" + path)->Resolve()).front();
  return AsUser(user, [&] {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return ::connect(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.length) == 0;
  });
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Half of the private number of an EC key is as bad as the whole: the first OCTET STRING of 32
// bytes in its PKCS#8.
std::string TraceOf(const ca::PrivateKey& key) {
  const auto pkcs8 = key.ToPkcs8();
  const std::string_view text = AsText(pkcs8.view());
  const auto at = text.find("\x04\x20");
  REQUIRE(at != std::string_view::npos);
  return std::string(text.substr(at + 2, 16));
}

// A proxy of a user of its own with an identity, its files in folders that user may use.
struct LocalProxy {
  LocalProxy() {
    const std::string run = proxy.directory.File("run"), copy = proxy.directory.File("program");
    std::filesystem::create_directory(run);
    std::filesystem::copy_file(SIGNET_BIN "/signet-proxy", copy);
    proxy.Configure("outbound: [{name: out, listen: 'unix:" + run +
                    "/out.sock', forward: '127.0.0.1:1', expect: [{id: '" + kWeb +
                    "'}]}]\nadmin: " + run + "/admin.sock\naccess_log: {path: " + run +
                    "/access.json}\nlog: {level: trace}");
    std::vector<std::string> arguments = {copy, "run", "--config", proxy.config()};
    if (::geteuid() == 0) {
      const std::string id = std::to_string(kProxyUser);
      ::chmod(std::filesystem::path(run).parent_path().c_str(), 0755);
      for (const std::string& own : {run, proxy.config()})
        REQUIRE(::chown(own.c_str(), kProxyUser, kProxyUser) == 0);
      ::chmod(copy.c_str(), 0755);
      ::chmod(proxy.directory.File("api.sock").c_str(), 0777);
      arguments.insert(arguments.begin(),
                       {"/usr/bin/setpriv", "--reuid=" + id, "--regid=" + id, "--clear-groups"});
      user = kProxyUser;
    }
    proxy.api.Answer({kWeb, svid, {root.certificate()}, {}});
    proxy.process = std::make_unique<Process>(arguments, proxy.directory.File("log"));
    INFO(proxy.process->Output());
    REQUIRE(Eventually(
        [&] { return proxy.process->Output().find("valid_until=") != std::string::npos; }));
  }
  std::string Proc(const std::string& file) const {
    return "/proc/" + std::to_string(proxy.process->pid()) + "/" + file;
  }
  std::string Run(const std::string& file) const { return proxy.directory.File("run/" + file); }

  TestAuthority root{"spiffe://example.org"};
  CertifiedKey svid = root.Issue(kWeb);
  uid_t user = ::geteuid();
  ProxyProcess proxy{root};
};

TEST_CASE(
    "attack 48: the proxy's memory is nobody's to read, not even its own user's, and no core's") {
  const LocalProxy local;
  const char* const files[] = {"mem", "maps", "environ"};
  for (const char* file : files) {
    INFO(file);
    CHECK(Opens(local.user, local.Proc(file)) == EACCES);
    if (::geteuid() == 0) CHECK(Opens(kOtherUser, local.Proc(file)) == EACCES);
  }
  std::string limit;
  std::istringstream limits(ReadAll(local.Proc("limits")));
  while (std::getline(limits, limit) && !limit.starts_with("Max core file size")) continue;
  CHECK(limit.find(" 0 ") != std::string::npos);
  // The attempt can succeed: a program of that user which is not hardened is open to it.
  std::vector<std::string> sleeper = {"/bin/sleep", "60"};
  if (::geteuid() == 0)
    sleeper.insert(sleeper.begin(), {"/usr/bin/setpriv", "--reuid=" + std::to_string(local.user),
                                     "--regid=" + std::to_string(local.user), "--clear-groups"});
  const Process open(sleeper, local.proxy.directory.File("sleeper"));
  const std::string environ = "/proc/" + std::to_string(open.pid()) + "/environ";
  CHECK(Eventually([&] { return Opens(local.user, environ) == 0; }));
}

TEST_CASE("attack 48: no file of the proxy's holds its private key") {
  const LocalProxy local;
  const std::string trace = TraceOf(*local.svid.key);
  std::size_t searched = 0;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(local.proxy.directory.File(""))) {
    if (!entry.is_regular_file()) continue;
    INFO(entry.path().string());
    const std::string text = ReadAll(entry.path());
    CHECK(text.find(trace) == std::string::npos);
    CHECK(text.find("PRIVATE KEY") == std::string::npos);
    searched += text.size();
  }
  CHECK(searched > 1000);  // the program among them, and its log
  CHECK(ReadAll(local.Proc("cmdline")).find(trace) == std::string::npos);
}

TEST_CASE(
    "attack 48: what lends the proxy's identity, or shows what it does, is not another user's") {
  const LocalProxy local;
  struct stat out{}, admin{};
  REQUIRE(::stat(local.Run("out.sock").c_str(), &out) == 0);
  REQUIRE(::stat(local.Run("admin.sock").c_str(), &admin) == 0);
  CHECK((out.st_mode & 0777) == 0660);
  CHECK((admin.st_mode & 0777) == 0600);
  CHECK(Connects(local.user, local.Run("out.sock")) == 0);
  CHECK(Connects(local.user, local.Run("admin.sock")) == 0);
  if (::geteuid() != 0) return;
  CHECK(Connects(kOtherUser, local.Run("out.sock")) == EACCES);
  CHECK(Connects(kOtherUser, local.Run("admin.sock")) == EACCES);
  struct stat log{};
  REQUIRE(::stat(local.Run("access.json").c_str(), &log) == 0);
  CHECK((log.st_mode & 0007) == 0);
}

}  // namespace
}  // namespace signet::test
