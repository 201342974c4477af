#include "proxy/telemetry/access_log.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/support/temp_dir.h"

namespace signet::proxy {
namespace {

using nlohmann::json;

Record Logged(std::string_view path) {
  Record record;
  record.figures.logged = true;
  record.listener = "web";
  record.path = path;
  return record;
}

std::string TextOf(const std::string& path) {
  const auto read = ReadFile(path, 1 << 20);
  return read ? ToString(*read) : std::string();
}

std::uint64_t CountOf(const AccessLog& log, std::string_view name) {
  for (const RecordSink::Count& count : log.counts())
    if (count.name == name) return count.value;
  FAIL("no such count");
  return 0;
}

}  // namespace

TEST_CASE("a record is one line of JSON, and says nothing of what it does not have") {
  Record record = Logged("/items");
  record.figures.ended = FromUnixSeconds(1'800'000'000) + std::chrono::milliseconds(7);
  record.figures.status = 200;
  record.figures.received = 12;
  record.figures.sent = 34;
  record.figures.duration = std::chrono::microseconds(1500);
  record.figures.trace.trace.fill(0xab);
  record.caller = "spiffe://example.org/shop";
  record.end = "answered";
  const std::string line = AccessLogLine(record);
  CHECK(line.ends_with("}\n"));
  CHECK(json::parse(line) == json{{"time", "2027-01-15T08:00:00.007Z"},
                                  {"kind", "request"},
                                  {"direction", "inbound"},
                                  {"listener", "web"},
                                  {"caller", "spiffe://example.org/shop"},
                                  {"path", "/items"},
                                  {"status", 200},
                                  {"end", "answered"},
                                  {"received", 12},
                                  {"sent", 34},
                                  {"seconds", 0.0015},
                                  {"trace_id", "abababababababababababababababab"},
                                  {"sampled", false}});
}

TEST_CASE("attack 46: nothing a caller sends breaks a line or forges one") {
  const auto nasty =
      GENERATE(std::string("\"},{\"kind\":\"request"), std::string("a\nb\r\n{}"),
               std::string("\x1b[31m"), std::string("\xff\xfe\x80"), std::string("a\0b", 3),
               std::string("\xe2\x80\xae"), std::string("\\"));
  Record record = Logged(nasty);
  record.host = nasty;
  record.detail = nasty;
  record.method = nasty;
  const std::string line = AccessLogLine(record);
  CHECK(std::ranges::count(line, '\n') == 1);
  CHECK(line.find('\x1b') == std::string::npos);
  const json read = json::parse(line);  // throws unless it is JSON in UTF-8
  CHECK(read["kind"] == "request");
  CHECK(read["listener"] == "web");
}

TEST_CASE("a file that was moved away is left alone: the next line goes to a new one") {
  const test::TempDir directory;
  const std::string path = directory.File("access.json");
  auto log = *AccessLog::Open(path);
  log->Take(Logged("/first"));
  log->Flush();
  std::filesystem::rename(path, path + ".1");
  log->Take(Logged("/second"));
  log->Flush();
  log->Reopen();
  log->Take(Logged("/third"));
  Record unlogged = Logged("/never");
  unlogged.figures.logged = false;
  log->Take(unlogged);
  log->Flush();
  CHECK(TextOf(path + ".1").find("/second") != std::string::npos);
  const std::string text = TextOf(path);
  CHECK(std::ranges::count(text, '\n') == 1);
  CHECK(text.find("/third") != std::string::npos);
  CHECK(CountOf(*log, "signet_proxy_access_log_lines") == 3);
  CHECK((std::filesystem::status(path).permissions() & std::filesystem::perms::others_all) ==
        std::filesystem::perms::none);
}

TEST_CASE("attack 40: what a full disk does not take is counted as lost") {
  auto log = *AccessLog::Open("/dev/full");
  log->Take(Logged("/first"));
  log->Take(Logged("/second"));
  log->Flush();
  CHECK(CountOf(*log, "signet_proxy_access_log_lost") == 2);
  CHECK(CountOf(*log, "signet_proxy_access_log_lines") == 0);
}

TEST_CASE("a log that cannot be opened says so") {
  const auto opened = AccessLog::Open("/nonexistent/access.json");
  REQUIRE_FALSE(opened);
  CHECK(opened.error().reason == kAccessLogUnusable);
  CHECK(opened.error().detail.find("/nonexistent/access.json") != std::string::npos);
}

}  // namespace signet::proxy
