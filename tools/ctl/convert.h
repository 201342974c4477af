// Between what people type and the API's messages.
#pragma once

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "identity/bundle/bundle.h"
#include "spire/api/types/agent.pb.h"
#include "spire/api/types/bundle.pb.h"
#include "spire/api/types/entry.pb.h"
#include "tools/ctl/commands.h"

namespace signet::ctl {

// "spiffe://td/path". Fails with the SPIFFE ID's own reason.
Status SetId(const std::string& text, spire::api::types::SPIFFEID* id);
std::string IdText(const spire::api::types::SPIFFEID& id);
// "90s", "1h" to whole seconds. Fails with INVALID_ARGUMENT, naming the option.
Result<std::int32_t> Seconds(const std::string& text, std::string_view option);
// What `options` says, into `entry`; a mask of what was said into `mask` when given.
Status FillEntry(const EntryOptions& options, std::int64_t now, spire::api::types::Entry* entry,
                 spire::api::types::EntryMask* mask);

// A bundle as the API has it, into ours.
Result<identity::Bundle> BundleFromMessage(const spire::api::types::Bundle& message);
// The content of a file, or of standard input for "-": a SPIFFE bundle (JWKS) or PEM certificates,
// for the API. Fails with INVALID_ARGUMENT, naming the file.
Result<spire::api::types::Bundle> ReadBundleFile(const std::string& path,
                                                 const std::string& trust_domain);

nlohmann::ordered_json ToJson(const spire::api::types::Entry& entry);
nlohmann::ordered_json ToJson(const spire::api::types::Agent& agent);
std::string ToText(const spire::api::types::Entry& entry, std::int64_t now);

}  // namespace signet::ctl
