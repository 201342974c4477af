// A SPIFFE Workload API over a Unix socket that serves what a test tells it to: SVIDs and bundles,
// changes pushed to open streams, refusals, and absences.
//
// Threads: safe from any thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/test_pki.h"

namespace signet::test {

struct WorkloadAnswer {
  std::string spiffe_id;
  CertifiedKey svid;
  std::vector<ca::Certificate> bundle;                            // of the own trust domain
  std::map<std::string, std::vector<ca::Certificate>> federated;  // by "spiffe://td"
};

class FakeWorkloadApi {
 public:
  // Serves at once; callers wait until Answer() or Deny() says what.
  explicit FakeWorkloadApi(std::string socket_path);
  ~FakeWorkloadApi();

  // To every open stream now, and to new ones first.
  void Answer(WorkloadAnswer answer);
  // Every stream ends with PERMISSION_DENIED.
  void Deny();
  // The agent is away: streams break, the socket is gone.
  void GoAway();
  void ComeBack();

  std::size_t open_streams() const;
  // Calls refused because they lacked the security header.
  std::size_t refused_calls() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace signet::test
