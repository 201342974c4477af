// The messages of SPIRE's node attestor http_challenge, for both sides.
//
//   payload    {"hostname": "web1.example.org", "agentname": "default", "port": 80}
//   challenge  {"nonce": text}
//   response   anything but nothing: the page with the nonce is there now
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "identity/proof/nonce.h"

namespace signet::identity {

struct HttpChallengePayload {
  std::string host_name;
  std::string agent_name;
  std::int64_t port = 0;
};

std::string WriteHttpChallengePayload(const HttpChallengePayload& payload);
// The members' types only. Fails with kProofMalformed.
Result<HttpChallengePayload> ParseHttpChallengePayload(std::string_view payload);

std::string WriteHttpChallenge(std::string_view nonce);
// The nonce: 1 to 128 bytes of base64 in either alphabet. Fails with kProofMalformed.
Result<std::string> ParseHttpChallenge(std::string_view challenge);

// Where the server looks for the nonce.
std::string HttpChallengePath(std::string_view agent_name);

}  // namespace signet::identity
