// signet-proxy exec: a proxy and an application that begin and end together.

#include <sys/prctl.h>
#include <sys/wait.h>

#include <filesystem>

#include "tests/support/proxy_process.h"

namespace signet {
namespace {

using namespace std::chrono_literals;
using test::Eventually;
using test::ProxyProcess;
using test::StreamClient;
using test::Talks;
using test::TestAuthority;
using test::TestBackend;

constexpr const char* kShop = "spiffe://example.org/shop";
constexpr const char* kWeb = "spiffe://example.org/web";

// A proxy that runs a shell script, in which $D is a folder for signs of what happened.
struct Accompanied {
  explicit Accompanied(const std::string& script, std::vector<std::string> options = {}) {
    std::vector<std::string> after = std::move(options);
    for (const std::string& each : {std::string("--"), std::string("/bin/sh"), std::string("-c"),
                                    "D='" + proxy.directory.path() + "'; " + script})
      after.push_back(each);
    proxy.Start("inbound: [{name: web, listen: '127.0.0.1:0', forward: '" +
                    backend.address().ToString() + "', allow: [{id: '" + kShop + "'}]}]\n",
                {}, "exec", after);
  }
  bool Shows(const std::string& sign) const {
    return Eventually([&] { return std::filesystem::exists(proxy.directory.File(sign)); });
  }
  void Show(const std::string& sign) const {
    REQUIRE(WriteFileAtomically(proxy.directory.File(sign), {}, 0600));
  }
  int ExitCode() {
    const auto end = proxy.process->Wait(20s);
    REQUIRE(end);
    return end->code;
  }

  const TestAuthority root{"spiffe://example.org"};
  TestBackend backend{TestBackend::Echo};
  ProxyProcess proxy{root};
};

TEST_CASE("an application begins when the proxy serves, and its exit code is the proxy's") {
  Accompanied both("touch $D/begun; exit 7");
  CHECK(both.proxy.BecomesUnready());
  CHECK_FALSE(std::filesystem::exists(both.proxy.directory.File("begun")));
  both.proxy.Become(kWeb);
  CHECK(both.Shows("begun"));
  CHECK(both.ExitCode() == 7);
}

TEST_CASE("signals go to the application, and the proxy serves until that has ended") {
  Accompanied both(
      "trap 'touch $D/told; while [ ! -e $D/go ]; do sleep 0.02; done; exit 3' TERM; "
      "trap 'touch $D/hup' HUP; trap 'touch $D/usr2' USR2; touch $D/begun; "
      "while :; do sleep 0.02; done");
  both.proxy.Become(kWeb);
  REQUIRE(both.Shows("begun"));
  both.proxy.process->Signal(SIGHUP);
  CHECK(both.Shows("hup"));
  both.proxy.process->Signal(SIGUSR2);
  CHECK(both.Shows("usr2"));
  both.proxy.process->Signal(SIGTERM);
  REQUIRE(both.Shows("told"));
  StreamClient caller = both.proxy.CallAs(kShop);
  CHECK(Talks(caller));
  caller.CloseWrite();
  CHECK(caller.WaitForEnd());
  both.Show("go");
  CHECK(both.ExitCode() == 3);
}

TEST_CASE("an application that is killed ends the proxy with the signal's code") {
  Accompanied both("kill -9 $$");
  both.proxy.Become(kWeb);
  CHECK(both.ExitCode() == 128 + SIGKILL);
}

TEST_CASE("a proxy that is killed takes its application with it") {
  REQUIRE(::prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
  Accompanied both("echo $$ > $D/pid.new; mv $D/pid.new $D/pid; exec sleep 1000");
  both.proxy.Become(kWeb);
  REQUIRE(both.Shows("pid"));
  const auto text = ReadFile(both.proxy.directory.File("pid"), 100);
  REQUIRE(text);
  const pid_t application = std::stoi(ToString(*text));
  both.proxy.process->Kill();
  int status = 0;
  CHECK(Eventually([&] { return ::waitpid(application, &status, WNOHANG) == application; }));
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGTERM);
}

TEST_CASE("without an identity in time the application is not begun, and why is said") {
  Accompanied both("touch $D/begun", {"--ready-within", "1"});
  CHECK(both.ExitCode() == 1);
  CHECK_FALSE(std::filesystem::exists(both.proxy.directory.File("begun")));
  CHECK(both.proxy.process->Output().find("no identity") != std::string::npos);
}

TEST_CASE("a proxy that is asked to end before its application begins ends without it") {
  Accompanied both("touch $D/begun");
  both.proxy.process->Signal(SIGTERM);
  CHECK(both.ExitCode() == 128 + SIGTERM);
  CHECK_FALSE(std::filesystem::exists(both.proxy.directory.File("begun")));
}

TEST_CASE("a program that is not there is 127, as a shell says") {
  const TestAuthority root("spiffe://example.org");
  TestBackend backend(TestBackend::Echo);
  ProxyProcess proxy(root);
  proxy.Become(kWeb);
  proxy.Start("inbound: [{name: web, listen: '127.0.0.1:0', forward: '" +
                  backend.address().ToString() + "', allow: []}]\n",
              {}, "exec", {"--", "signet-no-such-program"});
  const auto end = proxy.process->Wait(20s);
  REQUIRE(end);
  CHECK(end->code == 127);
}

}  // namespace
}  // namespace signet
