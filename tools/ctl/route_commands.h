// signet route …: commands over files of routes on this machine (docs/traffic.md).
#pragma once

#include "tools/ctl/commands.h"

namespace CLI {
class App;
}

namespace signet::ctl {

// Adds `route` and its commands to `app`; one that runs leaves its exit code in `exit_code`. All
// outlive the parsing.
void AddRouteCommands(CLI::App* app, Session* session, int* exit_code);

}  // namespace signet::ctl
