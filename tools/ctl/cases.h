// What commands over files with test cases in them share: problems, outcomes, options of pairs.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/config.h"
#include "base/result.h"
#include "tools/ctl/commands.h"

namespace signet::ctl {

struct CaseOutcome {
  std::string name;
  std::string file;
  int line = 0;
  std::string failure;  // empty: it holds
};

// Prints the problems; kUsage when there are any.
int ReportProblems(const Session& session, const ConfigProblems& problems);

// Prints how the cases in the file at `path` came out, and writes them to `junit` unless that is
// empty. kFailed when one failed or there is none: a run of no tests proves nothing.
int ReportCases(const Session& session, const std::string& path, const std::string& junit,
                const std::vector<CaseOutcome>& outcomes);

// "name<separator>value" each.
Result<std::vector<std::pair<std::string, std::string>>> ReadPairs(
    const std::vector<std::string>& texts, char separator);

}  // namespace signet::ctl
