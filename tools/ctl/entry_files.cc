#include "tools/ctl/entry_files.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/stable_sort.h"
#include "identity/spiffe/selector.h"
#include "tools/ctl/convert.h"

namespace signet::ctl {
namespace {

namespace types = spire::api::types;
using Fields = std::vector<std::pair<std::string, std::string>>;

constexpr std::size_t kMaxFiles = 10000;
constexpr std::size_t kMaxInputBytes = std::size_t{4} << 20;
constexpr const char* kStandardInput = "standard input";

bool IsYaml(const std::filesystem::path& path) {
  return path.extension() == ".yaml" || path.extension() == ".yml";
}

// "2027-01-31T00:00:00Z" and nothing else. Absent when malformed.
std::optional<std::int64_t> ParseTime(const std::string& text) {
  std::tm time{};
  if (std::sscanf(text.c_str(), "%4d-%2d-%2dT%2d:%2d:%2dZ", &time.tm_year, &time.tm_mon,
                  &time.tm_mday, &time.tm_hour, &time.tm_min, &time.tm_sec) != 6)
    return std::nullopt;
  time.tm_year -= 1900;
  time.tm_mon -= 1;
  const auto seconds = static_cast<std::int64_t>(timegm(&time));
  if (seconds <= 0 || FormatTime(FromUnixSeconds(seconds)) != text) return std::nullopt;
  return seconds;
}

void ReadId(ConfigMap* map, const char* key, const char* example, types::SPIFFEID* id) {
  const std::string text = map->RequiredString(key, fmt::format("{}: {}", key, example));
  if (text.empty()) return;
  if (const Status set = SetId(text, id); !set)
    map->Problem(key, fmt::format("{}: {}", key, set.error().Message()),
                 "such as " + std::string(example));
}

void ReadSelectors(ConfigMap* map, types::Entry* entry) {
  if (!map->Has("selectors"))
    map->Problem("selectors", "'selectors' is missing", "selectors: [unix:uid:1000]");
  for (const ConfigScalar& scalar : map->Scalars("selectors")) {
    const auto selector = identity::Selector::Parse(scalar.text);
    if (!selector) {
      map->ProblemAtLine(scalar.line, fmt::format("selector '{}' is malformed", scalar.text),
                         "type:value, such as unix:uid:1000");
      continue;
    }
    auto* added = entry->add_selectors();
    added->set_type(selector->type);
    added->set_value(selector->value);
  }
}

std::int32_t ReadTtl(ConfigMap* map, const char* key) {
  const Duration ttl =
      map->Duration(key, Duration::zero(), Duration::zero(), std::chrono::seconds(INT32_MAX));
  const auto seconds = std::chrono::floor<std::chrono::seconds>(ttl);
  if (seconds != ttl) map->Problem(key, fmt::format("'{}' is not of whole seconds", key), "1h");
  return static_cast<std::int32_t>(seconds.count());
}

void ReadExpiry(ConfigMap* map, types::Entry* entry) {
  const auto text = map->String("expires_at");
  if (!text) return;
  if (const auto seconds = ParseTime(*text)) {
    entry->set_expires_at(*seconds);
  } else {
    map->Problem("expires_at", fmt::format("'expires_at' is '{}'", *text),
                 "a time in UTC, such as 2027-01-31T00:00:00Z");
  }
}

types::Entry ReadFileEntry(ConfigMap map) {
  types::Entry entry;
  entry.set_id(map.String("id", ""));
  ReadId(&map, "spiffe_id", "spiffe://example.org/web", entry.mutable_spiffe_id());
  ReadId(&map, "parent_id", "spiffe://example.org/node", entry.mutable_parent_id());
  ReadSelectors(&map, &entry);
  entry.set_x509_svid_ttl(ReadTtl(&map, "x509_svid_ttl"));
  entry.set_jwt_svid_ttl(ReadTtl(&map, "jwt_svid_ttl"));
  for (const ConfigScalar& scalar : map.Scalars("federates_with")) {
    const auto domain = identity::TrustDomain::FromNameOrId(scalar.text);
    if (domain) {
      entry.add_federates_with(domain->name());
    } else {
      map.ProblemAtLine(scalar.line, "federates_with: " + domain.error().Message(),
                        "the other trust domain's name, such as other.org");
    }
  }
  for (const ConfigScalar& scalar : map.Scalars("dns_names")) entry.add_dns_names(scalar.text);
  entry.set_hint(map.String("hint", ""));
  entry.set_admin(map.Bool("admin", false));
  entry.set_downstream(map.Bool("downstream", false));
  entry.set_store_svid(map.Bool("store_svid", false));
  ReadExpiry(&map, &entry);
  if (map.Bool("disable_x509_svid_prefetch", false))
    entry.mutable_additional_attributes()->set_disable_x509_svid_prefetch(true);
  if (map.Bool("jwt_svid_include_jti", false))
    entry.mutable_additional_attributes()->set_jwt_svid_include_jti(true);
  map.Finish();
  return entry;
}

void ReadStandardInput(EntryFiles* files) {
  std::string text(kMaxInputBytes + 1, '\0');
  std::cin.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(std::cin.gcount()));
  if (text.size() > kMaxInputBytes) {
    files->problems.Add({kStandardInput, 0, "more than 4 MiB", "give files, or a folder of them"});
    return;
  }
  ParseEntryFile(text, kStandardInput, files);
}

// Paths of the files to read, sorted, so that messages come in one order.
std::vector<std::string> FilesBelow(const std::string& folder, ConfigProblems* problems) {
  std::vector<std::string> found;
  std::error_code error;
  std::filesystem::recursive_directory_iterator at(folder, error);
  for (; !error && at != std::filesystem::recursive_directory_iterator(); at.increment(error)) {
    const bool hidden = at->path().filename().string().starts_with('.');
    const bool is_folder = at->is_directory(error);
    if (hidden && is_folder) at.disable_recursion_pending();
    if (!hidden && !is_folder && IsYaml(at->path())) found.push_back(at->path().string());
  }
  if (error) problems->Add({folder, 0, "cannot be read: " + error.message(), {}});
  if (!error && found.empty())
    problems->Add({folder, 0, "no .yaml file in this folder", "give the folder of the entries"});
  std::ranges::sort(found);
  return found;
}

std::string ExactDuration(std::int32_t seconds) {
  if (seconds == 0) return {};
  if (seconds % 3600 == 0) return fmt::format("{}h", seconds / 3600);
  if (seconds % 60 == 0) return fmt::format("{}m", seconds / 60);
  return fmt::format("{}s", seconds);
}

// A YAML scalar that reads back as this text; JSON's quoting is YAML's.
std::string Scalar(const std::string& text) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("/_.-:").find(c) != std::string_view::npos;
  };
  const bool safe = !text.empty() && std::ranges::all_of(text, plain) && text.front() != '-' &&
                    text.front() != ':' && text.front() != '.' && text.back() != ':' &&
                    text != "null" && text != "Null" && text != "NULL";
  using nlohmann::json;
  return safe ? text : json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

std::vector<std::string> SelectorTexts(const types::Entry& entry) {
  std::vector<std::string> texts;
  for (const auto& selector : entry.selectors())
    texts.push_back(selector.type() + ":" + selector.value());
  std::ranges::sort(texts);
  return texts;
}

std::string EntryAsYaml(const types::Entry& entry) {
  std::string text;
  const auto add = [&](const std::string& name, const std::string& value) {
    text += fmt::format("{}{}: {}\n", text.empty() ? "  - " : "    ", name, value);
  };
  const auto add_list = [&](const std::string& name, const auto& values) {
    if (values.empty()) return;
    text += fmt::format("    {}:\n", name);
    for (const std::string& value : values) text += fmt::format("      - {}\n", Scalar(value));
  };
  if (!entry.id().empty()) add("id", Scalar(entry.id()));
  for (const auto& [name, value] : FieldTexts(entry)) {
    if (name == "selectors") {
      add_list(name, SelectorTexts(entry));
    } else if (name == "federates_with") {
      add_list(name, entry.federates_with());
    } else if (name == "dns_names") {
      add_list(name, entry.dns_names());
    } else if (!value.empty()) {
      add(name, Scalar(value));
    }
  }
  return text;
}

}  // namespace

EntryFiles ReadEntryFiles(const std::vector<std::string>& paths) {
  EntryFiles files;
  std::size_t read = 0;
  const auto load = [&](const std::string& path) {
    if (++read > kMaxFiles) return;
    const auto content = ReadFile(path, kMaxInputBytes);
    if (content) {
      ParseEntryFile(AsText(*content), path, &files);
    } else {
      files.problems.Add({path, 0, content.error().Message(), "give readable files of entries"});
    }
  };
  for (const std::string& path : paths) {
    std::error_code ignored;
    if (path == "-") {
      ReadStandardInput(&files);
    } else if (std::filesystem::is_directory(path, ignored)) {
      for (const std::string& below : FilesBelow(path, &files.problems)) load(below);
    } else {
      load(path);
    }
  }
  if (read > kMaxFiles)
    files.problems.Add({paths.front(), 0, fmt::format("more than {} files", kMaxFiles),
                        "put more entries into each"});
  DropRepeated(&files);
  return files;
}

void ParseEntryFile(std::string_view text, std::string name, EntryFiles* files) {
  ConfigProblems* problems = &files->problems;
  const std::size_t before = problems->all().size();
  ConfigMap root = ConfigMap::Parse(text, std::move(name), problems);
  if (problems->all().size() == before && !root.Has("entries"))
    root.Problem("entries", "'entries' is missing", "a list; entries: [] where there are none");
  for (ConfigMap& map : root.Maps("entries")) {
    const std::size_t faults = problems->all().size();
    const int line = map.line();
    types::Entry entry = ReadFileEntry(std::move(map));
    if (problems->all().size() == faults)
      files->entries.push_back({std::move(entry), root.file(), line});
  }
  root.Finish();
}

void DropRepeated(EntryFiles* files) {
  std::map<std::string, std::string> places;  // what must be there once -> "file:line"
  const auto repeats = [&](const FileEntry& at) {
    const std::string identity =
        fmt::format("{} {} {}", IdText(at.entry.spiffe_id()), IdText(at.entry.parent_id()),
                    fmt::join(SelectorTexts(at.entry), " "));
    const std::string place = fmt::format("{}:{}", at.file, at.line);
    const auto [same, is_new] = places.try_emplace(identity, place);
    if (!is_new) {
      files->problems.Add({at.file, at.line,
                           "the same SPIFFE ID, parent and selectors as " + same->second,
                           "keep one"});
      return true;
    }
    if (at.entry.id().empty()) return false;
    const auto [same_id, is_new_id] = places.try_emplace(at.entry.id(), place);
    if (is_new_id) return false;
    files->problems.Add({at.file, at.line,
                         fmt::format("the id '{}' is that of {}", at.entry.id(), same_id->second),
                         "give it another one"});
    return true;
  };
  std::erase_if(files->entries, repeats);
}

std::string ToEntryFile(std::vector<types::Entry> entries, std::string_view owner) {
  StableSortBy(entries, [](const types::Entry& entry) {
    return std::pair(IdText(entry.spiffe_id()), IdText(entry.parent_id()));
  });
  std::string text = fmt::format("# signet entry apply --owner {} -f FILE\nentries:", owner);
  text += entries.empty() ? " []\n" : "\n";
  for (const types::Entry& entry : entries) text += EntryAsYaml(entry);
  return text;
}

Fields FieldTexts(const types::Entry& entry) {
  const auto flag = [](bool set) { return std::string(set ? "true" : ""); };
  const auto& attributes = entry.additional_attributes();
  return {{"spiffe_id", IdText(entry.spiffe_id())},
          {"parent_id", IdText(entry.parent_id())},
          {"selectors", fmt::format("{}", fmt::join(SelectorTexts(entry), ", "))},
          {"x509_svid_ttl", ExactDuration(entry.x509_svid_ttl())},
          {"jwt_svid_ttl", ExactDuration(entry.jwt_svid_ttl())},
          {"federates_with", fmt::format("{}", fmt::join(entry.federates_with(), ", "))},
          {"dns_names", fmt::format("{}", fmt::join(entry.dns_names(), ", "))},
          {"hint", entry.hint()},
          {"admin", flag(entry.admin())},
          {"downstream", flag(entry.downstream())},
          {"store_svid", flag(entry.store_svid())},
          {"expires_at",
           entry.expires_at() == 0 ? "" : FormatTime(FromUnixSeconds(entry.expires_at()))},
          {"disable_x509_svid_prefetch", flag(attributes.disable_x509_svid_prefetch())},
          {"jwt_svid_include_jti", flag(attributes.jwt_svid_include_jti())}};
}

}  // namespace signet::ctl
