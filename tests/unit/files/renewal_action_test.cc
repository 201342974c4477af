// Programs that are told of new files: by a command, by a signal.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>

#include "files/renewal_action.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tools.h"

using namespace signet;
using namespace signet::files;
using namespace std::chrono_literals;
using signet::test::TempDir;
using signet::test::WriteText;

TEST_CASE("a command is run without a shell, and judged by how it ends") {
  const TempDir dir;
  const std::string told = dir.File("told");
  RenewalAction action;
  action.command = {"/usr/bin/touch", told + " ; false"};
  CHECK(RunAction(action));
  CHECK(access((told + " ; false").c_str(), F_OK) == 0);
  action.command = {"/bin/false"};
  CHECK(RunAction(action).error().detail == "/bin/false: exit code 1");
  action.command = {"/bin/sh", "-c", "kill -9 $$"};
  CHECK(RunAction(action).error().detail == "/bin/sh: signal 9");
  action.command = {dir.File("none")};
  CHECK(RunAction(action).error().reason == kActionFailed);
  action.command = {"/bin/sh", "-c", "sleep 1000 & sleep 1000"};
  action.timeout = 50ms;
  CHECK(RunAction(action).error().detail.find("not done within") != std::string::npos);
  CHECK(RunAction(RenewalAction()));
}

TEST_CASE("a signal goes to the process of the pid file, and to nobody when that says nothing") {
  const TempDir dir;
  RenewalAction action;
  action.signal = SIGUSR2;
  action.pid_file = dir.File("pid");
  CHECK_FALSE(RunAction(action));
  signet::test::Process sleeper({"/bin/sleep", "1000"}, dir.File("out"));
  WriteText(action.pid_file, std::to_string(sleeper.pid()) + "\n/and/more\n");
  CHECK(RunAction(action));
  const auto end = sleeper.Wait(20s);
  REQUIRE(end);
  CHECK(end->signal == SIGUSR2);
  for (const char* text : {"", "x", "-5", "0", "1", "12 34", "99999999999"}) {
    INFO(text);
    WriteText(action.pid_file, text);
    CHECK_FALSE(RunAction(action));
  }
}

TEST_CASE("an action that cannot be meant is refused before anything is written") {
  CHECK(*ParseSignal("HUP") == SIGHUP);
  CHECK(*ParseSignal("SIGUSR1") == SIGUSR1);
  for (const char* name : {"", "SIG", "KILL", "hup", "1"}) CHECK_FALSE(ParseSignal(name));
  RenewalAction action;
  CHECK(CheckAction(action));
  action.command = {"/usr/sbin/nginx", "-s", "reload"};
  CHECK(CheckAction(action));
  action.signal = SIGHUP;
  CHECK(CheckAction(action).error().reason == kActionUnusable);
  action = {};
  action.command = {"nginx"};
  CHECK(CheckAction(action).error().reason == kActionUnusable);
  action.command.assign(65, "/bin/true");
  CHECK(CheckAction(action).error().reason == kActionUnusable);
}
