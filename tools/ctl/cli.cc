#include <CLI/CLI.hpp>

#include <cstdlib>

#include "tools/ctl/commands.h"
#include "tools/ctl/completion.h"
#include "tools/ctl/policy_commands.h"
#include "tools/ctl/proxy_commands.h"
#include "tools/ctl/route_commands.h"
#include "tools/ctl/svid_commands.h"

namespace signet::ctl {
namespace {

constexpr const char* kFooter = R"(Examples:
  signet token create
  signet entry create --spiffe-id spiffe://example.org/web \
      --parent-id spiffe://example.org/node --selector unix:uid:1000
  signet entry show -o json
  signet entry apply -f entries/ --plan
  signet agent list
  signet agent status --agent-admin-socket /run/signet/agent/admin/admin.sock
  signet federation create --trust-domain other.org --url https://bundle.other.org:8443/ \
      --profile https_spiffe --endpoint-spiffe-id spiffe://other.org/spire/server --bundle other.json
  signet authority rotate --plan
  signet audit list --event entry --since 24h
  signet certificate find 3f2a…
  signet x509 fetch --agent-socket /run/signet/agent/api.sock --write ./svid
  signet svid files --watch --certificate cert.pem --key key.pem --bundle bundle.pem
  signet jwt fetch --audience api
  signet proxy tap --status 5xx
  signet policy test rules.yaml --junit report.xml
  signet policy explain rules.yaml --caller spiffe://example.org/shop --path /orders/7
  signet route explain rules.yaml --host orders.example.org --path /v2/7
  signet revoke spiffe://example.org/web --until 12h --reason 'key leaked'

Exit codes: 0 done; 1 refused or failed; 2 wrong usage or input; 3 nobody answers; 4 not found; 5 not allowed.)";

// Everything options are parsed into. The callbacks run one command and leave its exit code here.
struct Parsed {
  Session session;
  std::string format = "text";
  int exit_code = kOk;
  TokenOptions token;
  EntryOptions entry;
  ApplyOptions apply;
  std::vector<std::string> entry_ids;
  AgentOptions agent;
  std::string agent_admin_socket;
  PurgeOptions purge;
  bool only_banned = false;
  FetchOptions fetch;
  JwtOptions jwt;
  MintOptions mint;
  RevokeOptions revoke;
  std::string denial_id;
  std::string bundle_format = "text";
  BundleOptions bundle;
  FederationOptions federation;
  std::vector<std::string> trust_domains;
  AuditOptions audit;
  std::string certificate;
  RotateOptions rotate;
  std::string upstream_authority;
};

using Command = std::function<int()>;

CLI::App* AddCommand(CLI::App* parent, Parsed* parsed, const std::string& name,
                     const std::string& about, Command run) {
  CLI::App* command = parent->add_subcommand(name, about);
  command->callback([parsed, run = std::move(run)] { parsed->exit_code = run(); });
  return command;
}

CLI::App* AddGroup(CLI::App* parent, const std::string& name, const std::string& about) {
  CLI::App* group = parent->add_subcommand(name, about);
  group->require_subcommand(1);
  return group;
}

void AddEntryFields(CLI::App* command, EntryOptions* entry) {
  command->add_option("--dns-name", entry->dns_names, "DNS name in the SVID; repeatable")
      ->type_name("NAME");
  command->add_option("--jwt-ttl", entry->jwt_ttl, "Lifetime of its JWT-SVIDs, such as 5m")
      ->type_name("DURATION");
  command->add_option("--ttl", entry->x509_ttl, "Lifetime of its X.509-SVIDs, such as 1h")
      ->type_name("DURATION");
  command
      ->add_option("--expires-in", entry->expires_in, "Remove the entry after this time; 0s: never")
      ->type_name("DURATION");
  command->add_flag("--admin", entry->admin, "Its SVID may use the server's admin API");
}

void AddEntryFilter(CLI::App* command, EntryOptions* entry) {
  command->add_option("--spiffe-id", entry->spiffe_id, "SPIFFE ID it grants")->type_name("ID");
  command
      ->add_option("--parent-id", entry->parent_id, "SPIFFE ID of the agent (or alias) it hangs on")
      ->type_name("ID");
  command->add_option("--selector", entry->selectors, "Selector such as unix:uid:1000; repeatable")
      ->type_name("TYPE:VALUE");
  command->add_option("--federates-with", entry->federates_with, "Other trust domain; repeatable")
      ->type_name("NAME");
  command->add_option("--hint", entry->hint, "Hint for the workload")->type_name("TEXT");
  command->add_flag("--downstream", entry->downstream, "Grants an intermediate authority");
}

void AddEntryFileCommands(CLI::App* entry, Parsed* p) {
  CLI::App* apply = AddCommand(entry, p, "apply",
                               "Make the entries of an owner what files say, all of them at once "
                               "or, when anything is wrong, "
                               "none",
                               [p] { return ApplyEntries(p->session, p->apply); });
  apply
      ->add_option("-f,--file", p->apply.files,
                   "YAML file, folder of them, or - for standard input; repeatable")
      ->type_name("PATH")
      ->required();
  apply->add_flag("--plan", p->apply.plan, "Show what would change, and change nothing");
  apply->add_flag("--prune", p->apply.prune,
                  "Delete what this owner applied earlier and the files no longer name");
  apply->footer(
      "Examples:\n"
      "  signet entry apply -f entries/ --plan --prune\n"
      "  signet entry apply -f entries/ --prune --owner team-a\n"
      "  generate-entries | signet entry apply -f -\n\n"
      "A file:\n"
      "  entries:\n"
      "    - spiffe_id: spiffe://example.org/web\n"
      "      parent_id: spiffe://example.org/node\n"
      "      selectors: [unix:uid:1000]\n"
      "      x509_svid_ttl: 1h");
  CLI::App* save =
      AddCommand(entry, p, "export", "Print the entries of an owner as a file for apply",
                 [p] { return ExportEntries(p->session, p->apply); });
  save->footer("Example:\n  signet entry export --owner team-a > entries.yaml");
  for (CLI::App* command : {apply, save})
    command->add_option("--owner", p->apply.owner, "Whose entries: 1 to 63 of a-z, 0-9 and dashes")
        ->type_name("LABEL")
        ->capture_default_str();
}

void AddEntryCommands(CLI::App* app, Parsed* p) {
  CLI::App* entry =
      AddGroup(app, "entry", "Registration entries: which workloads get which identity");
  CLI::App* create = AddCommand(entry, p, "create", "Create an entry",
                                [p] { return CreateEntry(p->session, p->entry); });
  AddEntryFilter(create, &p->entry);
  AddEntryFields(create, &p->entry);
  create->add_option("--id", p->entry.id, "Entry ID; made when not given")->type_name("ID");
  for (const char* needed : {"--spiffe-id", "--parent-id", "--selector"})
    create->get_option(needed)->required();
  CLI::App* show = AddCommand(entry, p, "show", "Show entries that fit all of the given options",
                              [p] { return ShowEntries(p->session, p->entry); });
  AddEntryFilter(show, &p->entry);
  show->add_option("--id", p->entry.id, "Entry ID")->type_name("ID");
  CLI::App* update = AddCommand(entry, p, "update", "Change the given fields of an entry",
                                [p] { return UpdateEntry(p->session, p->entry); });
  AddEntryFilter(update, &p->entry);
  AddEntryFields(update, &p->entry);
  update->add_option("--id", p->entry.id, "Entry ID")->type_name("ID")->required();
  CLI::App* remove =
      AddCommand(entry, p, "delete", "Delete entries; issued SVIDs live on until they expire",
                 [p] { return DeleteEntries(p->session, p->entry_ids); });
  remove->add_option("id,--id", p->entry_ids, "Entry IDs")->type_name("ID")->required();
  AddEntryFilter(AddCommand(entry, p, "count", "Count entries that fit",
                            [p] { return CountEntries(p->session, p->entry); }),
                 &p->entry);
  AddEntryFileCommands(entry, p);
}

void AddAgentCommands(CLI::App* app, Parsed* p) {
  CLI::App* token = AddGroup(app, "token", "Join tokens");
  CLI::App* create =
      AddCommand(token, p, "create", "Create a token with which one agent can join, once",
                 [p] { return CreateToken(p->session, p->token); });
  create->add_option("--ttl", p->token.ttl, "How long it can be used")
      ->type_name("DURATION")
      ->capture_default_str();
  create
      ->add_option("--spiffe-id", p->token.spiffe_id,
                   "A further SPIFFE ID for the agent, to use as parent of entries")
      ->type_name("ID");

  CLI::App* agent = AddGroup(app, "agent", "Attested agents");
  const auto filter = [p](CLI::App* command) {
    command
        ->add_option("--attestation-type", p->agent.attestation_type,
                     "Only those attested this way")
        ->type_name("NAME");
    command->add_flag("--banned", p->only_banned, "Only banned ones");
  };
  const auto filtered = [p] {
    if (p->only_banned) p->agent.banned = true;
    return p->agent;
  };
  filter(AddCommand(agent, p, "list", "List agents",
                    [=] { return ListAgents(p->session, filtered()); }));
  filter(AddCommand(agent, p, "count", "Count agents",
                    [=] { return CountAgents(p->session, filtered()); }));
  const auto one = [&](const char* name, const char* about,
                       int (*run)(const Session&, const AgentOptions&)) {
    AddCommand(agent, p, name, about, [=] { return run(p->session, p->agent); })
        ->add_option("id,--spiffe-id", p->agent.id, "The agent's SPIFFE ID")
        ->type_name("ID")
        ->required();
  };
  one("show", "Show one agent", ShowAgent);
  one("ban", "Refuse an agent for good: it loses its identity and cannot join again", BanAgent);
  one("evict", "Remove an agent: it must join anew", EvictAgent);
  CLI::App* status =
      AddCommand(agent, p, "status",
                 "Show what the agent on this node holds, until when, and who is connected; exit "
                 "code 1 when something that should be served is not",
                 [p] { return ShowNodeStatus(p->session, p->agent_admin_socket); });
  status
      ->add_option("--agent-admin-socket", p->agent_admin_socket,
                   "The agent's admin_socket (or SIGNET_AGENT_ADMIN_SOCKET)")
      ->type_name("PATH")
      ->capture_default_str();
  status->footer("Examples:\n  signet agent status\n  signet agent status -o json");
  CLI::App* purge = AddCommand(agent, p, "purge", "Evict the agents whose SVIDs ended long ago",
                               [p] { return PurgeAgents(p->session, p->purge); });
  purge->add_option("--expired-for", p->purge.expired_for, "How long ago at least")
      ->type_name("DURATION")
      ->capture_default_str();
  purge->add_flag("--include-tofu", p->purge.include_tofu,
                  "Also those that cannot attest again: they need a new token then");
  purge->add_flag("--dry-run", p->purge.dry_run, "Only say which");
}

void AddRevokeCommands(CLI::App* app, Parsed* p) {
  CLI::App* revoke = app->add_subcommand(
      "revoke", "Refuse an identity, a certificate or an agent before its SVIDs end");
  revoke->add_option("subject", p->revoke.subject, "A SPIFFE ID, or a serial number in hex")
      ->type_name("ID|SERIAL");
  revoke
      ->add_option("--agent", p->revoke.agent,
                   "An agent's SPIFFE ID: banned, with what was issued through it")
      ->type_name("ID");
  revoke
      ->add_option("--until", p->revoke.until,
                   "How long, such as 12h, or a time such as 2026-12-24T18:00:00Z; else for good, "
                   "and a serial number until its certificate ends")
      ->type_name("T");
  revoke->add_option("--reason", p->revoke.reason, "For people")->type_name("TEXT");
  revoke->require_subcommand(0, 1);
  revoke->callback([p, revoke] {
    if (revoke->get_subcommands().empty()) p->exit_code = Revoke(p->session, p->revoke);
  });
  AddCommand(revoke, p, "list", "List what is revoked", [p] { return ListDenials(p->session); });
  AddCommand(revoke, p, "remove", "End a denial; an agent stays banned until it is evicted",
             [p] { return RemoveDenial(p->session, p->denial_id); })
      ->add_option("id", p->denial_id, "The denial's id")
      ->type_name("DENIAL")
      ->required();
}

void AddAgentSocket(CLI::App* command, std::string* socket, std::string* timeout) {
  command
      ->add_option("--agent-socket", *socket,
                   "The agent's Workload API socket (or SPIFFE_ENDPOINT_SOCKET)")
      ->type_name("PATH")
      ->capture_default_str();
  command->add_option("--timeout", *timeout, "How long to wait for an answer")
      ->type_name("DURATION")
      ->capture_default_str();
}

void AddJwtCommands(CLI::App* app, Parsed* p) {
  CLI::App* jwt = AddGroup(app, "jwt", "JWT-SVIDs");
  CLI::App* fetch = AddCommand(jwt, p, "fetch", "Fetch this process's JWT-SVIDs from the agent",
                               [p] { return FetchJwt(p->session, p->jwt); });
  fetch->footer(
      "Examples:\n  signet jwt fetch --audience api\n"
      "  signet jwt fetch --audience api --spiffe-id spiffe://example.org/web -o json");
  AddAgentSocket(fetch, &p->jwt.agent_socket, &p->jwt.timeout);
  fetch->add_option("--audience", p->jwt.audience, "Who the token is for; repeatable")
      ->type_name("TEXT")
      ->required();
  fetch->add_option("--spiffe-id", p->jwt.spiffe_id, "Only this identity")->type_name("ID");
  CLI::App* validate =
      AddCommand(jwt, p, "validate", "Let the agent check a JWT-SVID that somebody showed",
                 [p] { return ValidateJwt(p->session, p->jwt); });
  validate->footer(
      "Examples:\n  signet jwt validate --audience api @token.txt\n"
      "  signet jwt validate --audience api - -o json < token.txt");
  AddAgentSocket(validate, &p->jwt.agent_socket, &p->jwt.timeout);
  validate->add_option("--audience", p->jwt.audience, "Who the token must be for")
      ->type_name("TEXT")
      ->expected(1)
      ->allow_extra_args(false)  // what follows is the token
      ->required();
  validate->add_option("token", p->jwt.token, "The token; @FILE: out of a file; -: standard input")
      ->type_name("TOKEN")
      ->required();
}

void AddSvidCommands(CLI::App* app, Parsed* p) {
  CLI::App* x509 = AddGroup(app, "x509", "X.509-SVIDs");
  const auto from_agent = [&](const char* name, const char* about, const char* examples,
                              int (*run)(const Session&, const FetchOptions&)) {
    CLI::App* command =
        AddCommand(x509, p, name, about, [p, run] { return run(p->session, p->fetch); });
    command->footer(examples);
    AddAgentSocket(command, &p->fetch.agent_socket, &p->fetch.timeout);
    command
        ->add_option("--write", p->fetch.write_folder,
                     "Also write certificates, key and bundle here")
        ->type_name("FOLDER");
  };
  from_agent("fetch", "Fetch this process's SVIDs from the agent",
             "Examples:\n  signet x509 fetch\n  signet x509 fetch --write ./svid -o json",
             FetchX509);
  from_agent("watch", "Show this process's SVIDs, now and whenever they change, until interrupted",
             "Examples:\n  signet x509 watch\n  signet x509 watch --write ./svid", WatchX509);
  CLI::App* mint = AddCommand(x509, p, "mint", "Mint an SVID as administrator, without an agent",
                              [p] { return MintX509(p->session, p->mint); });
  mint->add_option("--spiffe-id", p->mint.spiffe_id, "SPIFFE ID")->type_name("ID")->required();
  mint->add_option("--dns-name", p->mint.dns_names, "DNS name; repeatable")->type_name("NAME");
  mint->add_option("--ttl", p->mint.ttl, "Lifetime; the server's default when not given")
      ->type_name("DURATION");
  mint->add_option("--key-type", p->mint.key_type, "ec-p256, ec-p384, rsa-2048 or rsa-4096")
      ->capture_default_str();
  mint->add_option("--write", p->mint.write_folder, "Write certificate and key here")
      ->type_name("FOLDER")
      ->required();
}

void AddFederatedBundleCommands(CLI::App* bundle, Parsed* p) {
  const auto domain = [p](CLI::App* command, const char* about) {
    return command->add_option("--trust-domain", p->bundle.trust_domain, about)->type_name("NAME");
  };
  CLI::App* list = AddCommand(bundle, p, "list", "List the bundles of federated trust domains",
                              [p] { return ListBundles(p->session, p->bundle); });
  domain(list, "Only this one");
  list->add_option("--format", p->bundle.format, "text, pem or spiffe (JWKS)")
      ->check(CLI::IsMember({"text", "pem", "spiffe"}))
      ->capture_default_str();
  CLI::App* set =
      AddCommand(bundle, p, "set", "Set the bundle of a federated trust domain from a file",
                 [p] { return SetBundle(p->session, p->bundle); });
  domain(set, "Whose bundle it is")->required();
  set->add_option("file,--file", p->bundle.file,
                  "SPIFFE bundle (JWKS) or PEM certificates; - reads standard input")
      ->type_name("FILE")
      ->required();
  set->footer(
      "Example:\n  curl -s https://bundle.other.org:8443/ | "
      "signet bundle set --trust-domain other.org -");
  CLI::App* remove =
      AddCommand(bundle, p, "delete", "Delete the bundle of a federated trust domain",
                 [p] { return DeleteBundle(p->session, p->bundle); });
  domain(remove, "Whose bundle it is")->required();
  remove
      ->add_option("--mode", p->bundle.mode,
                   "What becomes of entries that federate with it: restrict (then it is not "
                   "deleted), delete, or dissociate")
      ->check(CLI::IsMember({"restrict", "delete", "dissociate"}))
      ->capture_default_str();
  AddCommand(bundle, p, "count", "Count the bundles, the own one included",
             [p] { return CountBundles(p->session); });
}

void AddFederationFields(CLI::App* command, FederationOptions* federation) {
  command->add_option("--trust-domain", federation->trust_domain, "The other trust domain")
      ->type_name("NAME")
      ->required();
  command->add_option("--url", federation->url, "Where it publishes its bundle: https://...")
      ->type_name("URL");
  command
      ->add_option("--profile", federation->profile,
                   "How the endpoint proves who it is: https_web or https_spiffe")
      ->check(CLI::IsMember({"https_web", "https_spiffe"}));
  command
      ->add_option("--endpoint-spiffe-id", federation->endpoint_id,
                   "SPIFFE ID of the endpoint, with https_spiffe")
      ->type_name("ID");
  command
      ->add_option("--bundle", federation->bundle_file,
                   "Its bundle to start from, JWKS or PEM; - reads standard input")
      ->type_name("FILE");
}

void AddFederationCommands(CLI::App* app, Parsed* p) {
  CLI::App* federation =
      AddGroup(app, "federation", "Relationships with other trust domains, and their bundles");
  CLI::App* create = AddCommand(federation, p, "create", "Federate with another trust domain",
                                [p] { return CreateRelationship(p->session, p->federation); });
  AddFederationFields(create, &p->federation);
  for (const char* needed : {"--url", "--profile"}) create->get_option(needed)->required();
  create->footer(
      "Examples:\n"
      "  signet federation create --trust-domain web.org --url https://bundle.web.org/ \\\n"
      "      --profile https_web\n"
      "  signet federation create --trust-domain other.org --url https://other.org:8443/ \\\n"
      "      --profile https_spiffe --endpoint-spiffe-id spiffe://other.org/spire/server \\\n"
      "      --bundle other.json");
  CLI::App* update =
      AddCommand(federation, p, "update", "Change the given fields of a relationship",
                 [p] { return UpdateRelationship(p->session, p->federation); });
  AddFederationFields(update, &p->federation);
  AddCommand(federation, p, "delete", "End relationships; the bundles stay (signet bundle delete)",
             [p] { return DeleteRelationships(p->session, p->trust_domains); })
      ->add_option("trust-domain,--trust-domain", p->trust_domains, "The other trust domains")
      ->type_name("NAME")
      ->required();
  AddCommand(federation, p, "list", "List relationships; those of the server's file are not shown",
             [p] { return ListRelationships(p->session); });
  const auto one = [&](const char* name, const char* about,
                       int (*run)(const Session&, const FederationOptions&)) {
    AddCommand(federation, p, name, about, [=] { return run(p->session, p->federation); })
        ->add_option("trust-domain,--trust-domain", p->federation.trust_domain,
                     "The other trust domain")
        ->type_name("NAME")
        ->required();
  };
  one("show", "Show one relationship", ShowRelationship);
  one("refresh", "Fetch the bundle from its endpoint now", RefreshRelationship);
}

void AddUpstreamCommands(CLI::App* authority, Parsed* p) {
  const auto add = [&](const char* name, const char* about, const char* examples,
                       int (*run)(const Session&, const std::string&)) {
    CLI::App* command = AddCommand(authority, p, name, about,
                                   [=] { return run(p->session, p->upstream_authority); });
    command
        ->add_option("id,--subject-key-id", p->upstream_authority,
                     "The root's subject key identifier, as `signet bundle show` has it")
        ->type_name("HEX")
        ->required();
    command->footer(examples);
  };
  add("taint-upstream",
      "Taint a root above the server's authorities that was replaced: agents renew at once what "
      "is\n"
      "below it. Refused while an authority in use or prepared is below it: rotate first",
      "Examples:\n  signet authority rotate\n"
      "  signet authority taint-upstream 5f0c64ab7d5b8b9b1f4a8e7f0f6c1f2a3b4c5d6e",
      TaintUpstream);
  add("revoke-upstream",
      "Take a tainted root out of the bundle: whatever is below it is refused everywhere. Refused\n"
      "while the upstream authority still publishes it",
      "Example:\n"
      "  signet authority revoke-upstream 5f0c64ab7d5b8b9b1f4a8e7f0f6c1f2a3b4c5d6e",
      RevokeUpstream);
}

void AddTrustCommands(CLI::App* app, Parsed* p) {
  CLI::App* bundle = AddGroup(app, "bundle", "The trust bundle");
  AddCommand(bundle, p, "show", "Show the trust domain's bundle",
             [p] { return ShowBundle(p->session, p->bundle_format); })
      ->add_option("--format", p->bundle_format, "text, pem or spiffe (JWKS)")
      ->check(CLI::IsMember({"text", "pem", "spiffe"}))
      ->capture_default_str();
  AddFederatedBundleCommands(bundle, p);
  CLI::App* authority = AddGroup(app, "authority", "Signing authorities");
  AddCommand(authority, p, "show", "Show authorities, their states and who holds them",
             [p] { return ShowAuthorities(p->session); });
  CLI::App* rotate = AddCommand(
      authority, p, "rotate",
      "Replace the authority that signs, when every agent holds the next one. Can be ended at any\n"
      "time: before it is activated nothing has changed but the bundle, and running it again goes "
      "on",
      [p] { return RotateAuthority(p->session, p->rotate); });
  auto* jwt = rotate->add_flag("--jwt", p->rotate.jwt, "The JWT authority");
  rotate->add_flag_callback("--x509", [] {}, "The X.509 authority (default)")->excludes(jwt);
  rotate->add_option("--reason", p->rotate.reason, "schedule, or compromise: taint and revoke too")
      ->check(CLI::IsMember({"schedule", "compromise"}))
      ->capture_default_str();
  rotate->add_flag("--plan", p->rotate.plan, "Only show who holds what and what would be done");
  rotate->add_flag("--force", p->rotate.force, "Do not wait for agents; the plan says what breaks");
  rotate->add_flag("--wait", p->rotate.wait, "Wait until agents have renewed all SVIDs too");
  rotate->add_option("--timeout", p->rotate.timeout, "How long to wait in all")
      ->type_name("DURATION")
      ->capture_default_str();
  AddUpstreamCommands(authority, p);
  AddCommand(app, p, "status", "Show the server's state; exit code 1 when it is not healthy",
             [p] { return ShowStatus(p->session); });
  AddCommand(app, p, "version", "Show the version", [] {
    Print("signet " SIGNET_VERSION "\n");
    return kOk;
  });
}

void AddAuditFilter(CLI::App* command, AuditOptions* audit) {
  command->add_option("--since", audit->since, "From this time on: 2h (ago), RFC 3339 or seconds")
      ->type_name("TIME");
  command->add_option("--until", audit->until, "Before this time")->type_name("TIME");
  command->add_option("--spiffe-id", audit->subject, "The SPIFFE ID it is about")->type_name("ID");
  command->add_option("--serial", audit->serial, "A certificate's serial number, in hex")
      ->type_name("HEX");
  command->add_option("--event", audit->event, "Such as entry.created, or all of entry")
      ->type_name("NAME");
  command->add_option("--object", audit->object, "Entry ID, trust domain or method")
      ->type_name("ID");
  command->add_option("-n,--limit", audit->limit, "How many at most")->capture_default_str();
}

void AddAuditCommands(CLI::App* app, Parsed* p) {
  CLI::App* audit = AddGroup(app, "audit", "The log: who changed what, and every signature");
  AddAuditFilter(AddCommand(audit, p, "list", "Show the newest records that fit",
                            [p] { return ListAudit(p->session, p->audit); }),
                 &p->audit);
  AddAuditFilter(AddCommand(audit, p, "tail", "Show records as they are written, until ended",
                            [p] { return TailAudit(p->session, p->audit); }),
                 &p->audit);
  AddCommand(audit, p, "export", "Write the whole log as lines of JSON, with a checkpoint",
             [p] { return ExportAudit(p->session); });
  AddCommand(audit, p, "checkpoint", "Show a signed head of the log, to be kept elsewhere",
             [p] { return ShowCheckpoint(p->session); });
  CLI::App* verify =
      AddCommand(audit, p, "verify", "Prove an export or a copied database unchanged; no server",
                 [p] { return VerifyAudit(p->session, p->audit); });
  verify->add_option("file", p->audit.file, "Export or database; -: standard input")
      ->type_name("FILE")
      ->required();
  verify->add_option("--checkpoint", p->audit.checkpoint, "A checkpoint that was kept elsewhere")
      ->type_name("FILE");
  AddCommand(audit, p, "prune", "Remove old records; the rest keeps verifying",
             [p] { return PruneAudit(p->session, p->audit); })
      ->add_option("--before", p->audit.until, "Those made before: 2160h (ago) or RFC 3339")
      ->type_name("TIME")
      ->required();
  CLI::App* certificate = AddGroup(app, "certificate", "Certificates that were issued");
  CLI::App* find = AddCommand(certificate, p, "find",
                              "Who asked for a certificate, and why it was granted", [p] {
                                return FindCertificate(p->session, p->certificate,
                                                       static_cast<std::size_t>(p->audit.limit));
                              });
  find->add_option("serial", p->certificate, "Serial number in hex, or a SPIFFE ID")
      ->type_name("SERIAL|ID")
      ->required();
  find->add_option("-n,--limit", p->audit.limit, "How many at most")->capture_default_str();
}

std::string FromEnvironment(const char* name, const char* fallback) {
  const char* value = std::getenv(name);
  return value == nullptr ? fallback : value;
}

}  // namespace

int RunCli(int argc, char** argv, const Clock& clock) {
  Parsed parsed;
  parsed.session.clock = &clock;
  parsed.session.server.socket =
      FromEnvironment("SIGNET_ADMIN_SOCKET", "/run/signet/server/admin.sock");
  parsed.fetch.agent_socket =
      FromEnvironment("SPIFFE_ENDPOINT_SOCKET", "/run/signet/agent/api.sock");
  parsed.jwt.agent_socket = parsed.fetch.agent_socket;
  parsed.agent_admin_socket =
      FromEnvironment("SIGNET_AGENT_ADMIN_SOCKET", "/run/signet/agent/admin/admin.sock");
  CLI::App app{"Administers Signet: tokens, entries, agents, authorities and SVIDs."};
  app.name("signet");
  app.footer(kFooter);
  app.require_subcommand(1);
  app.fallthrough();
  app.option_defaults()->always_capture_default(false);
  app.add_option("--socket", parsed.session.server.socket,
                 "The server's admin socket (or SIGNET_ADMIN_SOCKET)")
      ->type_name("PATH")
      ->capture_default_str();
  app.add_option("-o,--output", parsed.format, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  app.parse_complete_callback(
      [&] { parsed.session.format = parsed.format == "json" ? Format::kJson : Format::kText; });
  AddEntryCommands(&app, &parsed);
  AddAgentCommands(&app, &parsed);
  AddSvidCommands(&app, &parsed);
  AddJwtCommands(&app, &parsed);
  AddRevokeCommands(&app, &parsed);
  AddPolicyCommands(&app, &parsed.session, &parsed.exit_code);
  AddRouteCommands(&app, &parsed.session, &parsed.exit_code);
  AddProxyCommands(&app, &parsed.session, &parsed.exit_code);
  AddSvidFileCommands(&app, &parsed.session, &parsed.exit_code, parsed.fetch.agent_socket);
  AddTrustCommands(&app, &parsed);
  AddFederationCommands(&app, &parsed);
  AddAuditCommands(&app, &parsed);
  CLI::App* completion =
      AddGroup(&app, "completion", "Shell completion: source <(signet completion bash)");
  AddCommand(completion, &parsed, "bash", "Script for bash",
             [&] { return PrintCompletion(app, Shell::kBash); });
  AddCommand(completion, &parsed, "zsh", "Script for zsh",
             [&] { return PrintCompletion(app, Shell::kZsh); });
  try {  // CLI11 reports by exception
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kOk : kUsage;
  }
  return parsed.exit_code;
}

}  // namespace signet::ctl
