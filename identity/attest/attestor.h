// How a node proves itself to the server: one NodeAttestor per kind of proof. It decides from what
// the node sends and its own configuration who the node is; whether that node may join (banned,
// joined before, token spent) and what is stored is AgentService's.
//
// Threads: a NodeAttestor is safe from any thread; an Attestation belongs to one at a time. Both
// may block (http_challenge calls the node back) and run on the worker pool.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "identity/proof/nonce.h"
#include "identity/registry/node.h"

namespace signet::identity {

inline constexpr Reason kAttestationRefused{"attestation refused"};

// Challenges that may go back and forth in one attestation, and the time for all of them.
inline constexpr std::size_t kMaxChallenges = 4;
inline constexpr std::chrono::seconds kAttestationTimeout{30};

// Who a node is, proven.
struct NodeAttributes {
  SpiffeId id;
  std::vector<std::string> selector_values;  // without the type, which is the attestor's
  bool can_reattest = false;
  bool first_use_only = false;  // the proof counts once per ID: refused when the node is known
  std::string token_digest;     // spent in the transaction that stores the node; empty: none
};

struct Challenge {
  std::string message;
};
using AttestationStep = std::variant<Challenge, NodeAttributes>;

class Attestation {
 public:
  virtual ~Attestation() = default;
  // The payload first, then the response to each challenge; at most kMaxProofBytes. Nothing follows
  // an error or attributes.
  virtual Result<AttestationStep> Take(std::string_view message) = 0;
};

class NodeAttestor {
 public:
  virtual ~NodeAttestor() = default;
  // As SPIRE names it: "x509pop".
  virtual std::string_view type() const = 0;
  virtual std::unique_ptr<Attestation> Begin() const = 0;
};

// At most one attestor of a type.
class NodeAttestors {
 public:
  explicit NodeAttestors(std::vector<std::unique_ptr<const NodeAttestor>> attestors)
      : attestors_(std::move(attestors)) {}
  // Null: none of this type.
  const NodeAttestor* Find(std::string_view type) const {
    for (const auto& attestor : attestors_)
      if (attestor->type() == type) return attestor.get();
    return nullptr;
  }

 private:
  std::vector<std::unique_ptr<const NodeAttestor>> attestors_;
};

}  // namespace signet::identity
