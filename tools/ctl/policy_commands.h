// signet policy …: commands over files of rules on this machine (docs/policy.md).
#pragma once

#include "tools/ctl/commands.h"

namespace CLI {
class App;
}

namespace signet::ctl {

// Adds `policy` and its commands to `app`; one that runs leaves its exit code in `exit_code`. All
// outlive the parsing.
void AddPolicyCommands(CLI::App* app, Session* session, int* exit_code);

}  // namespace signet::ctl
