// The path of an agent's ID as a template: the part of Go's text/template that SPIRE's users write
// in agent_path_template.
//
//   /{{ .PluginName }}/{{ .Fingerprint }}
//   /{{ .PluginName }}/{{ .Subject.CommonName | lower }}
//   /{{ .PluginName }}/{{ index .ValidPrincipals 0 }}
//   /{{ .PluginName }}/{{ trimSuffix ".example.org" .Hostname }}
//
// A field, an element of a list, and the functions lower, upper, trimPrefix and trimSuffix, also
// behind a bar. Everything else is an error when it is parsed, never when a node attests.
//
// Threads: immutable.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "identity/spiffe/spiffe_id.h"

namespace signet::identity {

inline constexpr Reason kTemplateMalformed{"malformed agent path template"};
inline constexpr Reason kTemplateUnfilled{"agent path template cannot be filled"};

// What a template may refer to.
struct TemplateField {
  std::string_view name;     // ".Subject.CommonName"; one that ends in ".*" takes any last part
  bool is_list = false;      // to be written {{ index .Name 0 }}
  bool has_slashes = false;  // may stand for several segments; others must not
};

// The values of one node; lists element by element. A value that is not there leaves it unattested.
using TemplateValues = std::map<std::string, std::vector<std::string>, std::less<>>;

class PathTemplate {
 public:
  // A leading slash may be left out, as in SPIRE's examples. Fails with kTemplateMalformed; also
  // when no field is in it but the attestor's name, since every node would get the same ID.
  static Result<PathTemplate> Parse(std::string_view text, std::span<const TemplateField> fields);
  // "/x509pop/0123…". Fails with kTemplateUnfilled, and with kSpiffeIdMalformed when the outcome is
  // no path.
  Result<std::string> Fill(const TemplateValues& values) const;
  const std::string& text() const { return text_; }

 private:
  enum class Function { kLower, kUpper, kTrimPrefix, kTrimSuffix };
  struct Step {
    Function function;
    std::string argument;
  };
  struct Part {
    std::string literal;  // when `field` is empty
    std::string field;
    std::size_t index = 0;
    bool has_slashes = false;
    std::vector<Step> steps;
  };
  class Parser;

  std::string text_;
  std::vector<Part> parts_;
};

// The agent's ID, /spire/agent followed by the filled template. Fails also with kTemplateUnfilled
// when the path's first segment is the name of another attestor than `type`: an ID of theirs must
// not be had by this proof.
Result<SpiffeId> TemplateAgentId(const TrustDomain& trust_domain, std::string_view type,
                                 const PathTemplate& path, const TemplateValues& values);

}  // namespace signet::identity
