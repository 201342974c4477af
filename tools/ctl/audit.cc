#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <iostream>
#include <thread>

#include "base/file.h"
#include "identity/audit/log_export.h"
#include "tools/ctl/audit_client.h"
#include "tools/ctl/convert.h"

namespace signet::ctl {
namespace {

namespace api = signet::audit::v1;
using identity::AuditRecord;
using identity::LoggedRecord;
using Json = nlohmann::ordered_json;

constexpr std::size_t kCheckpointBytes = 64 * 1024;
constexpr auto kTailInterval = std::chrono::milliseconds(500);

// "2h" means two hours ago; RFC 3339 and Unix seconds are as they are.
Result<std::int64_t> TimeOf(const std::string& text, std::string_view option, std::int64_t now) {
  if (text.empty()) return 0;
  if (const auto ago = Seconds(text, option)) return now - *ago;
  std::int64_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error == std::errc() && end == text.data() + text.size()) return seconds;
  std::tm parts{};
  const char* rest = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  if (rest != nullptr && *rest == '\0') return static_cast<std::int64_t>(::timegm(&parts));
  return Fail(
      Code::kInvalidArgument, Reason{"not a time"},
      fmt::format("{}: '{}'; write 2h (ago), 2026-01-31T12:00:00Z or Unix seconds", option, text));
}

Result<api::ListRecordsRequest> RequestOf(const AuditOptions& options, std::int64_t now) {
  api::ListRecordsRequest request;
  SIGNET_TRY(const auto since, TimeOf(options.since, "--since", now));
  SIGNET_TRY(const auto until, TimeOf(options.until, "--until", now));
  request.set_since(since);
  request.set_until(until);
  request.set_subject(options.subject);
  request.set_serial(options.serial);
  request.set_event(options.event);
  request.set_object(options.object);
  request.set_page_size(kAuditPage);
  return request;
}

std::string About(const AuditRecord& record) {
  std::string about = record.subject.empty() ? record.object : record.subject;
  if (!record.serial.empty()) about += " serial " + record.serial;
  if (!record.authority_id.empty() && record.serial.empty()) about += " " + record.authority_id;
  return about;
}

std::vector<std::string> RowOf(const LoggedRecord& logged) {
  const AuditRecord& record = logged.record;
  return {std::to_string(logged.place.seq), FormatTime(FromUnixSeconds(record.recorded_at)),
          EventName(record), record.actor, About(record)};
}

identity::LogCheckpoint CheckpointOf(const api::Checkpoint& proto) {
  return {.head = FromProto(proto.head()),
          .made_at = proto.made_at(),
          .public_key = ToBytes(AsBytes(proto.public_key())),
          .signature = ToBytes(AsBytes(proto.signature()))};
}

Result<std::optional<identity::StatedCheckpoint>> ReadCheckpointFile(const std::string& path) {
  if (path.empty()) return std::nullopt;
  SIGNET_TRY(const Bytes bytes, ReadFile(path, kCheckpointBytes));
  SIGNET_TRY(auto stated, identity::ParseLogCheckpoint(AsText(bytes)));
  return std::optional(std::move(stated));
}

// The database's reader is the server program's; it stands beside this one, or on the PATH.
int VerifyDatabase(const AuditOptions& options) {
  std::vector<std::string> words = {"signet-server", "verify-log", "--database", options.file};
  if (!options.checkpoint.empty()) {
    words.emplace_back("--checkpoint");
    words.push_back(options.checkpoint);
  }
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  char self[4096] = {};
  const auto length = ::readlink("/proc/self/exe", self, sizeof self - 1);
  std::cout.flush();
  if (length > 0) {
    const std::string path(self, static_cast<std::size_t>(length));
    ::execv((path.substr(0, path.rfind('/') + 1) + words.front()).c_str(), arguments.data());
  }
  ::execvp(words.front().c_str(), arguments.data());
  return ReportError({Code::kUnavailable, Reason{"signet-server cannot be run"},
                      ErrnoText(errno) + "; it reads databases: put it beside signet"},
                     "audit verify");
}

bool IsDatabase(const std::string& path) {
  constexpr std::string_view kMagic = "SQLite format 3";
  std::ifstream file(path, std::ios::binary);
  std::string start(kMagic.size(), '\0');
  file.read(start.data(), static_cast<std::streamsize>(start.size()));
  return file && start == kMagic;
}

Status VerifyExport(const AuditOptions& options, identity::LogExportVerifier* verifier) {
  SIGNET_TRY(const auto expected, ReadCheckpointFile(options.checkpoint));
  if (expected) SIGNET_RETURN_IF_ERROR(verifier->Expect(*expected));
  std::ifstream file;
  if (options.file != "-") {
    file.open(options.file);
    if (!file) return Fail(Code::kNotFound, kFileMissing, options.file + ": " + ErrnoText(errno));
  }
  std::istream& input = options.file == "-" ? std::cin : file;
  std::string line;
  for (std::uint64_t number = 1; std::getline(input, line); ++number) {
    if (auto followed = verifier->Line(line); !followed) {
      Error error = std::move(followed).error();
      error.detail = fmt::format("{}:{}: {}", options.file, number, error.detail);
      return Fail(std::move(error));
    }
  }
  return verifier->Finish();
}

}  // namespace

int ListAudit(const Session& session, const AuditOptions& options) {
  constexpr std::string_view kDoing = "audit list";
  auto request = RequestOf(options, UnixSeconds(session.clock->Now()));
  if (!request) return ReportError(request.error(), kDoing);
  request->set_newest_first(true);
  auto stub = OpenAudit(session);
  if (!stub) return ReportError(stub.error(), kDoing);
  std::vector<LoggedRecord> found;
  const auto status = PageAudit(**stub, session, &*request, [&](LoggedRecord record) {
    found.push_back(std::move(record));
    return found.size() < options.limit;
  });
  if (!status.ok()) return ReportStatus(status, kDoing);
  std::ranges::reverse(found);
  if (session.format == Format::kJson) {
    Json list = Json::array();
    for (const LoggedRecord& record : found) list.push_back(AuditJson(record));
    Print(list.dump(2) + "\n");
  } else if (found.empty()) {
    Print("no records fit\n");
  } else {
    std::vector<std::vector<std::string>> rows;
    for (const LoggedRecord& record : found) rows.push_back(RowOf(record));
    Print(Table({"RECORD", "TIME", "EVENT", "BY", "ABOUT"}, rows));
  }
  return kOk;
}

int TailAudit(const Session& session, const AuditOptions& options) {
  constexpr std::string_view kDoing = "audit tail";
  auto request = RequestOf(options, UnixSeconds(session.clock->Now()));
  if (!request) return ReportError(request.error(), kDoing);
  auto stub = OpenAudit(session);
  if (!stub) return ReportError(stub.error(), kDoing);
  api::Checkpoint now;
  const auto asked = (*stub)->GetCheckpoint(NewCall(session.server).get(), {}, &now);
  if (!asked.ok()) return ReportStatus(asked, kDoing);
  request->set_after_seq(now.head().seq() - std::min(now.head().seq(), options.limit));
  while (true) {
    const auto status = PageAudit(**stub, session, &*request, [&](const LoggedRecord& record) {
      if (session.format == Format::kJson) {
        Print(AuditJson(record).dump() + "\n");
      } else {
        Print(fmt::format("{}\n", fmt::join(RowOf(record), "  ")));
      }
      return true;
    });
    if (!status.ok()) return ReportStatus(status, kDoing);
    std::this_thread::sleep_for(kTailInterval);
  }
}

int ExportAudit(const Session& session) {
  constexpr std::string_view kDoing = "audit export";
  auto stub = OpenAudit(session);
  if (!stub) return ReportError(stub.error(), kDoing);
  api::Checkpoint checkpoint;
  auto status = (*stub)->GetCheckpoint(NewCall(session.server).get(), {}, &checkpoint);
  if (!status.ok()) return ReportStatus(status, kDoing);
  api::ListRecordsRequest request;
  request.set_page_size(kAuditPage);
  api::ListRecordsResponse first;
  request.set_before_seq(checkpoint.head().seq() + 1);
  bool started = false;
  const auto start = [&] {
    if (std::exchange(started, true)) return;
    Print(identity::FormatLogStart(first.trust_domain(), FromProto(first.base())) + "\n");
  };
  status = PageAudit(
      **stub, session, &request,
      [&](const LoggedRecord& record) {
        start();
        Print(identity::FormatLogRecord(record) + "\n");
        return true;
      },
      &first);
  if (!status.ok()) return ReportStatus(status, kDoing);
  start();
  Print(identity::FormatLogCheckpoint(checkpoint.trust_domain(), CheckpointOf(checkpoint)) + "\n");
  return kOk;
}

int ShowCheckpoint(const Session& session) {
  constexpr std::string_view kDoing = "audit checkpoint";
  auto stub = OpenAudit(session);
  if (!stub) return ReportError(stub.error(), kDoing);
  api::Checkpoint checkpoint;
  const auto status = (*stub)->GetCheckpoint(NewCall(session.server).get(), {}, &checkpoint);
  if (!status.ok()) return ReportStatus(status, kDoing);
  Print(identity::FormatLogCheckpoint(checkpoint.trust_domain(), CheckpointOf(checkpoint)) + "\n");
  return kOk;
}

int VerifyAudit(const Session& session, const AuditOptions& options) {
  if (options.file != "-" && IsDatabase(options.file)) return VerifyDatabase(options);
  identity::LogExportVerifier verifier;
  if (auto verified = VerifyExport(options, &verifier); !verified)
    return ReportError(verified.error(), "audit verify");
  if (session.format == Format::kJson) {
    Print(Json{{"trust_domain", verifier.trust_domain()},
               {"first", verifier.base().seq + 1},
               {"last", verifier.head().seq},
               {"covered_by_checkpoint", verifier.covered()}}
              .dump(2) +
          "\n");
  } else {
    Print(fmt::format("{}: records {} to {} are as they were written; checkpoints cover up to {}\n",
                      verifier.trust_domain(), verifier.base().seq + 1, verifier.head().seq,
                      verifier.covered()));
  }
  return kOk;
}

int PruneAudit(const Session& session, const AuditOptions& options) {
  constexpr std::string_view kDoing = "audit prune";
  const auto before = TimeOf(options.until, "--before", UnixSeconds(session.clock->Now()));
  if (!before) return ReportError(before.error(), kDoing);
  auto stub = OpenAudit(session);
  if (!stub) return ReportError(stub.error(), kDoing);
  api::PruneRequest request;
  request.set_before(*before);
  api::PruneResponse response;
  const auto status = (*stub)->Prune(NewCall(session.server).get(), request, &response);
  if (!status.ok()) return ReportStatus(status, kDoing);
  if (session.format == Format::kJson)
    Print(Json{{"removed", response.removed()}, {"base", response.base().seq()}}.dump() + "\n");
  else
    Print(fmt::format("removed {} records; the log now begins after record {}\n",
                      response.removed(), response.base().seq()));
  return kOk;
}

}  // namespace signet::ctl
