// signet proxy …: what a proxy on this machine is doing.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <thread>

#include "base/config.h"
#include "tools/ctl/proxy_client.h"
#include "tools/ctl/proxy_commands.h"

namespace signet::ctl {
namespace {

using Json = nlohmann::ordered_json;

// The proxy's bounds of buckets, in milliseconds (docs/observability.md).
constexpr std::array kBoundsMs = {0.5,   1.0,   2.5,   5.0,    10.0,   25.0,   50.0,
                                  100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0};
constexpr std::chrono::milliseconds kTapPause(200);

std::string TextOf(const Json& json, const char* name) { return json.value(name, std::string()); }

std::uint64_t NumberAt(const Json& list, std::size_t i) {
  return list.is_array() && i < list.size() && list[i].is_number_unsigned()
             ? list[i].get<std::uint64_t>()
             : 0;
}

// One series of requests, or the difference of two of its states.
struct Series {
  std::array<std::uint64_t, 6> classes{};
  std::array<std::uint64_t, kBoundsMs.size() + 1> buckets{};

  std::uint64_t requests() const {
    std::uint64_t sum = 0;
    for (const std::uint64_t each : classes) sum += each;
    return sum;
  }
  // Ended with an answer that is no failure of ours or of what is behind us.
  double success() const {
    const std::uint64_t good = classes[1] + classes[2] + classes[3] + classes[4];
    return requests() == 0 ? 1 : static_cast<double>(good) / static_cast<double>(requests());
  }
  // "≤5ms": the bound of the bucket that holds it.
  std::string Quantile(double share) const {
    const double wanted = share * static_cast<double>(requests());
    std::uint64_t below = 0;
    if (requests() == 0) return "-";
    for (std::size_t i = 0; i < kBoundsMs.size(); ++i) {
      below += buckets[i];
      if (static_cast<double>(below) >= wanted) return fmt::format("<={}ms", kBoundsMs[i]);
    }
    return fmt::format(">{}ms", kBoundsMs.back());
  }
};

using SeriesKey = std::array<std::string, 4>;  // direction, listener, peer, route
using SeriesMap = std::map<SeriesKey, Series>;

Result<SeriesMap> FetchSeries(const Session& session) {
  SIGNET_TRY(const Json json, AskProxy(session.server, "/series"));
  SeriesMap all;
  for (const Json& each : json) {
    Series& series = all[{TextOf(each, "direction"), TextOf(each, "listener"), TextOf(each, "peer"),
                          TextOf(each, "route")}];
    for (std::size_t i = 0; i < series.classes.size(); ++i)
      series.classes[i] = NumberAt(each.value("classes", Json()), i);
    for (std::size_t i = 0; i < series.buckets.size(); ++i)
      series.buckets[i] = NumberAt(each.value("buckets", Json()), i);
  }
  return all;
}

Series Difference(const Series& now, const Series& before) {
  Series difference;
  for (std::size_t i = 0; i < now.classes.size(); ++i)
    difference.classes[i] = now.classes[i] - std::min(now.classes[i], before.classes[i]);
  for (std::size_t i = 0; i < now.buckets.size(); ++i)
    difference.buckets[i] = now.buckets[i] - std::min(now.buckets[i], before.buckets[i]);
  return difference;
}

// An absent or empty wish takes all; "a*" takes what begins so.
bool Takes(const std::string& wish, const std::string& text) {
  if (wish.ends_with('*')) return text.starts_with(wish.substr(0, wish.size() - 1));
  return wish.empty() || wish == text;
}

bool TakesSeries(const ProxyOptions& options, const SeriesKey& key) {
  return Takes(options.direction, key[0]) && Takes(options.listener, key[1]) &&
         Takes(options.peer, key[2]);
}

bool TakesStatus(const std::string& wish, int status) {
  if (wish.empty()) return true;
  const std::string text = std::to_string(status);
  return wish == text || (wish.size() == 3 && wish.ends_with("xx") && text[0] == wish[0]);
}

// Of records and connections alike.
bool TakesObject(const ProxyOptions& options, const Json& object) {
  const bool outbound = TextOf(object, "direction") == "outbound";
  return Takes(options.direction, TextOf(object, "direction")) &&
         Takes(options.listener, TextOf(object, "listener")) &&
         Takes(options.peer, TextOf(object, outbound ? "callee" : "caller"));
}

bool TakesRecord(const ProxyOptions& options, const Json& record) {
  return TakesObject(options, record) && Takes(options.method, TextOf(record, "method")) &&
         Takes(options.path, TextOf(record, "path")) &&
         TakesStatus(options.status, record.value("status", 0));
}

Json ToJson(const SeriesKey& key, const Series& series, double seconds) {
  Json json{{"direction", key[0]},
            {"listener", key[1]},
            {"peer", key[2]},
            {"route", key[3]},
            {"requests", series.requests()},
            {"success", series.success()},
            {"p50", series.Quantile(0.5)},
            {"p99", series.Quantile(0.99)}};
  if (seconds > 0) json["per_second"] = static_cast<double>(series.requests()) / seconds;
  return json;
}

// `seconds`: what the series are a difference over; 0: since the proxy's start.
void PrintSeries(const Session& session, const std::vector<std::pair<SeriesKey, Series>>& all,
                 double seconds) {
  if (session.format == Format::kJson) {
    Json list = Json::array();
    for (const auto& [key, series] : all) list.push_back(ToJson(key, series, seconds));
    return Print(list.dump(2) + "\n");
  }
  std::vector<std::vector<std::string>> rows;
  for (const auto& [key, series] : all) {
    const std::string count =
        seconds > 0 ? fmt::format("{:.1f}", static_cast<double>(series.requests()) / seconds)
                    : std::to_string(series.requests());
    rows.push_back({key[0], key[1], key[2].empty() ? "-" : key[2], key[3].empty() ? "-" : key[3],
                    count, fmt::format("{:.2f}%", 100 * series.success()), series.Quantile(0.5),
                    series.Quantile(0.99)});
  }
  Print(Table({"DIRECTION", "LISTENER", "PEER", "ROUTE", seconds > 0 ? "PER SECOND" : "REQUESTS",
               "SUCCESS", "P50", "P99"},
              rows));
}

std::string RecordLine(const Json& record) {
  if (TextOf(record, "kind") != "request")
    return fmt::format("{} {} {} {} {} -> {} {}\n", TextOf(record, "time"),
                       TextOf(record, "direction"), TextOf(record, "listener"),
                       TextOf(record, "kind"), TextOf(record, "caller"), TextOf(record, "callee"),
                       TextOf(record, "end"));
  return fmt::format("{} {} {} {} -> {} {} {}{} {} {} {:.1f}ms\n", TextOf(record, "time"),
                     TextOf(record, "direction"), TextOf(record, "listener"),
                     TextOf(record, "caller"), TextOf(record, "callee"), TextOf(record, "method"),
                     TextOf(record, "host"), TextOf(record, "path"), record.value("status", 0),
                     TextOf(record, "end"), record.value("seconds", 0.0) * 1000);
}

// How many of `records` were shown.
std::uint64_t ShowRecords(const Session& session, const ProxyOptions& options, const Json& records,
                          std::uint64_t at_most) {
  std::uint64_t shown = 0;
  for (const Json& record : records) {
    if (shown == at_most) break;
    if (!TakesRecord(options, record)) continue;
    Print(session.format == Format::kJson ? record.dump() + "\n" : RecordLine(record));
    ++shown;
  }
  std::fflush(stdout);
  return shown;
}

}  // namespace

int ShowProxyStat(const Session& session, const ProxyOptions& options) {
  auto series = FetchSeries(session);
  if (!series) return ReportError(series.error(), "proxy stat");
  std::vector<std::pair<SeriesKey, Series>> all(series->begin(), series->end());
  std::erase_if(all, [&](const auto& each) { return !TakesSeries(options, each.first); });
  PrintSeries(session, all, 0);
  return kOk;
}

int ShowProxyTop(const Session& session, const ProxyOptions& options) {
  const auto interval = ParseDuration(options.interval);
  if (!interval || *interval <= Duration(0)) {
    std::fprintf(stderr, "signet: proxy top: --interval: '%s' is no duration, such as 2s\n",
                 options.interval.c_str());
    return kUsage;
  }
  auto before = FetchSeries(session);
  for (std::uint64_t round = 0; options.count == 0 || round < options.count; ++round) {
    if (!before) return ReportError(before.error(), "proxy top");
    std::this_thread::sleep_for(*interval);
    auto now = FetchSeries(session);
    if (!now) return ReportError(now.error(), "proxy top");
    std::vector<std::pair<SeriesKey, Series>> all;
    for (const auto& [key, series] : *now) {
      const Series difference = Difference(series, (*before)[key]);
      if (difference.requests() > 0 && TakesSeries(options, key)) all.emplace_back(key, difference);
    }
    std::ranges::sort(all, [](const auto& a, const auto& b) {
      return a.second.requests() > b.second.requests();
    });
    if (session.format == Format::kText && round > 0) Print("\n");
    PrintSeries(session, all, std::chrono::duration<double>(*interval).count());
    std::fflush(stdout);
    before = std::move(now);
  }
  return kOk;
}

int TapProxy(const Session& session, const ProxyOptions& options) {
  auto answer = AskProxy(session.server, "/tap");
  for (std::uint64_t shown = 0; options.count == 0 || shown < options.count;) {
    if (!answer) return ReportError(answer.error(), "proxy tap");
    const std::uint64_t left = options.count == 0 ? UINT64_MAX : options.count - shown;
    const Json records = answer->value("records", Json::array());
    shown += ShowRecords(session, options, records, left);
    if (const auto missed = answer->value("missed", std::uint64_t{0}); missed > 0)
      std::fprintf(stderr, "signet: proxy tap: %llu records went by unseen\n",
                   static_cast<unsigned long long>(missed));
    if (options.count != 0 && shown >= options.count) break;
    if (records.empty()) std::this_thread::sleep_for(kTapPause);
    answer =
        AskProxy(session.server, fmt::format("/tap/{}", answer->value("next", std::uint64_t{0})));
  }
  return kOk;
}

int ShowProxyConfig(const Session& session) {
  auto config = AskProxy(session.server, "/config");
  if (!config) return ReportError(config.error(), "proxy config");
  Print(config->dump(2) + "\n");
  return kOk;
}

int ListProxyConnections(const Session& session, const ProxyOptions& options) {
  auto connections = AskProxy(session.server, "/connections");
  if (!connections) return ReportError(connections.error(), "proxy connections");
  Json chosen = Json::array();
  for (const Json& each : *connections)
    if (TakesObject(options, each)) chosen.push_back(each);
  if (session.format == Format::kJson) {
    Print(chosen.dump(2) + "\n");
    return kOk;
  }
  std::vector<std::vector<std::string>> rows;
  for (const Json& each : chosen) {
    rows.push_back({TextOf(each, "direction"), TextOf(each, "listener"), TextOf(each, "phase"),
                    TextOf(each, "caller"), TextOf(each, "callee"), TextOf(each, "remote"),
                    std::to_string(each.value("received", std::uint64_t{0})),
                    std::to_string(each.value("sent", std::uint64_t{0})),
                    fmt::format("{:.1f}s", each.value("seconds", 0.0)), ""});
    for (const Json& request : each.value("requests", Json::array()))
      rows.push_back({"", "", "request", "", "", "", "", "",
                      fmt::format("{:.1f}s", request.value("seconds", 0.0)),
                      fmt::format("{} {}{}", TextOf(request, "method"), TextOf(request, "host"),
                                  TextOf(request, "path"))});
  }
  Print(Table({"DIRECTION", "LISTENER", "PHASE", "CALLER", "CALLEE", "REMOTE", "RECEIVED", "SENT",
               "AGE", "REQUEST"},
              rows));
  return kOk;
}

}  // namespace signet::ctl
