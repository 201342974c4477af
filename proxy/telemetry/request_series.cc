#include "proxy/telemetry/request_series.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "proxy/telemetry/json_members.h"

namespace signet::proxy {
namespace {

constexpr std::string_view kOther = "other";
// Room for "other" of each listener.
constexpr std::size_t kOtherSeries = 64;

struct Example {
  TraceId trace{};
  double seconds = 0;
  WallTime at;
};

std::string LabelValue(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\' || c == '"') escaped += '\\';
    if (c == '\n')
      escaped += "\\n";
    else
      escaped += c;
  }
  return escaped;
}

void Head(std::string* out, std::string_view name, std::string_view type, std::string_view help) {
  fmt::format_to(std::back_inserter(*out), "# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
}

std::size_t BucketOf(double seconds) {
  return static_cast<std::size_t>(std::ranges::lower_bound(kRequestBounds, seconds) -
                                  kRequestBounds.begin());
}

std::string ExampleText(const Example& example) {
  if (example.trace == TraceId{}) return {};
  const double at = std::chrono::duration<double>(example.at.time_since_epoch()).count();
  return fmt::format(" # {{trace_id=\"{}\"}} {} {:.3f}", EncodeHex(example.trace), example.seconds,
                     at);
}

}  // namespace

struct RequestSeries::Series {
  Key key;
  std::array<Tally, 6> classes;  // by the status's first digit; 0: no status was sent
  std::array<Tally, kBuckets> buckets;
  Tally nanoseconds;
  std::mutex mutex;
  std::array<Example, kBuckets> examples;  // guarded by mutex
};

struct RequestSeries::Peer {
  std::string name;
  std::atomic<std::int64_t> valid_until{0};
};

struct RequestSeries::Sum {
  std::array<std::uint64_t, 6> classes{};
  std::array<std::uint64_t, kBuckets> buckets{};
  std::uint64_t nanoseconds = 0;
  std::array<Example, kBuckets> examples;
};

RequestSeries::RequestSeries(std::shared_ptr<Budget> budget)
    : budget_(std::move(budget)), series_(kMaxSeries + kOtherSeries), peers_(kMaxPeers) {}
RequestSeries::~RequestSeries() = default;

std::size_t RequestSeries::Hash::operator()(const RequestLabels& labels) const {
  const std::hash<std::string_view> hash;
  std::size_t value = hash(labels.peer) * 31 + hash(labels.listener);
  value = value * 31 + hash(labels.route);
  return value * 2 + static_cast<std::size_t>(labels.direction);
}

bool RequestSeries::Same::operator()(const RequestLabels& a, const Key& b) const {
  return a.direction == b.direction && a.peer == b.peer && a.listener == b.listener &&
         a.route == b.route;
}

RequestSeries::Series* RequestSeries::Add(const RequestLabels& labels, std::size_t limit) {
  const std::size_t count = series_count_.load(std::memory_order_relaxed);
  if (count >= limit) return nullptr;
  auto made = std::make_unique<Series>();
  made->key = {labels.direction, std::string(labels.listener), std::string(labels.peer),
               std::string(labels.route)};
  Series* series = made.get();
  series_[count] = std::move(made);
  series_count_.store(count + 1, std::memory_order_release);
  by_labels_.emplace(series->key, series);
  return series;
}

bool RequestSeries::MayAdd(const RequestLabels& labels) const {
  // None of them holds a line end.
  return budget_->series.Admit(fmt::format("{}\n{}\n{}\n{}", static_cast<int>(labels.direction),
                                           labels.listener, labels.peer, labels.route));
}

RequestSeries::Series& RequestSeries::Find(const RequestLabels& labels) {
  if (const auto found = by_labels_.find(labels); found != by_labels_.end()) return *found->second;
  if (MayAdd(labels))
    if (Series* added = Add(labels, kMaxSeries)) return *added;
  overflown_.Add();
  const RequestLabels other{labels.direction, labels.listener, kOther, kOther};
  if (const auto found = by_labels_.find(other); found != by_labels_.end()) return *found->second;
  if (Series* added = Add(other, series_.size())) return *added;
  return *series_.back();  // of more listeners than there is room for
}

void RequestSeries::Observe(const RequestLabels& labels, int status, Duration took,
                            const RequestTrace& trace, WallTime now) {
  Series& series = Find(labels);
  const double seconds = std::chrono::duration<double>(took).count();
  const std::size_t bucket = BucketOf(seconds);
  const bool valid = status >= 100 && status < 600;
  series.classes[valid ? static_cast<std::size_t>(status / 100) : 0].Add();
  series.buckets[bucket].Add();
  series.nanoseconds.Add(static_cast<std::uint64_t>(std::max<Duration::rep>(took.count(), 0)));
  if (!trace.sampled || !trace.known()) return;
  const std::lock_guard lock(series.mutex);
  series.examples[bucket] = {trace.trace, seconds, now};
}

void RequestSeries::SeePeer(std::string_view peer, WallTime valid_until) {
  auto found = by_peer_.find(peer);
  if (found == by_peer_.end()) {
    const std::size_t count = peer_count_.load(std::memory_order_relaxed);
    if (count >= kMaxPeers || !budget_->peers.Admit(peer)) return overflown_.Add();
    peers_[count] = std::make_unique<Peer>();
    peers_[count]->name = peer;
    peer_count_.store(count + 1, std::memory_order_release);
    found = by_peer_.emplace(peers_[count]->name, peers_[count].get()).first;
  }
  found->second->valid_until.store(UnixSeconds(valid_until), std::memory_order_relaxed);
}

void RequestSeries::AddTo(std::map<Key, Sum>* sums) const {
  const std::size_t count = series_count_.load(std::memory_order_acquire);
  for (std::size_t i = 0; i < count; ++i) {
    Series& series = *series_[i];
    Sum& sum = (*sums)[series.key];
    for (std::size_t each = 0; each < sum.classes.size(); ++each)
      sum.classes[each] += series.classes[each].value();
    for (std::size_t each = 0; each < kBuckets; ++each)
      sum.buckets[each] += series.buckets[each].value();
    sum.nanoseconds += series.nanoseconds.value();
    const std::lock_guard lock(series.mutex);
    for (std::size_t each = 0; each < kBuckets; ++each)
      if (series.examples[each].at > sum.examples[each].at)
        sum.examples[each] = series.examples[each];
  }
}

std::string RequestSeries::Json(const std::vector<const RequestSeries*>& workers) {
  std::map<Key, Sum> sums;
  for (const RequestSeries* worker : workers) worker->AddTo(&sums);
  const auto numbers = [](const auto& values) {
    std::vector<std::string> texts;
    for (const std::uint64_t value : values) texts.push_back(fmt::format("{}", value));
    return JsonArray(texts);
  };
  std::vector<std::string> objects;
  for (const auto& [key, sum] : sums) {
    JsonMembers members(&objects.emplace_back());
    members.Text("direction", DirectionName(key.direction));
    members.Text("listener", key.listener);
    members.Text("peer", key.peer);
    members.Text("route", key.route);
    members.Raw("classes", numbers(sum.classes));
    members.Seconds("seconds", Duration(static_cast<Duration::rep>(sum.nanoseconds)));
    members.Raw("buckets", numbers(sum.buckets));
    members.End();
  }
  return JsonArray(objects);
}

std::string RequestSeries::Text(const std::vector<const RequestSeries*>& workers,
                                bool open_metrics) {
  std::map<Key, Sum> sums;
  std::map<std::string, std::int64_t> expiries;
  std::uint64_t overflown = 0;
  for (const RequestSeries* worker : workers) {
    worker->AddTo(&sums);
    const std::size_t count = worker->peer_count_.load(std::memory_order_acquire);
    for (std::size_t i = 0; i < count; ++i) {
      std::int64_t& expiry = expiries[worker->peers_[i]->name];
      expiry = std::max(expiry, worker->peers_[i]->valid_until.load(std::memory_order_relaxed));
    }
    overflown += worker->overflown_.value();
  }
  // OpenMetrics names a family of counters without "_total".
  const auto family = [&](std::string_view name) {
    return open_metrics ? name.substr(0, name.size() - std::string_view("_total").size()) : name;
  };
  const auto labels = [](const Key& key) {
    return fmt::format(R"(direction="{}",listener="{}",peer="{}",route="{}")",
                       DirectionName(key.direction), LabelValue(key.listener), LabelValue(key.peer),
                       LabelValue(key.route));
  };
  std::string out;
  constexpr std::string_view kRequests = "signet_proxy_peer_requests_total";
  Head(&out, family(kRequests), "counter",
       "HTTP requests that ended, by verified peer, route and class of status.");
  for (const auto& [key, sum] : sums)
    for (std::size_t i = 0; i < sum.classes.size(); ++i)
      if (sum.classes[i] > 0)
        out += fmt::format("{}{{{},class=\"{}\"}} {}\n", kRequests, labels(key),
                           i == 0 ? std::string("none") : fmt::format("{}xx", i), sum.classes[i]);
  constexpr std::string_view kSeconds = "signet_proxy_request_seconds";
  Head(&out, kSeconds, "histogram", "Time from a request's head to the end of its answer.");
  for (const auto& [key, sum] : sums) {
    std::uint64_t below = 0;
    for (std::size_t i = 0; i < kBuckets; ++i) {
      below += sum.buckets[i];
      const std::string bound =
          i < kRequestBounds.size() ? fmt::format("{}", kRequestBounds[i]) : std::string("+Inf");
      out += fmt::format("{}_bucket{{{},le=\"{}\"}} {}{}\n", kSeconds, labels(key), bound, below,
                         open_metrics ? ExampleText(sum.examples[i]) : std::string());
    }
    out += fmt::format("{0}_sum{{{1}}} {2}\n{0}_count{{{1}}} {3}\n", kSeconds, labels(key),
                       static_cast<double>(sum.nanoseconds) / 1e9, below);
  }
  constexpr std::string_view kExpiry = "signet_proxy_peer_svid_expiry_timestamp_seconds";
  Head(&out, kExpiry, "gauge", "When the SVID ends that a peer showed last.");
  for (const auto& [peer, expiry] : expiries)
    out += fmt::format("{}{{peer=\"{}\"}} {}\n", kExpiry, LabelValue(peer), expiry);
  constexpr std::string_view kOverflown = "signet_proxy_series_overflown_total";
  Head(&out, family(kOverflown), "counter",
       "Requests and peers beyond the bound on series: counted as \"other\", or not shown.");
  out += fmt::format("{} {}\n", kOverflown, overflown);
  return out;
}

}  // namespace signet::proxy
