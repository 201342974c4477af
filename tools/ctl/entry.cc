#include "spire/api/server/entry/v1/entry.grpc.pb.h"
#include "tools/ctl/convert.h"

namespace signet::ctl {
namespace {

namespace api = spire::api::server::entry::v1;
constexpr std::string_view kServer = "signet-server";
constexpr int kPageSize = 500;

using Json = nlohmann::ordered_json;

// The filter of `show` and `count` as the API wants it.
template <class Filter>
Status FillFilter(const EntryOptions& options, Filter* filter) {
  if (!options.spiffe_id.empty())
    SIGNET_RETURN_IF_ERROR(SetId(options.spiffe_id, filter->mutable_by_spiffe_id()));
  if (!options.parent_id.empty())
    SIGNET_RETURN_IF_ERROR(SetId(options.parent_id, filter->mutable_by_parent_id()));
  if (!options.selectors.empty()) {
    spire::api::types::Entry parsed;
    EntryOptions only;
    only.selectors = options.selectors;
    SIGNET_RETURN_IF_ERROR(FillEntry(only, 0, &parsed, nullptr));
    *filter->mutable_by_selectors()->mutable_selectors() = parsed.selectors();
    filter->mutable_by_selectors()->set_match(spire::api::types::SelectorMatch::MATCH_SUPERSET);
  }
  for (const std::string& domain : options.federates_with)
    filter->mutable_by_federates_with()->add_trust_domains(domain);
  if (!options.federates_with.empty())
    filter->mutable_by_federates_with()->set_match(
        spire::api::types::FederatesWithMatch::MATCH_SUPERSET);
  if (options.hint) filter->mutable_by_hint()->set_value(*options.hint);
  if (options.downstream) filter->mutable_by_downstream()->set_value(true);
  return {};
}

int PrintOne(const Session& session, const spire::api::types::Entry& entry) {
  if (session.format == Format::kJson)
    Print(ToJson(entry).dump(2) + "\n");
  else
    Print(ToText(entry, UnixSeconds(session.clock->Now())));
  return kOk;
}

int ElementFailed(const spire::api::types::Status& status, std::string_view doing) {
  return ReportStatus(grpc::Status(static_cast<grpc::StatusCode>(status.code()), status.message()),
                      doing);
}

int PrintMany(const Session& session, const std::vector<spire::api::types::Entry>& entries) {
  if (session.format == Format::kJson) {
    Json list = Json::array();
    for (const auto& entry : entries) list.push_back(ToJson(entry));
    Print(list.dump(2) + "\n");
    return kOk;
  }
  for (const auto& entry : entries) Print(ToText(entry, UnixSeconds(session.clock->Now())) + "\n");
  Print(std::to_string(entries.size()) + (entries.size() == 1 ? " entry\n" : " entries\n"));
  return kOk;
}

}  // namespace

int CreateEntry(const Session& session, const EntryOptions& options) {
  constexpr std::string_view kDoing = "entry create";
  api::BatchCreateEntryRequest request;
  if (auto filled =
          FillEntry(options, UnixSeconds(session.clock->Now()), request.add_entries(), nullptr);
      !filled)
    return ReportError(filled.error(), kDoing);
  auto channel = OpenChannel(session.server, kServer);
  if (!channel) return ReportError(channel.error(), kDoing);
  api::BatchCreateEntryResponse response;
  const auto status = api::Entry::NewStub(*channel)->BatchCreateEntry(NewCall(session.server).get(),
                                                                      request, &response);
  if (!status.ok()) return ReportStatus(status, kDoing);
  if (response.results_size() != 1) return ElementFailed({}, kDoing);
  const auto& result = response.results(0);
  if (result.status().code() == 0) return PrintOne(session, result.entry());
  if (result.has_entry() && !result.entry().id().empty())
    std::fprintf(stderr,
                 "signet: an entry with the same SPIFFE ID, parent and selectors exists: %s\n",
                 result.entry().id().c_str());
  return ElementFailed(result.status(), kDoing);
}

int ShowEntries(const Session& session, const EntryOptions& filter) {
  constexpr std::string_view kDoing = "entry show";
  auto channel = OpenChannel(session.server, kServer);
  if (!channel) return ReportError(channel.error(), kDoing);
  auto stub = api::Entry::NewStub(*channel);
  if (!filter.id.empty()) {
    api::GetEntryRequest request;
    request.set_id(filter.id);
    spire::api::types::Entry entry;
    const auto status = stub->GetEntry(NewCall(session.server).get(), request, &entry);
    return status.ok() ? PrintOne(session, entry) : ReportStatus(status, kDoing);
  }
  api::ListEntriesRequest request;
  if (auto filled = FillFilter(filter, request.mutable_filter()); !filled)
    return ReportError(filled.error(), kDoing);
  request.set_page_size(kPageSize);
  std::vector<spire::api::types::Entry> entries;
  do {
    api::ListEntriesResponse response;
    const auto status = stub->ListEntries(NewCall(session.server).get(), request, &response);
    if (!status.ok()) return ReportStatus(status, kDoing);
    entries.insert(entries.end(), response.entries().begin(), response.entries().end());
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return PrintMany(session, entries);
}

int UpdateEntry(const Session& session, const EntryOptions& options) {
  constexpr std::string_view kDoing = "entry update";
  api::BatchUpdateEntryRequest request;
  if (auto filled = FillEntry(options, UnixSeconds(session.clock->Now()), request.add_entries(),
                              request.mutable_input_mask());
      !filled)
    return ReportError(filled.error(), kDoing);
  auto channel = OpenChannel(session.server, kServer);
  if (!channel) return ReportError(channel.error(), kDoing);
  api::BatchUpdateEntryResponse response;
  const auto status = api::Entry::NewStub(*channel)->BatchUpdateEntry(NewCall(session.server).get(),
                                                                      request, &response);
  if (!status.ok()) return ReportStatus(status, kDoing);
  if (response.results_size() != 1 || response.results(0).status().code() != 0)
    return ElementFailed(
        response.results_size() == 1 ? response.results(0).status() : spire::api::types::Status(),
        kDoing);
  return PrintOne(session, response.results(0).entry());
}

int DeleteEntries(const Session& session, const std::vector<std::string>& ids) {
  constexpr std::string_view kDoing = "entry delete";
  auto channel = OpenChannel(session.server, kServer);
  if (!channel) return ReportError(channel.error(), kDoing);
  api::BatchDeleteEntryRequest request;
  for (const std::string& id : ids) request.add_ids(id);
  api::BatchDeleteEntryResponse response;
  const auto status = api::Entry::NewStub(*channel)->BatchDeleteEntry(NewCall(session.server).get(),
                                                                      request, &response);
  if (!status.ok()) return ReportStatus(status, kDoing);
  int exit_code = kOk;
  Json list = Json::array();
  for (const auto& result : response.results()) {
    list.push_back({{"id", result.id()},
                    {"code", result.status().code()},
                    {"message", result.status().message()}});
    if (result.status().code() != 0)
      exit_code = ElementFailed(result.status(), "entry delete " + result.id());
    else if (session.format == Format::kText)
      Print("deleted " + result.id() + "\n");
  }
  if (session.format == Format::kJson) Print(list.dump(2) + "\n");
  return exit_code;
}

int CountEntries(const Session& session, const EntryOptions& filter) {
  constexpr std::string_view kDoing = "entry count";
  api::CountEntriesRequest request;
  if (auto filled = FillFilter(filter, request.mutable_filter()); !filled)
    return ReportError(filled.error(), kDoing);
  auto channel = OpenChannel(session.server, kServer);
  if (!channel) return ReportError(channel.error(), kDoing);
  api::CountEntriesResponse response;
  const auto status = api::Entry::NewStub(*channel)->CountEntries(NewCall(session.server).get(),
                                                                  request, &response);
  if (!status.ok()) return ReportStatus(status, kDoing);
  if (session.format == Format::kJson)
    Print(Json{{"count", response.count()}}.dump() + "\n");
  else
    Print(std::to_string(response.count()) + "\n");
  return kOk;
}

}  // namespace signet::ctl
