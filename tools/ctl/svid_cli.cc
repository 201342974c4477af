#include <CLI/CLI.hpp>
#include <memory>

#include "tools/ctl/svid_commands.h"

namespace signet::ctl {
namespace {

constexpr const char* kExamples = R"(Examples:
  signet svid files --certificate cert.pem --key key.pem --bundle bundle.pem
  signet svid files --watch --combined /etc/haproxy/web.pem --group haproxy --key-mode 0640 \
      --signal USR2 --pid-file /run/haproxy.pid
  signet svid files --watch --spiffe-id spiffe://example.org/web --certificate /etc/nginx/tls/cert.pem \
      --key /etc/nginx/tls/key.pem -- /usr/sbin/nginx -s reload
  signet svid files --watch --bundle /etc/app/roots.pem --federated -o json

This process is the workload: it gets what entries grant to its user, path or container.)";

void AddPlaces(CLI::App* command, SvidFilesOptions* options) {
  const auto file = [&](const char* name, std::string* path, const char* about) {
    command->add_option(name, *path, about)->type_name("FILE");
  };
  file("--certificate", &options->certificate, "Certificate and chain, leaf first");
  file("--key", &options->key, "Its key (PKCS#8)");
  file("--combined", &options->combined, "Key and chain in one file, never of two SVIDs");
  file("--bundle", &options->bundle, "Roots of the own trust domain");
  command->add_flag("--federated", options->federated,
                    "Also roots of the trust domains the entry federates with");
  command->add_option("--owner", options->owner, "Owner of all: a user's name or number")
      ->type_name("USER");
  command->add_option("--group", options->group, "Group of all")->type_name("GROUP");
  command->add_option("--mode", options->mode, "Mode of certificate and bundle")
      ->type_name("OCTAL")
      ->capture_default_str();
  command->add_option("--key-mode", options->key_mode, "Mode of key and combined")
      ->type_name("OCTAL")
      ->capture_default_str();
}

void AddRenewal(CLI::App* command, SvidFilesOptions* options) {
  command->add_flag("--watch", options->watch,
                    "Keep them fresh until interrupted; an agent that is away is waited for");
  command
      ->add_option("--signal", options->signal, "Sent once files changed: HUP, USR1, USR2, WINCH")
      ->type_name("NAME");
  command->add_option("--pid-file", options->pid_file, "Whose first line says to which process")
      ->type_name("FILE");
  command
      ->add_option("command", options->command,
                   "After --: program (absolute path) and words, run once files changed; no shell")
      ->type_name("PROGRAM");
  command
      ->add_option("--command-timeout", options->command_timeout,
                   "Then it is killed, with all it started")
      ->type_name("DURATION")
      ->capture_default_str();
}

}  // namespace

void AddSvidFileCommands(CLI::App* app, Session* session, int* exit_code,
                         const std::string& agent_socket) {
  CLI::App* svid = app->add_subcommand("svid", "SVIDs as files, for programs that know no SPIFFE");
  svid->require_subcommand(1);
  const auto options = std::make_shared<SvidFilesOptions>();
  options->agent_socket = agent_socket;
  CLI::App* command = svid->add_subcommand(
      "files", "Write this process's X.509-SVID as files, once or whenever it is renewed");
  command->footer(kExamples);
  command->callback([=] { *exit_code = WriteSvidFiles(*session, *options); });
  command
      ->add_option("--agent-socket", options->agent_socket,
                   "The agent's Workload API socket (or SPIFFE_ENDPOINT_SOCKET)")
      ->type_name("PATH")
      ->capture_default_str();
  command->add_option("--timeout", options->timeout, "How long to wait for an answer")
      ->type_name("DURATION")
      ->capture_default_str();
  command->add_option("--spiffe-id", options->spiffe_id, "Of this identity; else the first given")
      ->type_name("ID");
  command->add_option("--hint", options->hint, "Of the one with this hint")->type_name("TEXT");
  AddPlaces(command, options.get());
  AddRenewal(command, options.get());
}

}  // namespace signet::ctl
