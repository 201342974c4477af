// The golden figures of requests by listener, peer and route: how many, how they were answered and
// how long they took. A worker counts for itself; a scrape sums. The number of series is bounded:
// peers and routes beyond it are counted as "other". What callers can choose freely (host, path,
// method) is no label.
//
// Threads: Observe() and SeePeer() are one worker's; everything else is safe from any thread.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "proxy/telemetry/counters.h"
#include "proxy/telemetry/label_budget.h"
#include "proxy/telemetry/trace_context.h"

namespace signet::proxy {

// Upper bounds of the histogram's buckets, in seconds; one more has no bound.
inline constexpr std::array kRequestBounds = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                              0.1,    0.25,  0.5,    1.0,   2.5,  5.0,   10.0};
inline constexpr std::size_t kBuckets = kRequestBounds.size() + 1;

struct RequestLabels {
  Direction direction = Direction::kInbound;
  std::string_view listener;
  std::string_view peer;  // whose identity was verified; empty: nobody's
  std::string_view route;
};

class RequestSeries {
 public:
  static constexpr std::size_t kMaxSeries = 256;  // of the process, "other" ones apart
  static constexpr std::size_t kMaxPeers = 256;

  // What all workers may show together.
  struct Budget {
    LabelBudget series{kMaxSeries};
    LabelBudget peers{kMaxPeers};
  };

  explicit RequestSeries(std::shared_ptr<Budget> budget);
  ~RequestSeries();
  RequestSeries(const RequestSeries&) = delete;

  // `status`: 0 when none was sent. `trace` is kept as an example of its bucket when sampled.
  void Observe(const RequestLabels& labels, int status, Duration took, const RequestTrace& trace,
               WallTime now);
  // A peer proved who it is, by an SVID that ends then.
  void SeePeer(std::string_view peer, WallTime valid_until);

  // The lines of all workers' series, in the text format of Prometheus; with examples, in that of
  // OpenMetrics 1.0.
  static std::string Text(const std::vector<const RequestSeries*>& workers, bool open_metrics);
  // [{"direction":…,"listener":…,"peer":…,"route":…,"classes":[none,1xx,…,5xx],"seconds":sum,
  //   "buckets":[…]}]; bounds of the buckets are kRequestBounds.
  static std::string Json(const std::vector<const RequestSeries*>& workers);

 private:
  struct Series;
  struct Peer;
  struct Sum;
  struct Key {
    Direction direction = Direction::kInbound;
    std::string listener, peer, route;
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(const RequestLabels& labels) const;
    std::size_t operator()(const Key& key) const { return (*this)(View(key)); }
  };
  struct Same {
    using is_transparent = void;
    bool operator()(const Key& a, const Key& b) const { return a == b; }
    bool operator()(const RequestLabels& a, const Key& b) const;
    bool operator()(const Key& a, const RequestLabels& b) const { return (*this)(b, a); }
  };
  static RequestLabels View(const Key& key) {
    return {key.direction, key.listener, key.peer, key.route};
  }
  Series& Find(const RequestLabels& labels);
  bool MayAdd(const RequestLabels& labels) const;
  Series* Add(const RequestLabels& labels, std::size_t limit);
  void AddTo(std::map<Key, Sum>* sums) const;

  const std::shared_ptr<Budget> budget_;
  // Slots are filled in order and never change hands: readers see those below the count.
  std::vector<std::unique_ptr<Series>> series_;
  std::atomic<std::size_t> series_count_{0};
  std::unordered_map<Key, Series*, Hash, Same> by_labels_;  // the worker's alone
  std::vector<std::unique_ptr<Peer>> peers_;
  std::atomic<std::size_t> peer_count_{0};
  std::unordered_map<std::string_view, Peer*> by_peer_;  // likewise
  Tally overflown_;
};

}  // namespace signet::proxy
