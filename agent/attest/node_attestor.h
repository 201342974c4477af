// How this node proves itself to its server: one NodeAttestor per kind of proof, one NodeProof per
// attempt. The conversation with the server is NodeAuthority's.
//
// Threads: one at a time.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace signet::agent {

class NodeProof {
 public:
  virtual ~NodeProof() = default;
  virtual std::string_view payload() const = 0;
  // To a challenge of the server.
  virtual Result<std::string> Respond(std::string_view challenge) = 0;
  // SHA-256, in hex, of what cannot be shown again after this attempt; empty: nothing.
  virtual std::string spent() const { return {}; }
};

class NodeAttestor {
 public:
  virtual ~NodeAttestor() = default;
  // As SPIRE names it: "x509pop".
  virtual std::string_view type() const = 0;
  // Whether this node can prove itself again and again, without anybody's help.
  virtual bool can_repeat() const = 0;
  // Files are read here, so that what was replaced meanwhile is used. Fails with kNoProof
  // (denial.h) when there is nothing to show.
  virtual Result<std::unique_ptr<NodeProof>> Begin() = 0;
};

}  // namespace signet::agent
