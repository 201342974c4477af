#include "agent/workload/docker/container.h"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "ca/jose/strict_json.h"

namespace signet::agent {
namespace {

using Json = nlohmann::json;

tl::unexpected<Error> Malformed(const char* what) {
  return Fail(Code::kInternal, kContainerMalformed, what);
}

// The member of that name and type; null when it is absent, null or of another type.
const Json* Member(const Json& object, const char* name, Json::value_t type) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found != object.end() && found->type() == type ? &*found : nullptr;
}

std::string Text(const Json& object, const char* name) {
  const Json* found = Member(object, name, Json::value_t::string);
  return found != nullptr ? found->get<std::string>() : std::string();
}

Status ReadLabels(const Json& config, Container* container) {
  const Json* labels = Member(config, "Labels", Json::value_t::object);
  if (labels == nullptr) return {};
  if (labels->size() > kMostLabels) return Malformed("too many labels");
  for (const auto& [name, value] : labels->items()) {
    if (!value.is_string()) return Malformed("a label that is no text");
    container->labels[name] = value.get<std::string>();
  }
  return {};
}

Status ReadEnvironment(const Json& config, Container* container) {
  const Json* variables = Member(config, "Env", Json::value_t::array);
  if (variables == nullptr) return {};
  if (variables->size() > kMostLabels) return Malformed("too many variables");
  for (const Json& variable : *variables) {
    if (!variable.is_string()) return Malformed("a variable that is no text");
    container->environment.push_back(variable.get<std::string>());
  }
  return {};
}

}  // namespace

Result<Container> ParseContainer(std::string_view text) {
  const auto json = ca::ParseStrictJson(text, kMaxContainerBytes);
  if (!json || !json->is_object()) return Malformed("no JSON object");
  Container container;
  container.id = Text(*json, "Id");
  if (container.id.empty()) return Malformed("no Id");
  if (std::string digest = Text(*json, "Image"); digest.starts_with("sha256:"))
    container.image_config_digest = std::move(digest);
  if (const Json* state = Member(*json, "State", Json::value_t::object)) {
    const Json* running = Member(*state, "Running", Json::value_t::boolean);
    const Json* pid = Member(*state, "Pid", Json::value_t::number_unsigned);
    if (running != nullptr && running->get<bool>() && pid != nullptr &&
        pid->get<std::uint64_t>() <= std::numeric_limits<pid_t>::max())
      container.pid = static_cast<pid_t>(pid->get<std::uint64_t>());
  }
  const Json* config = Member(*json, "Config", Json::value_t::object);
  if (config == nullptr) return Malformed("no Config");
  container.image = Text(*config, "Image");
  SIGNET_RETURN_IF_ERROR(ReadLabels(*config, &container));
  SIGNET_RETURN_IF_ERROR(ReadEnvironment(*config, &container));
  return container;
}

std::vector<identity::Selector> SelectorsOf(const Container& container,
                                            const std::set<std::string, std::less<>>& allowed) {
  std::vector<identity::Selector> selectors;
  const auto add = [&](std::string_view name, const std::string& value) {
    selectors.push_back({"docker", std::string(name) + ":" + value});
  };
  for (const auto& [name, value] : container.labels)
    add("label", fmt::format("{}:{}", name, value));
  if (!container.image.empty()) add("image_id", container.image);
  if (!container.image_config_digest.empty())
    add("image_config_digest", container.image_config_digest);
  for (const std::string& variable : container.environment)
    if (allowed.contains(std::string_view(variable).substr(0, variable.find('='))))
      add("env", variable);
  return selectors;
}

}  // namespace signet::agent
