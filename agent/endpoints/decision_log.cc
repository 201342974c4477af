#include "agent/endpoints/decision_log.h"

#include <set>

namespace signet::agent {
namespace {

constexpr std::uint32_t kLinesPerSecond = 200;
constexpr std::size_t kMostNames = 4;

}  // namespace

std::string SelectorNames(const identity::SelectorSet& selectors) {
  std::set<std::string> names;
  for (const identity::Selector& selector : selectors) {
    const auto colon = selector.value.find(':');
    names.insert(colon == std::string::npos
                     ? selector.type
                     : selector.type + ":" + selector.value.substr(0, colon));
  }
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ",") + name;
  return text;
}

std::string GrantedNames(const WorkloadView& view) {
  std::string text;
  for (std::size_t i = 0; i < view.grants.size() && i < kMostNames; ++i)
    text += (text.empty() ? "" : ",") + view.grants[i].entry->spiffe_id.ToString();
  if (view.grants.size() > kMostNames)
    text += " and " + std::to_string(view.grants.size() - kMostNames) + " more";
  return text;
}

DecisionLog::DecisionLog(const Clock& clock, const Logger& log)
    : log_(log), lines_(clock, kLinesPerSecond) {}

void DecisionLog::Note(const net::PeerCredentials& caller, const identity::SelectorSet& selectors,
                       const WorkloadView& view) {
  const auto left_out = lines_.Admit();
  if (!left_out) return;
  const auto say = [&](std::string_view what) {
    log_.Info(what, {{"pid", caller.pid},
                     {"uid", caller.uid},
                     {"selectors", SelectorNames(selectors)},
                     {"identities", GrantedNames(view)},
                     {"not_listed_before", *left_out}});
  };
  switch (view.state) {
    case WorkloadView::State::kGranted:
      return say("workload attested");
    case WorkloadView::State::kDenied:
      return say("workload attested, and no entry fits it");
    case WorkloadView::State::kNotReady:
      return say("workload attested before entries were received");
  }
}

}  // namespace signet::agent
