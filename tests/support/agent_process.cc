#include "tests/support/agent_process.h"

#include <csignal>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace signet::test {
namespace {

using std::chrono::seconds;

std::string ReadText(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

void PinPort(const ServerProcess& server) {
  std::string config = ReadText(server.config_path());
  const std::string any = "listen: 127.0.0.1:0\n";
  const auto found = config.find(any);
  if (found == config.npos) return;
  config.replace(found, any.size(), "listen: " + server.address().ToString() + "\n");
  std::ofstream(server.config_path()) << config;
}

AgentProcess::AgentProcess(std::string bin, const ServerProcess& server,
                           const std::string& settings)
    : bin_(std::move(bin)),
      socket_(folder_.File("api.sock")),
      config_path_(folder_.File("agent.yaml")) {
  ca::Chain roots;
  const auto bundle = GetBundle(*server.Admin());
  for (const auto& authority : bundle.x509_authorities())
    roots.push_back(*ca::Certificate::Parse(AsBytes(authority.asn1())));
  std::ofstream(folder_.File("bundle.pem")) << ca::ToPem(roots);
  std::ofstream(config_path_) << "trust_domain: " << bundle.trust_domain()
                              << "\ndata_dir: " << folder_.File("data")
                              << "\nserver: " << server.address().ToString()
                              << "\nsocket: " << socket_
                              << "\ntrust_bundle: " << folder_.File("bundle.pem") << "\n"
                              << settings;
}

void AgentProcess::Launch(const std::string& token) {
  std::vector<std::string> arguments{bin_ + "/signet-agent", "run", "--config", config_path_};
  if (!token.empty()) arguments.insert(arguments.end(), {"--join-token", token});
  process_ = std::make_unique<Process>(arguments, folder_.File("output"));
}

void AgentProcess::Start(const std::string& token) {
  Launch(token);
  if (!process_->WaitForSocket(socket_, seconds(10)))
    throw std::runtime_error("signet-agent does not serve:\n" + Output());
}

ProcessEnd AgentProcess::StartRefused(const std::string& token) {
  Launch(token);
  const auto end = process_->Wait(seconds(10));
  if (!end) throw std::runtime_error("signet-agent was expected to give up:\n" + Output());
  return *end;
}

ProcessEnd AgentProcess::Stop() {
  process_->Signal(SIGTERM);
  const auto end = process_->Wait(seconds(10));
  if (!end) throw std::runtime_error("signet-agent did not end:\n" + Output());
  return *end;
}

std::string AgentProcess::AgentId() const {
  const std::string label = "agent_id=";
  const auto deadline = std::chrono::steady_clock::now() + seconds(10);
  std::string output = Output();
  // The socket answers once before, when the agent tries whether it can open it.
  while (output.find(label) == output.npos && std::chrono::steady_clock::now() < deadline &&
         !process_->Wait(std::chrono::milliseconds(5)))
    output = Output();
  const auto found = output.find(label);
  if (found == output.npos) throw std::runtime_error("no agent id:\n" + output);
  const auto begin = found + label.size();
  return output.substr(begin, output.find_first_of(" \n", begin) - begin);
}

}  // namespace signet::test
