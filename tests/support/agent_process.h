// A real signet-agent beside a ServerProcess, with folders of its own.
//
// Threads: none.
#pragma once

#include <memory>
#include <string>

#include "tests/support/process.h"
#include "tests/support/server_process.h"
#include "tests/support/temp_dir.h"

namespace signet::test {

// The server keeps the port it has now over restarts, so that agents find it again.
void PinPort(const ServerProcess& server);

class AgentProcess {
 public:
  // Trusts the server's present bundle. `settings`: lines of YAML added.
  AgentProcess(std::string bin, const ServerProcess& server, const std::string& settings = {});

  // Starts it, with the token when it is not empty, and waits until its socket answers; throws with
  // its output when it does not within ten seconds.
  void Start(const std::string& token = {});
  // Starts it and waits for it to give up.
  ProcessEnd StartRefused(const std::string& token = {});
  void Kill() { process_->Kill(); }
  // SIGTERM; throws when it has not ended within ten seconds.
  ProcessEnd Stop();

  Process& process() { return *process_; }
  const std::string& socket() const { return socket_; }
  const std::string& folder() const { return folder_.path(); }
  const std::string& config_path() const { return config_path_; }
  std::string Output() const { return process_->Output(); }
  // Of the running one; waits until it is attested, throws when that takes ten seconds.
  std::string AgentId() const;

 private:
  void Launch(const std::string& token);
  const std::string bin_;
  TempDir folder_;
  std::string socket_;
  std::string config_path_;
  std::unique_ptr<Process> process_;
};

}  // namespace signet::test
