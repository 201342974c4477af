// What the Workload API answers, read as a client must (Workload API, 4.5): whole and well formed,
// or not at all.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "ca/x509/certificate.h"
#include "spiffe/workload.pb.h"

namespace signet::ctl {

// One SVID as it is shown and written.
struct Svid {
  std::string id;
  ca::Chain chain;
  SecretBytes key;  // PKCS#8 DER
  std::vector<ca::Certificate> bundle;
  std::vector<ca::Certificate> federated;  // of other trust domains, in the order of their names
  std::string hint;
};

// Fails when there is no SVID, or anything in the message does not parse, federated bundles too.
Result<std::vector<Svid>> ReadX509Response(const X509SVIDResponse& response);

}  // namespace signet::ctl
