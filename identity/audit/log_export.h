// The log as lines of JSON, for other systems and for proofs offline: a first line that names the
// trust domain and the base, a line a record, and at the end checkpoints. docs/formats/audit-log.md
// is its page.
//
// Pure; a LogExportVerifier belongs to one thread.
#pragma once

#include <optional>
#include <string>

#include "identity/audit/log_chain.h"

namespace signet::identity {

inline constexpr Reason kLogExportMalformed{"not an exported log"};

// Longer lines are refused.
inline constexpr std::size_t kLogLineBytes = 256 * 1024;

// Each without the line's end.
std::string FormatLogStart(const std::string& trust_domain, const LogHead& base);
std::string FormatLogRecord(const LoggedRecord& record);
std::string FormatLogCheckpoint(const std::string& trust_domain, const LogCheckpoint& checkpoint);

// A line made by FormatLogCheckpoint(), or the server's log.head file.
struct StatedCheckpoint {
  std::string trust_domain;
  LogCheckpoint checkpoint;
};
Result<StatedCheckpoint> ParseLogCheckpoint(std::string_view text);

// Reads an export line by line and believes nothing in it.
class LogExportVerifier {
 public:
  // `log_key`: the SubjectPublicKeyInfo all checkpoints must be made with; absent: the first one's
  // key counts for all, which shows a change but not who made the log.
  explicit LogExportVerifier(std::optional<Bytes> log_key = std::nullopt)
      : log_key_(std::move(log_key)) {}

  // Fails with kLogExportMalformed, kLogChainBroken, kCheckpointForged or kLogCut, naming the
  // record.
  Status Line(std::string_view line);
  // A checkpoint kept elsewhere: the log must reach it and hold it. Before the first line.
  Status Expect(const StatedCheckpoint& checkpoint);
  // After the last line. Fails with kLogCut when an expected checkpoint was not reached.
  Status Finish() const;

  const std::string& trust_domain() const { return trust_domain_; }
  const LogHead& base() const { return base_; }
  const LogHead& head() const { return chain_.head(); }
  // The newest record that a checkpoint covers; 0: none does.
  std::uint64_t covered() const { return covered_; }

 private:
  Status Start(const std::string& trust_domain, const LogHead& base);
  Status Check(const LogCheckpoint& checkpoint);

  std::optional<Bytes> log_key_;
  std::optional<StatedCheckpoint> expected_;
  bool started_ = false;
  std::string trust_domain_;
  LogHead base_;
  LogVerifier chain_;
  std::uint64_t covered_ = 0;
};

}  // namespace signet::identity
