// The CLI's commands as plain functions over option structs: what cli.cc parses, these carry out.
// Each prints and answers an ExitCode.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "tools/ctl/client.h"
#include "tools/ctl/output.h"

namespace signet::ctl {

struct Session {
  Connection server;  // the admin socket
  Format format = Format::kText;
  const Clock* clock = nullptr;
};

struct TokenOptions {
  std::string ttl = "10m";
  std::string spiffe_id;
};
int CreateToken(const Session& session, const TokenOptions& options);

struct EntryOptions {
  std::string id;
  std::string spiffe_id;
  std::string parent_id;
  std::vector<std::string> selectors;
  std::vector<std::string> dns_names;
  std::vector<std::string> federates_with;
  std::optional<std::string> x509_ttl;
  std::optional<std::string> jwt_ttl;
  std::optional<std::string> hint;
  std::optional<std::string> expires_in;
  bool admin = false;
  bool downstream = false;
};
int CreateEntry(const Session& session, const EntryOptions& options);
int ShowEntries(const Session& session, const EntryOptions& filter);
int UpdateEntry(const Session& session, const EntryOptions& options);
int DeleteEntries(const Session& session, const std::vector<std::string>& ids);
int CountEntries(const Session& session, const EntryOptions& filter);

struct ApplyOptions {
  std::vector<std::string> files;  // "-": standard input
  std::string owner = "default";
  bool prune = false;
  bool plan = false;
};
int ApplyEntries(const Session& session, const ApplyOptions& options);
int ExportEntries(const Session& session, const ApplyOptions& options);

struct AgentOptions {
  std::string id;
  std::string attestation_type;
  std::optional<bool> banned;
};
int ListAgents(const Session& session, const AgentOptions& filter);
int ShowAgent(const Session& session, const AgentOptions& options);
int CountAgents(const Session& session, const AgentOptions& filter);
int BanAgent(const Session& session, const AgentOptions& options);
int EvictAgent(const Session& session, const AgentOptions& options);

// Asks the agent of this node, over its admin socket.
int ShowNodeStatus(const Session& session, const std::string& admin_socket);

struct PurgeOptions {
  std::string expired_for = "30d";
  bool include_tofu = false;  // also those that cannot attest again
  bool dry_run = false;
};
// Evicts the agents whose SVIDs ended at least that long ago; banned ones stay.
int PurgeAgents(const Session& session, const PurgeOptions& options);

int ShowBundle(const Session& session, const std::string& format);
struct BundleOptions {
  std::string trust_domain;  // of listing: only this one; empty: all
  std::string format = "text";
  std::string file;  // "-": standard input
  std::string mode = "restrict";
};
int ListBundles(const Session& session, const BundleOptions& options);
int SetBundle(const Session& session, const BundleOptions& options);
int DeleteBundle(const Session& session, const BundleOptions& options);
int CountBundles(const Session& session);

struct FederationOptions {
  std::string trust_domain;
  std::optional<std::string> url;
  std::optional<std::string> profile;
  std::optional<std::string> endpoint_id;
  std::string bundle_file;  // "-": standard input; empty: none
};
int CreateRelationship(const Session& session, const FederationOptions& options);
int UpdateRelationship(const Session& session, const FederationOptions& options);
int DeleteRelationships(const Session& session, const std::vector<std::string>& trust_domains);
int ListRelationships(const Session& session);
int ShowRelationship(const Session& session, const FederationOptions& options);
int RefreshRelationship(const Session& session, const FederationOptions& options);

int ShowAuthorities(const Session& session);
// Replaces the authority that signs. Goes on where an earlier run was ended.
struct RotateOptions {
  bool jwt = false;
  std::string reason = "schedule";  // "compromise": the old one is tainted, then revoked
  bool plan = false;
  bool force = false;
  bool wait = false;
  std::string timeout = "10m";
};
int RotateAuthority(const Session& session, const RotateOptions& options);
// Of a root above our authorities, named by its subject key identifier in hex.
int TaintUpstream(const Session& session, const std::string& subject_key_id);
int RevokeUpstream(const Session& session, const std::string& subject_key_id);
int ShowStatus(const Session& session);

struct RevokeOptions {
  std::string subject;  // a SPIFFE ID or a serial number
  std::string agent;    // or an agent's ID
  std::string until;
  std::string reason;
};
int Revoke(const Session& session, const RevokeOptions& options);
int ListDenials(const Session& session);
int RemoveDenial(const Session& session, const std::string& id);

// Of policies: files on this machine, no server is asked.
int CheckPolicy(const Session& session, const std::string& path);
// Runs the test cases of the file; `junit`: also written there as JUnit XML, empty: not.
int TestPolicy(const Session& session, const std::string& path, const std::string& junit);
struct ExplainOptions {
  std::string file;
  std::string refusal_id;  // empty: the request below is decided
  std::string log;         // lines that speak of the refusal are shown
  std::string listener;
  std::string caller;
  std::string source;
  std::uint16_t port = 0;
  std::string method = "GET";
  std::string path = "/";
  std::string host = "localhost";
  bool grpc = false;
  std::vector<std::string> headers;  // "name: value"
  std::vector<std::string> claims;   // "name=value"
};
int ExplainPolicy(const Session& session, const ExplainOptions& options);

struct FetchOptions {
  std::string agent_socket;
  std::string write_folder;  // empty: only print
  std::string timeout = "5s";
};
int FetchX509(const Session& session, const FetchOptions& options);
// Until the stream ends.
int WatchX509(const Session& session, const FetchOptions& options);

struct JwtOptions {
  std::string agent_socket;
  std::string timeout = "5s";
  std::vector<std::string> audience;  // validate: one
  std::string spiffe_id;              // fetch; empty: every identity
  std::string token;                  // validate; "-": standard input, "@FILE": a file
};
int FetchJwt(const Session& session, const JwtOptions& options);
int ValidateJwt(const Session& session, const JwtOptions& options);

struct MintOptions {
  std::string spiffe_id;
  std::vector<std::string> dns_names;
  std::string ttl;
  std::string key_type = "ec-p256";
  std::string write_folder;
};
int MintX509(const Session& session, const MintOptions& options);

// The log (docs/audit.md).
struct AuditOptions {
  std::string since, until;  // "2h" (ago), RFC 3339 or Unix seconds; empty: no bound
  std::string subject, serial, event, object;
  std::uint64_t limit = 50;
  std::string file = "-";  // verify: an export or a copied database
  std::string checkpoint;  // verify: a file
};
int ListAudit(const Session& session, const AuditOptions& options);
// Runs until it is ended.
int TailAudit(const Session& session, const AuditOptions& options);
int ExportAudit(const Session& session);
int ShowCheckpoint(const Session& session);
int VerifyAudit(const Session& session, const AuditOptions& options);
int PruneAudit(const Session& session, const AuditOptions& options);
// Who asked for a certificate and why it was granted.
int FindCertificate(const Session& session, const std::string& serial_or_id, std::size_t limit);

// Parses and runs; the whole program but for what main() sets up.
int RunCli(int argc, char** argv, const Clock& clock);

}  // namespace signet::ctl
