// The running proxy: workers, their listening sockets, the identity they show, and the plan they
// follow. It is told of identities (as the Workload API client's observer), of reloads and of its
// end; main loop, signals and files are run.h's.
//
// Threads: Apply(), Refresh(), BeginDrain() and CutAll() belong to one controlling thread; the
// observer's verbs and health() are safe from any thread.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/metrics.h"
#include "base/random.h"
#include "net/admin_server.h"
#include "proxy/config.h"
#include "proxy/forward/worker.h"
#include "proxy/identity/workload_client.h"
#include "proxy/telemetry/telemetry.h"

namespace signet::proxy {

class Proxy final : public IdentityObserver {
 public:
  struct Parts {
    const Clock& clock;
    const Logger& log;
    Metrics& metrics;
    Random& random;
    bool accept_with_identity = false;  // callers wait unheard until there is one
  };

  // Opens all listeners, or none: fails with net::kListenFailed. Everything is refused until an
  // identity is there. `parts` outlive this.
  static Result<std::unique_ptr<Proxy>> Start(std::shared_ptr<const ProxyConfig> config,
                                              const Parts& parts);
  ~Proxy() override;

  // A reload: opens new listeners first, so that a failure (net::kListenFailed) changes nothing;
  // returns when every worker follows the new plan and has decided its connections again. Settings
  // that count only at the start are reported in the log when they differ.
  Status Apply(std::shared_ptr<const ProxyConfig> config);
  // Returns when every worker has taken a turn: a sign of life.
  void Probe();
  // Resolves the forward addresses that are names again.
  void Refresh();

  // Closes the listeners; `done` runs, on a worker's thread, when the last connection has ended.
  void BeginDrain(std::function<void()> done);
  // Ends what is left; returns when that is done.
  void CutAll();

  // Who is revoked from now on; returns when every worker has ended what they had open.
  void Deny(const identity::DenialSetPtr& denials);

  void OnIdentity(IdentityPtr snapshot) override;
  void OnIdentityWithdrawn(const Error& why) override;
  void OnAgentTrouble(const Error& why) override;
  void OnAgentBack() override;

  net::Health health() const;
  // All metrics, in the text format of Prometheus or of OpenMetrics.
  std::string MetricsText(bool open_metrics) const;
  // For the admin socket, from its thread. Both are bounded.
  std::string ConfigJson() const;
  std::vector<LiveConnection> LiveConnections();
  Telemetry& telemetry() { return *telemetry_; }
  std::size_t connections() const { return admission_.carried(); }
  // Where a listener really listens, which port 0 in its configuration does not say.
  std::optional<net::SocketAddress> ListenAddress(Direction direction,
                                                  const std::string& name) const;

 private:
  // One listener's sockets, opened but not yet handed to the workers.
  struct Opened {
    std::vector<UniqueFd> sockets;  // one a worker
    net::SocketAddress address;
  };

  using ListenAddresses = std::map<ListenerKey, net::SocketAddress>;

  explicit Proxy(const Parts& parts, std::size_t workers);

  Result<Opened> Open(const ListenerConfig& listener) const;
  Result<Opened> OpenTcp(const ListenerConfig& listener) const;
  Result<Opened> OpenUnix(const ListenerConfig& listener) const;
  bool Holds(const net::Address& address) const;
  // Removes the files of Unix listeners that `kept` does not have; null: of all.
  void UnlinkSocketsExcept(const ProxyConfig* kept) const;
  // A name that does not resolve now keeps the addresses it had.
  std::shared_ptr<const Plan> MakePlan(const ProxyConfig& config,
                                       const ListenAddresses& addresses) const;
  void MarkLoops(const std::vector<std::shared_ptr<ListenerPlan>>& listeners,
                 const ListenAddresses& addresses) const;
  // Runs `verb` for each worker and waits until each said it is done.
  void OnAllWorkers(const std::function<void(Worker&, Worker::Done)>& verb);
  void ApplyPlan(std::shared_ptr<const Plan> plan, std::vector<ListenerSockets> sockets);
  void WarnOfFixedSettings(const ProxyConfig& config) const;
  void ApplyIdentity(const IdentityPtr& identity);

  const Parts parts_;
  ProxyCounters counters_;
  Gauge& svid_expiry_;
  Admission admission_;
  std::unique_ptr<Telemetry> telemetry_;
  std::vector<std::unique_ptr<Worker>> workers_;

  // Of the controlling thread.
  std::shared_ptr<const ProxyConfig> config_;
  std::shared_ptr<const Plan> plan_;
  std::string workload_api_;  // as of the start

  mutable std::mutex mutex_;
  ListenAddresses addresses_;                 // guarded by mutex_
  std::vector<std::string> unreachable_;      // guarded by mutex_; why, for people
  IdentityPtr identity_;                      // guarded by mutex_
  std::shared_ptr<const ProxyConfig> shown_;  // guarded by mutex_; config_, for others
  std::string agent_trouble_;                 // guarded by mutex_; empty: none
  std::atomic<bool> draining_{false};
};

}  // namespace signet::proxy
