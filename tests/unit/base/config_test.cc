#include "base/config.h"

#include <catch2/catch.hpp>

#include "base/file.h"
#include "tests/support/temp_dir.h"

namespace signet {
namespace {

using namespace std::chrono_literals;

ConfigMap Parse(std::string_view text, ConfigProblems* problems) {
  return ConfigMap::Parse(text, "a.yaml", problems);
}

// The one problem there is.
ConfigProblem Sole(const ConfigProblems& problems) {
  INFO(problems.Text());
  REQUIRE(problems.all().size() == 1);
  return problems.all().front();
}

TEST_CASE("settings are read with their types, and absent ones take their fallback") {
  ConfigProblems problems;
  ConfigMap root = Parse(
      "listen: 0.0.0.0:8081\nttl: 1h30m\ncount: 7\non: yes\nempty:\n"
      "tls: {cert: a.pem}\nlist: [x, y]\nitems: [{a: 1}, {a: 2}]\n",
      &problems);
  CHECK(root.String("listen", "none") == "0.0.0.0:8081");
  CHECK(root.String("missing", "none") == "none");
  CHECK_FALSE(root.String("empty"));
  CHECK(root.Duration("ttl", 1s, 1s, 24h) == 90min);
  CHECK(root.Int("count", 1, 0, 10) == 7);
  CHECK(root.Bool("on", false));
  CHECK(root.Map("tls")->RequiredString("cert", "a path") == "a.pem");
  CHECK_FALSE(root.Map("other"));
  const auto list = root.Scalars("list");
  REQUIRE(list.size() == 2);
  CHECK(list[1].text == "y");
  CHECK(list[1].line == 7);
  auto items = root.Maps("items");
  REQUIRE(items.size() == 2);
  CHECK(items[1].Int("a", 0, 0, 9) == 2);
  root.Finish();
  CHECK(problems.Text() == "");
}

TEST_CASE("every problem is told with file, line and hint, all at once") {
  ConfigProblems problems;
  ConfigMap root = Parse("ttl: soon\nport: 70000\nstrict: maybe\nlist: x\nmap: [1]\n", &problems);
  CHECK(root.Duration("ttl", 5s, 1s, 1h) == 5s);
  CHECK(root.Int("port", 80, 1, 65535) == 80);
  CHECK(root.Bool("strict", true));
  CHECK(root.Scalars("list").empty());
  CHECK_FALSE(root.Map("map"));
  CHECK(root.RequiredString("name", "write a name").empty());
  REQUIRE(problems.all().size() == 6);
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(problems.all()[i].file == "a.yaml");
    CHECK(problems.all()[i].line == static_cast<int>(i) + 1);
  }
  CHECK_THAT(problems.all()[0].hint, Catch::Contains("1s to 1h"));
  CHECK_THAT(problems.Text(),
             Catch::Contains("a.yaml:2: 'port' is '70000' (a whole number from 1 to 65535)"));
  CHECK_THAT(problems.Text(), Catch::Contains("'name' is missing (write a name)"));
}

TEST_CASE("a setting that nobody asked for is a problem that names the nearest known one") {
  ConfigProblems problems;
  ConfigMap root = Parse("listen: a\nlisten_adress: b\nfrobnicate: c\n", &problems);
  root.String("listen");
  root.String("listen_address");
  root.Finish();
  REQUIRE(problems.all().size() == 2);
  CHECK(problems.all()[0].line == 2);
  CHECK(problems.all()[0].hint == "did you mean 'listen_address'?");
  CHECK(problems.all()[1].hint.empty());
}

TEST_CASE("problems inside maps and lists name the whole path") {
  ConfigProblems problems;
  ConfigMap root = Parse("tls:\n  prot: 1\ninbound:\n  - port: x\n  - 7\n", &problems);
  auto tls = root.Map("tls");
  tls->Finish();
  auto inbound = root.Maps("inbound");
  REQUIRE(inbound.size() == 1);
  inbound[0].Int("port", 0, 0, 9);
  CHECK_THAT(problems.Text(), Catch::Contains("a.yaml:2: unknown setting 'tls.prot'"));
  CHECK_THAT(problems.Text(), Catch::Contains("a.yaml:4: 'inbound[0].port' is 'x'"));
  CHECK_THAT(problems.Text(), Catch::Contains("a.yaml:5: 'inbound[1]' must be a map"));
}

TEST_CASE("a setting that is there twice is a problem at any depth") {
  const auto [text, line] = GENERATE(table<std::string, int>({
      {"a: 1\nb: 2\na: 3\n", 3},
      {"m:\n  a: 1\n  a: 2\n", 3},
      {"l:\n  - a: 1\n    a: 2\n", 3},
  }));
  ConfigProblems problems;
  ConfigMap root = Parse(text, &problems);
  root.Map("m");
  if (root.Has("l")) root.Maps("l");
  const ConfigProblem problem = Sole(problems);
  CHECK(problem.line == line);
  CHECK_THAT(problem.message, Catch::Contains("twice"));
}

TEST_CASE("attack 25: text that is no document ends as a problem, not in a search without end") {
  for (const std::string text :
       {", abor\1 {httpStatus: 503}}\n", ",", "]", "}", "a: 1\n... ,\n", "? ,\n", "[,,]", "- ,"}) {
    INFO(text);
    ConfigProblems problems;
    ConfigMap::Parse(text, "x.yaml", &problems);
    CHECK_FALSE(problems.empty());
  }
}

TEST_CASE("who wrote no second document is not told to remove one") {
  ConfigProblems problems;
  Parse(", a\n", &problems);
  CHECK_THAT(Sole(problems).message, Catch::Contains("not valid YAML"));
}

TEST_CASE("a file of more than one document is a problem, since only the first would count") {
  ConfigProblems problems;
  Parse("a: 1\n---\nb: 2\n", &problems);
  CHECK_THAT(Sole(problems).message, Catch::Contains("document"));
}

TEST_CASE("text that is no YAML or no map is a problem and reads as empty") {
  const auto text =
      GENERATE(as<std::string>(), "a: [1, 2", "a: b: c", "- 1\n- 2\n", "just words", "\"x");
  ConfigProblems problems;
  const ConfigMap root = Parse(text, &problems);
  CHECK(problems.all().size() == 1);
  CHECK_FALSE(root.Has("a"));
}

TEST_CASE("an empty text is an empty map") {
  ConfigProblems problems;
  Parse("", &problems).Finish();
  Parse("# nothing yet\n", &problems).Finish();
  CHECK(problems.empty());
}

TEST_CASE("a file is read by its path, and a missing one is a problem") {
  const test::TempDir folder;
  const std::string path = folder.File("a.yaml");
  REQUIRE(WriteFileAtomically(path, AsBytes("a: 1\n"), 0600));
  ConfigProblems problems;
  CHECK(ConfigMap::Load(path, &problems).Has("a"));
  CHECK(problems.empty());
  ConfigMap::Load(folder.File("b.yaml"), &problems);
  const ConfigProblem problem = Sole(problems);
  CHECK(problem.file == folder.File("b.yaml"));
  CHECK(problem.line == 0);
}

TEST_CASE("durations have units, are whole and never negative") {
  CHECK(ParseDuration("90s") == 90s);
  CHECK(ParseDuration("1h30m") == 90min);
  CHECK(ParseDuration("250ms") == 250ms);
  CHECK(ParseDuration("1m5ms") == 1min + 5ms);
  CHECK(ParseDuration("2d") == 48h);
  CHECK(ParseDuration("0s") == 0s);
  for (const std::string text : {"", "5", "s", "1.5s", "-1s", "+1s", "1 s", "1w", "1s ", "106752d",
                                 "9223372036854775808s"}) {
    INFO(text);
    CHECK_FALSE(ParseDuration(text));
  }
}

}  // namespace
}  // namespace signet
