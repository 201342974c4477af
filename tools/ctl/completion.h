// Shell completion scripts made from the commands themselves, so that they cannot go stale.
#pragma once

namespace CLI {
class App;
}

namespace signet::ctl {

enum class Shell { kBash, kZsh };
int PrintCompletion(const CLI::App& app, Shell shell);

}  // namespace signet::ctl
