// A file of routes read apart from any proxy: for checking it, for running the test cases in it
// (`route_tests`), and for saying where a request would go. It is a proxy's rules file, or the
// proxy's whole configuration with the rules file it names; only routes and backends are looked at.
//
// Threads: values; a RouteFile is immutable once loaded.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "mesh/routes/traffic.h"

namespace signet::mesh {

struct RouteListener {
  std::string name;  // "outbound/shop"
  Traffic traffic;
  std::string file;
  int line = 0;
};

// A request as it is written down.
struct WrittenRouteRequest {
  std::string method;
  std::string path;
  std::string host;
  std::vector<std::pair<std::string, std::string>> headers;

  // Where `traffic` leads it; kNone where it has no routes. The choice lives as long as `traffic`.
  RouteChoice ChooseBy(const Traffic& traffic) const;
};

// One element of `route_tests`.
struct RouteTest {
  std::string name;
  std::string listener;
  WrittenRouteRequest request;
  RouteVerdict expect = RouteVerdict::kNone;
  std::string rule;                   // that must take it; empty: any
  std::vector<std::string> backends;  // that may get it, in any order; empty: not asked
  std::string file;
  int line = 0;
};

struct RouteFile {
  std::vector<RouteListener> listeners;  // those that have routes or backends
  std::vector<RouteTest> tests;

  // Every problem of `path`, and of the rules file it names, is told.
  static RouteFile Load(const std::string& path, ConfigProblems* problems);
  static RouteFile Parse(std::string_view text, const std::string& name, ConfigProblems* problems);

  // Null: none. "web" stands for "inbound/web"; empty for the only one there is.
  const RouteListener* Find(std::string_view listener) const;
};

// How one test came out; empty: it holds.
std::string RunTest(const RouteTest& test, const RouteFile& file);

// "found", "none", "malformed".
std::string_view RouteVerdictName(RouteVerdict verdict);

// Where a request goes and what is done to it on the way, in sentences.
std::vector<std::string> Explain(const RouteChoice& choice);

}  // namespace signet::mesh
