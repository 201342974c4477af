#include "tools/ctl/completion.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "tools/ctl/output.h"

namespace signet::ctl {
namespace {

// What may follow the command words `path`, as "case" branches of the script.
std::string Branches(const CLI::App& app, const std::string& path) {
  std::string words;
  for (const CLI::App* command : app.get_subcommands(nullptr)) words += command->get_name() + " ";
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) words += "--" + name + " ";
  if (!path.empty()) words += "--socket --output ";
  std::string branches = fmt::format("    '{}') words='{}' ;;\n", path, words);
  for (const CLI::App* command : app.get_subcommands(nullptr))
    branches +=
        Branches(*command, path.empty() ? command->get_name() : path + " " + command->get_name());
  return branches;
}

}  // namespace

int PrintCompletion(const CLI::App& app, Shell shell) {
  std::string script;
  if (shell == Shell::kZsh)
    script += "autoload -Uz compinit bashcompinit && compinit && bashcompinit\n";
  script += fmt::format(R"(_signet() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} path='' words='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${{COMP_WORDS[i]}} in
      -*) ;;
      *) [[ ${{COMP_WORDS[i-1]}} == --* && $i -gt 1 ]] || path="${{path:+$path }}${{COMP_WORDS[i]}}" ;;
    esac
  done
  case $path in
{}  esac
  case ${{COMP_WORDS[COMP_CWORD-1]}} in
    -o|--output) words='text json' ;;
    --socket|--agent-socket|--write|--bundle|--file|--certificate|--key|--combined|--pid-file) COMPREPLY=($(compgen -f -- "$current")); return ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -F _signet signet
)",
                        Branches(app, ""));
  Print(script);
  return 0;
}

}  // namespace signet::ctl
