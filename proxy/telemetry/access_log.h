// The access log: a JSON object a line for each request, connection and refusal, appended to a
// file.
//
// Threads: Take() and Flush() are the telemetry thread's; Reopen() and the counts are safe from any
// thread.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "base/file.h"
#include "proxy/telemetry/record.h"

namespace signet::proxy {

inline constexpr Reason kAccessLogUnusable{"access log cannot be written"};

// One line with its end: {"time":"2026-11-28T01:02:03.456Z","kind":"request",…}. What a record does
// not have is left out.
std::string AccessLogLine(const Record& record);

class AccessLog final : public RecordSink {
 public:
  // `path`: a file, made with mode 0640 when missing, or "-" for standard output. Fails with
  // kAccessLogUnusable.
  static Result<std::unique_ptr<AccessLog>> Open(const std::string& path);

  void Take(const Record& record) override;
  void Flush() override;
  // The file was moved away: the next line goes to a new one of its name.
  void Reopen() { reopen_.store(true, std::memory_order_relaxed); }

  std::vector<Count> counts() const override;

 private:
  AccessLog(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  void Write();

  const std::string path_;
  UniqueFd fd_;
  std::string pending_;
  std::uint64_t pending_lines_ = 0;
  bool torn_ = false;  // the file ends inside a line
  std::atomic<bool> reopen_{false};
  std::atomic<std::uint64_t> lines_{0};
  std::atomic<std::uint64_t> lost_{0};  // what the file did not take
};

}  // namespace signet::proxy
