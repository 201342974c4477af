// signet svid …: what the agent's Workload API gives this process, put where others read it
// (docs/files.md).
#pragma once

#include <string>
#include <vector>

#include "files/file_set.h"
#include "tools/ctl/commands.h"
#include "tools/ctl/x509_response.h"

namespace CLI {
class App;
}

namespace signet::ctl {

struct SvidFilesOptions {
  std::string agent_socket;
  std::string timeout = "5s";
  std::string spiffe_id, hint;  // empty: the agent's first SVID
  std::string certificate, key, combined, bundle;
  bool federated = false;
  std::string owner, group;
  std::string mode = "0644", key_mode = "0600";
  std::vector<std::string> command;
  std::string command_timeout = "30s";
  std::string signal, pid_file;
  bool watch = false;
};

// Once, or with `watch` until interrupted: then a missing agent, SVID or folder is waited for.
int WriteSvidFiles(const Session& session, const SvidFilesOptions& options);

// Which files, for whom, and who is told. Fails with INVALID_ARGUMENT.
Result<files::FileSet> ReadFileSet(const SvidFilesOptions& options);
// The first SVID with this ID and this hint; empty: any. Fails with NOT_FOUND.
Result<Svid> ChooseSvid(std::vector<Svid> svids, const std::string& spiffe_id,
                        const std::string& hint);

// Adds `svid` and its commands to `app`; one that runs leaves its exit code in `exit_code`. All
// outlive the parsing.
void AddSvidFileCommands(CLI::App* app, Session* session, int* exit_code,
                         const std::string& agent_socket);

}  // namespace signet::ctl
