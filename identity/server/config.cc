#include "identity/server/config.h"

#include <fmt/ranges.h>
#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "ca/authority/authority_slots.h"
#include "ca/x509/subject_key.h"

namespace signet::identity {
namespace {

using std::chrono::duration_cast;
using std::chrono::hours;
using std::chrono::seconds;

constexpr std::size_t kMaxSocketPathBytes = 107;
constexpr auto kLongest = hours(10 * 365 * 24);

seconds Seconds(ConfigMap& map, std::string_view key, Duration fallback, Duration min) {
  return duration_cast<seconds>(map.Duration(key, fallback, min, kLongest));
}

ca::KeyType KeyTypeOf(ConfigMap& map, std::string_view key, ca::KeyType fallback) {
  const auto text = map.String(key);
  if (!text) return fallback;
  auto type = ca::ParseKeyType(*text);
  if (type) return *type;
  map.Problem(key, "unknown key type \"" + *text + "\"",
              "use ec-p256, ec-p384, rsa-2048 or rsa-4096");
  return fallback;
}

net::Address AddressOf(ConfigMap& map, std::string_view key, std::string_view text,
                       std::string_view hint) {
  auto address = net::Address::Parse(text);
  if (address && !address->is_unix) return *address;
  map.Problem(
      key, address ? "not a TCP address: \"" + std::string(text) + "\"" : address.error().Message(),
      std::string(hint));
  return {};
}

// A user or group by number or by name; -1 when absent.
int AccountOf(ConfigMap& map, std::string_view key, bool group) {
  const auto text = map.String(key);
  if (!text) return -1;
  int number = -1;
  const char* end = text->data() + text->size();
  if (auto [at, error] = std::from_chars(text->data(), end, number);
      error == std::errc() && at == end && number >= 0) {
    return number;
  }
  std::array<char, 16 * 1024> buffer{};
  if (group) {
    struct ::group entry{};
    struct ::group* found = nullptr;
    if (getgrnam_r(text->c_str(), &entry, buffer.data(), buffer.size(), &found) == 0 && found)
      return static_cast<int>(found->gr_gid);
  } else {
    passwd entry{};
    passwd* found = nullptr;
    if (getpwnam_r(text->c_str(), &entry, buffer.data(), buffer.size(), &found) == 0 && found)
      return static_cast<int>(found->pw_uid);
  }
  map.Problem(key, std::string(group ? "no such group" : "no such user") + ": \"" + *text + "\"",
              "give a name of this machine, or a number");
  return -1;
}

mode_t ModeOf(ConfigMap& map, std::string_view key, mode_t fallback) {
  const auto text = map.String(key);
  if (!text) return fallback;
  unsigned mode = 0;
  const char* end = text->data() + text->size();
  auto [at, error] = std::from_chars(text->data(), end, mode, 8);
  if (error == std::errc() && at == end && mode <= 0777) return static_cast<mode_t>(mode);
  map.Problem(key, "not an octal file mode: \"" + *text + "\"", "for example \"0770\"");
  return fallback;
}

AdminSocketConfig ReadAdminSocket(ConfigMap& root, const std::string& data_dir) {
  AdminSocketConfig admin;
  admin.path = root.String("admin_socket", data_dir + "/admin.sock");
  if (admin.path.starts_with("unix:")) admin.path.erase(0, 5);
  if (admin.path.empty() || admin.path.front() != '/') {
    root.Problem("admin_socket", "the path of the admin socket must be absolute",
                 "for example /run/signet/admin.sock");
  } else if (admin.path.size() > kMaxSocketPathBytes) {
    root.Problem("admin_socket",
                 "the path of the admin socket has " + std::to_string(admin.path.size()) +
                     " bytes; the kernel takes at most 107",
                 "set admin_socket to a shorter path");
  }
  if (auto map = root.Map("admin")) {
    admin.mode = ModeOf(*map, "mode", admin.mode);
    admin.owner = AccountOf(*map, "owner", false);
    admin.group = AccountOf(*map, "group", true);
    map->Finish();
  }
  return admin;
}

std::vector<std::string> ReadCsrKeyTypes(ConfigMap& root) {
  constexpr std::string_view kKey = "csr_key_types";
  const auto known = ca::SubjectKeyNames();
  std::vector<std::string> types;
  for (const ConfigScalar& value : root.Scalars(kKey)) {
    if (std::ranges::find(known, value.text) == known.end()) {
      root.ProblemAtLine(value.line, "unknown key type \"" + value.text + "\"",
                         fmt::format("some of {}", fmt::join(known, ", ")));
    }
    types.push_back(value.text);
  }
  if (root.Has(kKey) && types.empty())
    root.Problem(
        kKey, "no key type is allowed, so nothing could be certified",
        fmt::format("some of {}; without csr_key_types all of them", fmt::join(known, ", ")));
  return types;
}

std::vector<ca::NameAttribute> ReadSubject(ConfigMap& root) {
  std::vector<ca::NameAttribute> subject;
  auto map = root.Map("ca_subject");
  if (!map) return subject;
  const auto add = [&](std::string_view key, const std::string& oid, const std::string& value,
                       std::size_t min, std::size_t max) {
    if (value.size() < min || value.size() > max) {
      map->Problem(key,
                   "must have " + std::to_string(min) + " to " + std::to_string(max) + " bytes",
                   "RFC 5280, appendix A.1");
    }
    subject.push_back({oid, value});
  };
  for (const auto& value : map->Scalars("country")) add("country", "2.5.4.6", value.text, 2, 2);
  for (const auto& value : map->Scalars("organization"))
    add("organization", "2.5.4.10", value.text, 1, 64);
  if (auto name = map->String("common_name")) add("common_name", "2.5.4.3", *name, 1, 64);
  map->Finish();
  return subject;
}

void ReadAdminIds(ConfigMap& root, ServerConfig* config) {
  for (const auto& scalar : root.Scalars("admin_ids")) {
    auto id = SpiffeId::Parse(scalar.text);
    if (!id) {
      root.ProblemAtLine(scalar.line, id.error().Message(),
                         "for example spiffe://example.org/admin");
    } else if (!id->IsMemberOf(config->trust_domain)) {
      root.ProblemAtLine(scalar.line, "\"" + scalar.text + "\" is not of this trust domain",
                         "callers are verified against the own bundle only");
    } else {
      config->admin_ids.push_back(std::move(*id));
    }
  }
}

void ReadLog(ConfigMap& root, ServerConfig* config) {
  auto map = root.Map("log");
  if (!map) return;
  const auto level = map->String("level", "info");
  if (!ParseLogLevel(level, &config->log_level)) {
    map->Problem("level", "unknown log level \"" + level + "\"",
                 "use trace, debug, info, warn, error or off");
  }
  const auto format = map->String("format", "text");
  if (format == "json") {
    config->log_format = LogFormat::kJson;
  } else if (format != "text") {
    map->Problem("format", "unknown log format \"" + format + "\"", "use text or json");
  }
  map->Finish();
}

NodePruning ReadNodePruning(ConfigMap& root) {
  NodePruning pruning;
  if (root.Has("prune_attested_nodes_expired_for"))
    pruning.expired_for =
        Seconds(root, "prune_attested_nodes_expired_for", hours(24 * 30), kMinExpiredFor);
  if (root.Bool("prune_tofu_nodes", false)) pruning.removal = NodeRemoval::kAll;
  return pruning;
}

std::optional<net::Address> ReadMetrics(ConfigMap& root) {
  const auto text = root.String("metrics", "off");
  if (text == "off" || text == "false" || text == "no") return std::nullopt;
  const bool on = text == "on" || text == "true" || text == "yes";
  return AddressOf(root, "metrics", on ? std::string_view("127.0.0.1:9988") : text,
                   "use on, off or an address such as 127.0.0.1:9988");
}

ServerLimits ReadLimits(ConfigMap& root) {
  ServerLimits limits;
  auto map = root.Map("limits");
  if (!map) return limits;
  const auto read = [&](std::string_view key, std::size_t* value, std::int64_t min,
                        std::int64_t max) {
    *value = static_cast<std::size_t>(map->Int(key, static_cast<std::int64_t>(*value), min, max));
  };
  read("connections", &limits.connections, 1, 1'000'000);
  read("connections_per_address", &limits.connections_per_address, 1, 1'000'000);
  read("workers", &limits.workers, 0, 1024);
  read("queued_calls", &limits.queued_calls, 1, 1'000'000);
  read("message_bytes", &limits.message_bytes, 64 * 1024, 256 << 20);
  map->Finish();
  return limits;
}

ServerConfig Read(ConfigMap root, ConfigProblems* problems) {
  ServerConfig config;
  if (!problems->empty()) return config;  // unreadable: its keys would only be noise
  const auto name = root.RequiredString("trust_domain", "for example trust_domain: example.org");
  if (!name.empty()) {
    if (auto parsed = TrustDomain::FromNameOrId(name)) {
      config.trust_domain = *parsed;
    } else {
      root.Problem("trust_domain", parsed.error().Message(),
                   "a name such as example.org: lower case, without a path");
    }
  }
  config.data_dir = root.RequiredString("data_dir", "for example data_dir: /var/lib/signet/server");
  while (config.data_dir.size() > 1 && config.data_dir.back() == '/') config.data_dir.pop_back();
  if (!config.data_dir.empty() && config.data_dir.front() != '/')
    root.Problem("data_dir", "must be an absolute path", "for example /var/lib/signet/server");
  config.listen = AddressOf(root, "listen", root.String("listen", "0.0.0.0:8081"),
                            "an address such as 0.0.0.0:8081 or [::]:8081");
  config.admin_socket = ReadAdminSocket(root, config.data_dir);
  config.ca_ttl = Seconds(root, "ca_ttl", hours(24), seconds(2));
  config.ca_key_type = KeyTypeOf(root, "ca_key_type", ca::KeyType::kEcP256);
  config.jwt_key_type = KeyTypeOf(root, "jwt_key_type", config.ca_key_type);
  config.csr_key_types = ReadCsrKeyTypes(root);
  config.ca_subject = ReadSubject(root);
  config.downstream = ReadDownstream(root, config.trust_domain);
  config.upstream = ReadUpstream(root, config.trust_domain);
  config.default_x509_svid_ttl = Seconds(root, "default_x509_svid_ttl", hours(1), seconds(1));
  config.agent_ttl = Seconds(root, "agent_ttl", config.default_x509_svid_ttl, seconds(1));
  config.default_jwt_svid_ttl =
      Seconds(root, "default_jwt_svid_ttl", std::chrono::minutes(5), seconds(1));
  config.jwt_issuer = root.String("jwt_issuer", "");
  config.disable_jwt_svids = root.Bool("disable_jwt_svids", false);
  config.federation = ReadFederation(root, config.trust_domain, config.jwt_issuer);
  ReadAdminIds(root, &config);
  if (auto map = root.Map("ratelimit")) {
    config.limit_attestation = map->Bool("attestation", true);
    config.limit_signing = map->Bool("signing", true);
    config.limit_calls = map->Bool("calls", true);
    map->Finish();
  }
  if (auto map = root.Map("experimental")) {
    config.agent_id_selector = map->Bool("agent_spiffe_id_as_selector", false);
    map->Finish();
  }
  config.node_attestors = ReadNodeAttestors(root);
  config.node_pruning = ReadNodePruning(root);
  ReadLog(root, &config);
  config.metrics = ReadMetrics(root);
  config.key_store = ReadKeyStore(root, config.data_dir + "/kek");
  config.limits = ReadLimits(root);
  root.Finish();
  return config;
}

}  // namespace

ServerConfig LoadServerConfig(const std::string& path, ConfigProblems* problems) {
  return Read(ConfigMap::Load(path, problems), problems);
}

ServerConfig ParseServerConfig(std::string_view text, const std::string& name,
                               ConfigProblems* problems) {
  return Read(ConfigMap::Parse(text, name, problems), problems);
}

std::vector<std::string> ConfigWarnings(const ServerConfig& config) {
  std::vector<std::string> warnings;
  const auto uncut = ca::MaxUncutTtl(config.ca_ttl);
  const auto check = [&](std::string_view key, std::chrono::seconds ttl) {
    if (ttl <= uncut) return;
    warnings.push_back(std::string(key) + " " + FormatDuration(ttl) + " is longer than " +
                       FormatDuration(uncut) +
                       ", a sixth of ca_ttl: SVIDs issued shortly before a rotation " +
                       "of the authority end earlier than asked; raise ca_ttl to " +
                       FormatDuration(ttl * 6) + " or lower " + std::string(key));
  };
  check("default_x509_svid_ttl", config.default_x509_svid_ttl);
  check("agent_ttl", config.agent_ttl);
  if (!config.disable_jwt_svids) check("default_jwt_svid_ttl", config.default_jwt_svid_ttl);
  if (config.key_store.type == KeyStoreType::kMemory) {
    warnings.push_back(
        "key_store.type memory: each start makes new authorities, and what the old ones signed "
        "lasts only until their end; use disk or pkcs11 to keep them");
  }
  return warnings;
}

}  // namespace signet::identity
