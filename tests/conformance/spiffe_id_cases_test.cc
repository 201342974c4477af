#include <catch2/catch.hpp>

#include "identity/spiffe/spiffe_id.h"
#include "tests/conformance/case_file.h"

namespace signet::identity {
namespace {

using nlohmann::json;
using test::CaseFile;
using test::RowAnswer;

RowAnswer Refused(const Error& error) { return {false, error.Message(), ""}; }

// The member as text when the row states it.
void Compare(const json& row, const char* member, const std::string& ours, RowAnswer* answer) {
  if (row.contains(member) && row[member].is_string() && row[member] != ours)
    answer->difference += std::string(member) + " is " + ours + "; ";
}

RowAnswer RunId(const json& row) {
  const std::string input = row.at("input").get<std::string>();
  const auto id = SpiffeId::Parse(input);
  if (!id) return Refused(id.error());
  RowAnswer answer{true, "", ""};
  Compare(row, "trust_domain", id->trust_domain().name(), &answer);
  Compare(row, "path", id->path(), &answer);
  if (id->ToString() != input) answer.difference += "prints as " + id->ToString();
  return answer;
}

RowAnswer RunTrustDomain(const json& row) {
  const std::string input = row.at("input").get<std::string>();
  const auto name = TrustDomain::Parse(input);
  const auto either = TrustDomain::FromNameOrId(input);
  if (!either) return Refused(either.error());
  RowAnswer answer{true, "", ""};
  const bool is_name = row.at("verdict") != "accept-as-id-form";
  if (name.has_value() != is_name) answer.difference = "the name form is taken or refused wrongly";
  return answer;
}

RowAnswer RunSegments(const json& row) {
  const auto segments = row.at("segments").get<std::vector<std::string>>();
  const auto id = SpiffeId::FromSegments(TrustDomain::Parse("example.org").value(), segments);
  if (!id) return Refused(id.error());
  RowAnswer answer{true, "", ""};
  Compare(row, "path", id->path(), &answer);
  return answer;
}

RowAnswer RunMatcher(const json& row) {
  const std::string text = row.at("matcher").get<std::string>();
  const std::string kind = text.substr(0, text.find(' '));
  const std::string argument = text.substr(kind.size() + 1);
  const SpiffeId id = SpiffeId::Parse(row.at("id").get<std::string>()).value();
  if (kind == "exact") return {SpiffeIdPattern::Parse(argument).value().Matches(id), "", ""};
  if (kind == "memberOf") return {id.IsMemberOf(TrustDomain::Parse(argument).value()), "", ""};
  if (kind == "pathPrefix")
    return {SpiffeIdPattern::Parse(argument + "/*").value().Matches(id), "", ""};
  return {false, "", "unknown matcher " + kind};
}

std::string Utf8(unsigned code_point) {
  if (code_point < 0x80) return std::string(1, static_cast<char>(code_point));
  return {static_cast<char>(0xC0 | (code_point >> 6)),
          static_cast<char>(0x80 | (code_point & 0x3F))};
}

// "a-z 0-9 . - _": ranges and single characters.
bool IsListed(const std::string& list, unsigned code_point) {
  std::istringstream words(list);
  for (std::string word; words >> word;) {
    const auto first = static_cast<unsigned char>(word.front());
    const auto last = static_cast<unsigned char>(word.size() == 3 ? word.back() : word.front());
    REQUIRE((word.size() == 1 || (word.size() == 3 && word[1] == '-')));
    if (code_point >= first && code_point <= last) return true;
  }
  return false;
}

void RunSweep(const json& sweep) {
  const auto text = sweep.at("template").get<std::string>();
  const std::size_t hole = text.find("{c}");
  REQUIRE(hole != std::string::npos);
  for (unsigned c = 0; c < 256; ++c) {
    if (c == '/') continue;
    const std::string id = text.substr(0, hole) + Utf8(c) + text.substr(hole + 3);
    INFO(text << " with code point " << c);
    CHECK(SpiffeId::Parse(id).has_value() == IsListed(sweep.at("accept").get<std::string>(), c));
  }
}

TEST_CASE("every SPIFFE ID case is answered as its row says") {
  CaseFile cases("spiffe_id_cases");
  const auto member = [](const char* name) {
    return [name](const json& row) {
      std::string text = row.at(name).is_string() ? row[name].get<std::string>() : row[name].dump();
      if (text.size() > 200)
        text = text.substr(0, 40) + " of " + std::to_string(text.size()) + " bytes";
      return text;
    };
  };
  cases.RunSection("ids", member("input"), RunId);
  cases.RunSection("trust_domains", member("input"), RunTrustDomain);
  cases.RunSection("segments", member("segments"), RunSegments);
  cases.RunSection(
      "matchers",
      [](const json& row) {
        return row.at("matcher").get<std::string>() + " over " + row.at("id").get<std::string>();
      },
      RunMatcher);
  cases.Finish();
}

TEST_CASE(
    "attack 29: every byte at the end of a name or a path segment is answered as the sweep says") {
  const CaseFile cases("spiffe_id_cases");
  const json& sweep = cases.document().at("sweep");
  std::size_t templates = 0;
  for (const auto& [part, rule] : sweep.items()) {
    if (!rule.is_object()) continue;
    RunSweep(rule);
    ++templates;
  }
  CHECK(templates == 2);
}

}  // namespace
}  // namespace signet::identity
