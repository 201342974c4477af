// Counts of one listener, a cell per worker thread: a worker adds without locks or contention, a
// scrape sums. A listener's counts live as long as the process, so a reload that brings a listener
// back continues them.
//
// Threads: a Cell is written by one thread and read by any. ProxyCounters is safe from any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "proxy/http/request_outcome.h"
#include "proxy/telemetry/outcome.h"

namespace signet::proxy {

// A number with one writer: add without a locked instruction.
class Tally {
 public:
  void Add(std::uint64_t amount = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// One worker's counts of one listener; on cache lines of its own.
struct alignas(64) Cell {
  Tally opened;
  std::array<Tally, kEndingCount> closed;
  std::array<Tally, kRefusalCount> refused;
  Tally received_bytes;  // from the side that connected
  Tally sent_bytes;      // to the side that connected
  Tally handshakes_ok;
  std::array<Tally, kRefusalCount> handshakes_failed;  // by why
  Tally accept_errors;
  Tally accept_pauses;  // times accepting was paused for want of descriptors or memory
  // HTTP.
  Tally requests;                                    // whose head was read
  Tally requests_malformed;                          // refused before or while they were read
  std::array<Tally, kRequestEndCount> request_ends;  // by RequestEnd
  std::array<Tally, 6> responses;                    // by the status's first digit
  Tally retries;                                     // sent again as a route asks
  Tally ejections;                                   // endpoints left out for a while
};

class ListenerCounters {
 public:
  explicit ListenerCounters(std::size_t workers) : cells_(workers) {}
  Cell& cell(std::size_t worker) { return cells_[worker]; }
  template <class Read>
  std::uint64_t Sum(Read read) const {
    std::uint64_t total = 0;
    for (const Cell& cell : cells_) total += read(cell).value();
    return total;
  }
  // Opened and not closed.
  std::uint64_t Active() const;

 private:
  std::vector<Cell> cells_;
};

class ProxyCounters {
 public:
  // `metrics` outlives this.
  ProxyCounters(Metrics& metrics, std::size_t workers);

  // The same direction and name give the same counters.
  std::shared_ptr<ListenerCounters> OfListener(Direction direction, const std::string& name);
  Histogram& handshake_seconds(Direction direction) {
    return direction == Direction::kInbound ? inbound_handshake_ : outbound_handshake_;
  }

 private:
  void Export(const std::shared_ptr<ListenerCounters>& counters, const MetricLabels& labels);

  Metrics& metrics_;
  const std::size_t workers_;
  std::mutex mutex_;
  std::map<std::pair<Direction, std::string>, std::shared_ptr<ListenerCounters>> listeners_;
  Histogram& inbound_handshake_;
  Histogram& outbound_handshake_;
};

}  // namespace signet::proxy
