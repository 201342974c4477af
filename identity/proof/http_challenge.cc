#include "identity/proof/http_challenge.h"

#include "identity/proof/message.h"

namespace signet::identity {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxNonceText = 128;
constexpr std::string_view kNonceLetters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=";

Result<std::string> ReadText(const json& message, const char* name) {
  const auto member = message.find(name);
  if (member != message.end() && member->is_string()) return member->get<std::string>();
  return Fail(Code::kInvalidArgument, kProofMalformed,
              std::string(name) + " is missing or not a string");
}

}  // namespace

std::string WriteHttpChallengePayload(const HttpChallengePayload& payload) {
  return json{
      {"hostname", payload.host_name}, {"agentname", payload.agent_name}, {"port", payload.port}}
      .dump();
}

Result<HttpChallengePayload> ParseHttpChallengePayload(std::string_view payload) {
  SIGNET_TRY(const json message, ParseProofMessage(payload));
  HttpChallengePayload said;
  SIGNET_TRY(said.host_name, ReadText(message, "hostname"));
  SIGNET_TRY(said.agent_name, ReadText(message, "agentname"));
  const auto port = message.find("port");
  if (port == message.end() || !port->is_number_integer() ||
      (port->is_number_unsigned() && port->get<std::uint64_t>() > 65535))
    return Fail(Code::kInvalidArgument, kProofMalformed, "port is missing or none");
  said.port = port->get<std::int64_t>();
  return said;
}

std::string WriteHttpChallenge(std::string_view nonce) { return json{{"nonce", nonce}}.dump(); }

Result<std::string> ParseHttpChallenge(std::string_view challenge) {
  SIGNET_TRY(const json message, ParseProofMessage(challenge));
  SIGNET_TRY(auto nonce, ReadText(message, "nonce"));
  if (nonce.empty() || nonce.size() > kMaxNonceText ||
      nonce.find_first_not_of(kNonceLetters) != nonce.npos)
    return Fail(Code::kInvalidArgument, kProofMalformed, "the nonce is not base64");
  return nonce;
}

std::string HttpChallengePath(std::string_view agent_name) {
  return "/.well-known/spiffe/nodeattestor/http_challenge/" + std::string(agent_name) +
         "/challenge";
}

}  // namespace signet::identity
