#include "identity/store/sqlite/log_file.h"

#include <map>

#include "identity/store/sqlite/rows.h"

namespace signet::identity {
namespace {

constexpr std::chrono::milliseconds kBusyTimeout(2000);
constexpr std::size_t kPage = 5000;
constexpr std::size_t kCheckpoints = 5'000'000;

}  // namespace

Result<LogFileReport> VerifyLogFile(const std::string& path,
                                    const std::optional<StatedCheckpoint>& expected) {
  SIGNET_TRY(const auto connection, Connection::Open(path, kBusyTimeout));
  SIGNET_RETURN_IF_ERROR(connection->Execute("PRAGMA query_only = ON"));
  LogFileReport report;
  SIGNET_TRY(report.trust_domain, connection->QueryText("SELECT trust_domain FROM revision"));
  SIGNET_TRY(report.base, SqliteAuditRows::Base(*connection));
  std::map<std::uint64_t, LogCheckpoint> checkpoints;
  SIGNET_TRY(const auto stored, SqliteAuditRows::Checkpoints(*connection, kCheckpoints));
  for (const LogCheckpoint& checkpoint : stored)
    if (checkpoint.head.seq >= report.base.seq) checkpoints[checkpoint.head.seq] = checkpoint;

  LogExportVerifier verifier;
  if (expected) SIGNET_RETURN_IF_ERROR(verifier.Expect(*expected));
  SIGNET_RETURN_IF_ERROR(verifier.Line(FormatLogStart(report.trust_domain, report.base)));
  const auto check = [&](std::uint64_t seq) -> Status {
    const auto checkpoint = checkpoints.find(seq);
    if (checkpoint == checkpoints.end()) return {};
    return verifier.Line(FormatLogCheckpoint(report.trust_domain, checkpoint->second));
  };
  SIGNET_RETURN_IF_ERROR(check(report.base.seq));
  LogFilter filter{.after = report.base.seq, .limit = kPage};
  while (true) {
    SIGNET_TRY(const auto page, SqliteAuditRows::Load(*connection, filter));
    if (page.empty()) break;
    for (const LoggedRecord& record : page) {
      SIGNET_RETURN_IF_ERROR(verifier.Line(FormatLogRecord(record)));
      SIGNET_RETURN_IF_ERROR(check(record.place.seq));
    }
    filter.after = page.back().place.seq;
  }
  // A checkpoint beyond the last record: the tail was cut.
  if (!checkpoints.empty() && checkpoints.rbegin()->first > verifier.head().seq)
    SIGNET_RETURN_IF_ERROR(check(checkpoints.rbegin()->first));
  SIGNET_RETURN_IF_ERROR(verifier.Finish());
  report.head = verifier.head();
  report.covered = verifier.covered();
  return report;
}

}  // namespace signet::identity
