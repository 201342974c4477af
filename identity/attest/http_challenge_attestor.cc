#include "identity/attest/http_challenge_attestor.h"

#include <arpa/inet.h>

#include <algorithm>

#include "identity/proof/http_challenge.h"

namespace signet::identity {
namespace {

constexpr std::size_t kMaxPatternBytes = 512;
constexpr std::size_t kMaxHostName = 253;  // RFC 1035, 2.3.4
constexpr std::size_t kMaxLabel = 63;
constexpr std::size_t kMaxAgentName = 32;
constexpr std::uint16_t kFirstNonRootPort = 1024;

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNameByte(char c) { return IsLetter(c) || IsDigit(c) || c == '-'; }

tl::unexpected<Error> Malformed(std::string detail) {
  return Fail(Code::kInvalidArgument, kProofMalformed, std::move(detail));
}

tl::unexpected<Error> NotAllowed(Code code, std::string detail) {
  return Fail(code, kProofInvalid, std::move(detail));
}

// RFC 1123, 2.1. A name whose last label is a number is an address in one of its old spellings, and
// only the ordinary one is taken.
bool IsHostName(std::string_view name) {
  if (name.empty() || name.size() > kMaxHostName) return false;
  std::string_view last;
  for (std::string_view rest = name;;) {
    const auto dot = rest.find('.');
    last = rest.substr(0, dot);
    if (last.empty() || last.size() > kMaxLabel || last.front() == '-' || last.back() == '-' ||
        !std::all_of(last.begin(), last.end(), IsNameByte))
      return false;
    if (dot == rest.npos) break;
    rest.remove_prefix(dot + 1);
  }
  if (!IsDigit(last.front())) return true;
  in_addr address{};
  return inet_pton(AF_INET, std::string(name).c_str(), &address) == 1;
}

bool IsAgentName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxAgentName && IsLetter(name.front()) &&
         std::all_of(name.begin(), name.end(), IsNameByte);
}

bool IsLocalhost(std::string_view name) {
  constexpr std::string_view kName = "localhost";
  const auto same = [](char a, char b) { return (a | 0x20) == b; };
  const auto tail = name.size() < kName.size() ? name : name.substr(name.size() - kName.size());
  return std::equal(tail.begin(), tail.end(), kName.begin(), kName.end(), same) &&
         (tail.size() == name.size() || name[name.size() - kName.size() - 1] == '.');
}

// A place among those that call back, while it lives.
class Turn {
 public:
  explicit Turn(std::atomic<int>& taken) : taken_(taken), number_(++taken) {}
  ~Turn() { --taken_; }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  bool granted() const { return number_ <= HttpChallengeAttestor::kMaxCallbacks; }

 private:
  std::atomic<int>& taken_;
  const int number_;
};

}  // namespace

Result<NamePattern> NamePattern::Parse(const std::string& text) {
  const auto bad = [](std::string detail) {
    return Fail(Code::kInvalidArgument, kPatternMalformed, std::move(detail));
  };
  if (text.empty() || text.size() > kMaxPatternBytes) return bad("a pattern has 1 to 512 bytes");
  // Freed with regfree() only once it was compiled.
  auto compiled = std::make_unique<regex_t>();
  const std::string whole = "^(" + text + ")$";
  if (const int error = regcomp(compiled.get(), whole.c_str(), REG_EXTENDED | REG_NOSUB)) {
    char why[128] = {};
    regerror(error, compiled.get(), why, sizeof why);
    return bad(why);
  }
  NamePattern pattern;
  pattern.compiled_ = {compiled.release(), [](regex_t* held) {
                         regfree(held);
                         delete held;
                       }};
  return pattern;
}

bool NamePattern::Matches(const std::string& name) const {
  return compiled_ != nullptr && regexec(compiled_.get(), name.c_str(), 0, nullptr, 0) == 0;
}

Result<HttpChallengeClaim> HttpChallengeClaim::Parse(std::string_view payload) {
  SIGNET_TRY(const auto said, ParseHttpChallengePayload(payload));
  if (!IsHostName(said.host_name)) return Malformed("hostname is no DNS name or IPv4 address");
  if (!IsAgentName(said.agent_name))
    return Malformed("agentname is not a letter and up to 31 letters, digits and hyphens");
  if (said.port < 1 || said.port > 65535) return Malformed("port is none");
  return HttpChallengeClaim{said.host_name, said.agent_name, static_cast<std::uint16_t>(said.port)};
}

std::string HttpChallengeClaim::Path() const { return HttpChallengePath(agent_name); }

Status HttpChallengeVerifier::CheckClaim(const HttpChallengeClaim& claim) const {
  if (settings_.required_port && claim.port != *settings_.required_port)
    return NotAllowed(Code::kInvalidArgument, "port " + std::to_string(claim.port) +
                                                  " is not allowed to be used by this server");
  if (!settings_.allow_non_root_ports && claim.port >= kFirstNonRootPort)
    return NotAllowed(Code::kInvalidArgument,
                      "port " + std::to_string(claim.port) + " is not allowed to be >= 1024");
  if (IsLocalhost(claim.host_name))
    return NotAllowed(Code::kPermissionDenied, "you can not use localhost as a hostname");
  const auto& patterns = settings_.allowed_dns_patterns;
  if (patterns.empty() || std::any_of(patterns.begin(), patterns.end(), [&](const auto& pattern) {
        return pattern.Matches(claim.host_name);
      }))
    return {};
  return NotAllowed(Code::kPermissionDenied, "the requested hostname is not allowed to connect");
}

Result<HttpChallengeVerifier::Proven> HttpChallengeVerifier::CallBack(
    const HttpChallengeClaim& claim, std::string_view nonce) const {
  net::PageRequest request;
  request.from.host = claim.host_name;
  request.from.port = claim.port;
  request.path = claim.Path();
  SIGNET_TRY(const std::string page,
             net::FetchPage(request, settings_.allowed_addresses, resolve_));
  std::string_view shown = page;
  constexpr std::string_view kSpace = " \t\r\n";
  while (!shown.empty() && kSpace.find(shown.front()) != shown.npos) shown.remove_prefix(1);
  while (!shown.empty() && kSpace.find(shown.back()) != shown.npos) shown.remove_suffix(1);
  if (!EqualConstantTime(AsBytes(shown), AsBytes(nonce)))
    return Fail(Code::kPermissionDenied, kCallbackFailed,
                "expected nonce was not found in HTTP response");
  return Proven(AnsweringHost{claim.host_name});
}

Result<NodeAttributes> HttpChallengeVerifier::Describe(const Proven& host,
                                                       const TrustDomain& trust_domain) const {
  NodeAttributes attributes;
  // DNS does not tell capitals from small letters; IDs do, and one host has one.
  std::string name = host->host_name;
  std::transform(name.begin(), name.end(), name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  SIGNET_TRY(attributes.id, AgentId(trust_domain, HttpChallengeAttestor::kType, name));
  attributes.selector_values = {"hostname:" + name};
  attributes.can_reattest = !settings_.tofu;
  attributes.first_use_only = settings_.tofu;
  return attributes;
}

class HttpChallengeAttestor::Conversation final : public Attestation {
 public:
  explicit Conversation(const HttpChallengeAttestor& attestor)
      : attestor_(attestor), verifier_(attestor.settings_, attestor.resolve_) {}

  Result<AttestationStep> Take(std::string_view message) override {
    if (!claim_) {
      SIGNET_TRY(claim_, HttpChallengeClaim::Parse(message));
      SIGNET_RETURN_IF_ERROR(verifier_.CheckClaim(*claim_));
      nonce_ = EncodeBase64Url(DrawNonce(attestor_.random_));
      return Challenge{WriteHttpChallenge(nonce_)};
    }
    // What the node says now only means that it is ready.
    const Turn turn(attestor_.callbacks_);
    if (!turn.granted())
      return Fail(Code::kResourceExhausted, kCallbackFailed,
                  "too many nodes are being called back; try again later");
    const auto proven = verifier_.CallBack(*claim_, nonce_);
    if (!proven) {
      // Whoever asks must not learn what is open, closed or answering elsewhere in this network.
      attestor_.log_.Warn("node not found at its name", {{"hostname", claim_->host_name},
                                                         {"port", claim_->port},
                                                         {"error", proven.error().Message()}});
      return Fail(
          Code::kPermissionDenied, kCallbackFailed,
          "the nonce could not be read at " + claim_->host_name + "; the server's log says why");
    }
    SIGNET_TRY(auto attributes, verifier_.Describe(*proven, attestor_.trust_domain_));
    return attributes;
  }

 private:
  const HttpChallengeAttestor& attestor_;
  const HttpChallengeVerifier verifier_;
  std::optional<HttpChallengeClaim> claim_;  // absent: the payload comes next
  std::string nonce_;
};

std::unique_ptr<Attestation> HttpChallengeAttestor::Begin() const {
  return std::make_unique<Conversation>(*this);
}

}  // namespace signet::identity
