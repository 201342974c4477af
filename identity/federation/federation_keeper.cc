#include "identity/federation/federation_keeper.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <condition_variable>
#include <cstring>
#include <map>
#include <thread>

#include "base/file.h"
#include "identity/federation/bundle_policy.h"

namespace signet::identity {
namespace {

constexpr std::size_t kThreads = 4;
constexpr Duration kLongestNap = std::chrono::seconds(1);
constexpr std::size_t kMaxEtag = 256;
constexpr std::size_t kMaxAuthorities = 1000;

// The bytes of the address in network order; IPv4 mapped into IPv6 counts as IPv4.
std::span<const std::uint8_t> AddressBytes(const net::SocketAddress& address) {
  if (address.family() == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address.storage).sin_addr;
    return {reinterpret_cast<const std::uint8_t*>(&v4), 4};
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address.storage).sin6_addr;
  const std::span<const std::uint8_t> all(v6.s6_addr, 16);
  return IN6_IS_ADDR_V4MAPPED(&v6) ? all.subspan(12) : all;
}

Result<Bundle> LoadBundleFile(const std::string& path, const TrustDomain& trust_domain) {
  const auto unusable = [&](const std::string& why) {
    return Fail(Code::kFailedPrecondition, kBundleFileUnusable, path + ": " + why);
  };
  const auto content = ReadFile(path, kMaxBundleBytes);
  if (!content) return unusable(content.error().Message());
  const std::string_view text = AsText(*content);
  Bundle bundle;
  if (text.find("-----BEGIN") == std::string_view::npos) {
    auto parsed = ParseSpiffeBundle(trust_domain, text);
    if (!parsed) return unusable(parsed.error().Message());
    bundle = std::move(parsed->bundle);
  } else {
    auto certificates = ca::ParsePem(text, kMaxAuthorities);
    if (!certificates) return unusable(certificates.error().Message());
    for (ca::Certificate& certificate : *certificates)
      bundle.x509_authorities.push_back({std::move(certificate), false});
  }
  bundle.trust_domain = trust_domain;
  if (bundle.x509_authorities.empty()) return unusable("it holds no X.509 authority");
  return bundle;
}

// A relationship as it is looked after.
struct Watched {
  StaticRelationship source;  // of the registry: without file and pin
  bool is_static = false;
  SteadyTime due;
  bool running = false;
  std::string etag;
  std::string last_failure;  // said once while it stays the same
};

}  // namespace

std::optional<AllowedNetwork> ParseNetwork(std::string_view text) {
  const auto slash = text.find('/');
  const std::string host(text.substr(0, slash));
  AllowedNetwork network;
  auto& v4 = reinterpret_cast<sockaddr_in&>(network.network.storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(network.network.storage);
  unsigned longest = 32;
  if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    network.network.length = sizeof v4;
  } else if (inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    network.network.length = sizeof v6;
    longest = 128;
  } else {
    return std::nullopt;
  }
  network.prefix = longest;
  if (slash == std::string_view::npos) return network;
  const std::string_view digits = text.substr(slash + 1);
  const char* end = digits.data() + digits.size();
  const auto [at, error] = std::from_chars(digits.data(), end, network.prefix);
  if (digits.empty() || error != std::errc() || at != end || network.prefix > longest)
    return std::nullopt;
  return network;
}

bool Contains(const AllowedNetwork& network, const net::SocketAddress& address) {
  if (address.family() != AF_INET && address.family() != AF_INET6) return false;
  const auto wanted = AddressBytes(network.network);
  const auto bytes = AddressBytes(address);
  if (bytes.size() != wanted.size()) return false;
  for (unsigned bit = 0; bit < network.prefix && bit < bytes.size() * 8; ++bit) {
    const unsigned mask = 0x80U >> (bit % 8);
    if ((bytes[bit / 8] & mask) != (wanted[bit / 8] & mask)) return false;
  }
  return true;
}

struct FederationKeeper::State {
  State(FederationSettings the_settings, const FederationParts& the_parts)
      : settings(std::move(the_settings)),
        parts(the_parts),
        client(settings.web_roots, parts.clock),
        updated(Fetches("updated")),
        unchanged(Fetches("unchanged")),
        failed(Fetches("failed")) {}

  Counter& Fetches(const std::string& outcome) {
    return parts.metrics.Counter("signet_server_federation_fetches_total",
                                 "Looks at bundle endpoints, by outcome", {{"outcome", outcome}});
  }
  Status StoreFiles();
  void Work();
  // With `mutex` held: brings `watched` up to the relationships there are now.
  void Reload();
  // With `mutex` held: the one to look at next; null: none.
  Watched* NextDue();
  // Looks at the endpoint and stores what it serves, with `lock` open meanwhile and
  // watched->running set. `trust_domain` must be no part of `watched`.
  Status Look(const TrustDomain& trust_domain, std::unique_lock<std::mutex>& lock);
  Result<bool> FetchAndStore(const Watched& watched, std::string* etag);
  Status Permit(const net::SocketAddress& address) const;
  void Note(const TrustDomain& trust_domain, Watched* watched, const Result<bool>& changed);

  const FederationSettings settings;
  const FederationParts parts;
  const BundleClient client;
  Counter& updated;
  Counter& unchanged;
  Counter& failed;

  std::mutex mutex;
  std::condition_variable changed;
  std::map<TrustDomain, Watched> watched;  // guarded by mutex, as all below
  bool reload = true;
  bool stopping = false;
  std::uint64_t observer = 0;
  std::vector<std::thread> threads;
};

Status FederationKeeper::State::StoreFiles() {
  for (const StaticRelationship& one : settings.relationships) {
    const TrustDomain& trust_domain = one.relationship.trust_domain;
    if (one.bundle_file.empty() || parts.registry.FindBundle(trust_domain) != nullptr) continue;
    SIGNET_TRY(const Bundle loaded, LoadBundleFile(one.bundle_file, trust_domain));
    auto stored =
        parts.registry.ChangeFederatedBundle(trust_domain, [&](Bundle& bundle, bool) -> Status {
          bundle = loaded;
          return {};
        });
    if (!stored) return Fail(std::move(stored).error());
    parts.log.Info("federated bundle taken from a file",
                   {{"trust_domain", trust_domain.name()}, {"file", one.bundle_file}});
  }
  return {};
}

void FederationKeeper::State::Reload() {
  reload = false;
  std::map<TrustDomain, StaticRelationship> wanted;
  const auto dynamic = parts.registry.ListRelationships(0, "");
  if (dynamic) {
    for (const RelationshipPtr& one : dynamic->items)
      wanted[one->trust_domain] = {.relationship = *one, .bundle_file = {}, .pin = {}};
  }
  for (const StaticRelationship& one : settings.relationships)
    wanted[one.relationship.trust_domain] = one;
  std::erase_if(watched, [&](const auto& item) {
    return !item.second.running && !wanted.contains(item.first);
  });
  for (const auto& [trust_domain, source] : wanted) {
    Watched& one = watched[trust_domain];
    if (one.source.relationship == source.relationship) continue;
    one.source = source;
    one.is_static = std::ranges::any_of(settings.relationships, [&](const auto& fixed) {
      return fixed.relationship.trust_domain == trust_domain;
    });
    one.due = parts.clock.SteadyNow();
    one.etag.clear();
    one.last_failure.clear();
  }
}

Watched* FederationKeeper::State::NextDue() {
  Watched* next = nullptr;
  for (auto& [trust_domain, one] : watched) {
    if (!one.running && (next == nullptr || one.due < next->due)) next = &one;
  }
  return next;
}

void FederationKeeper::State::Work() {
  std::unique_lock lock(mutex);
  while (!stopping) {
    if (reload) Reload();
    const Watched* next = NextDue();
    if (next == nullptr) {
      changed.wait(lock);
      continue;
    }
    const SteadyTime now = parts.clock.SteadyNow();
    if (next->due > now) {
      changed.wait_for(lock, std::min<Duration>(next->due - now, kLongestNap));
      continue;
    }
    // A copy: the relationship may be replaced while its endpoint is looked at.
    const TrustDomain due(next->source.relationship.trust_domain);
    (void)Look(due, lock);
  }
}

Status FederationKeeper::State::Permit(const net::SocketAddress& address) const {
  if (!net::IsInternalAddress(address)) return {};
  const bool allowed = std::ranges::any_of(
      settings.allowed_networks, [&](const auto& network) { return Contains(network, address); });
  if (allowed) return {};
  return Fail(
      Code::kPermissionDenied, net::kFetchRefused,
      address.ToString() +
          " is an internal address; allow its network under federation.allowed_networks, or "
          "configure the relationship in the server's file");
}

Result<bool> FederationKeeper::State::FetchAndStore(const Watched& one, std::string* etag) {
  const FederationRelationship& relationship = one.source.relationship;
  const TrustDomain& trust_domain = relationship.trust_domain;
  BundleQuery query{.relationship = relationship,
                    .endpoint_bundle = nullptr,
                    .pin = one.source.pin,
                    .etag = {},
                    .permit = {}};
  if (relationship.profile == EndpointProfile::kHttpsSpiffe)
    query.endpoint_bundle = parts.registry.FindBundle(relationship.endpoint_id.trust_domain());
  if (parts.registry.FindBundle(trust_domain) != nullptr) query.etag = one.etag;
  if (!one.is_static)
    query.permit = [this](const net::SocketAddress& address) { return Permit(address); };
  SIGNET_TRY(const BundleAnswer answer, client.Fetch(query));
  if (answer.unchanged) return false;
  for (const std::string& skipped : answer.parsed.skipped)
    parts.log.Warn("federated bundle: left out",
                   {{"trust_domain", trust_domain.name()}, {"what", skipped}});
  bool differs = false;
  const auto stored = parts.registry.ChangeFederatedBundle(
      trust_domain, [&](Bundle& bundle, bool exists) -> Status {
        SIGNET_RETURN_IF_ERROR(CheckReplaces(exists ? &bundle : nullptr, answer.parsed.bundle));
        differs = !exists || bundle != answer.parsed.bundle;
        bundle = answer.parsed.bundle;
        return {};
      });
  if (!stored) return Fail(stored.error());
  *etag = answer.etag.size() <= kMaxEtag ? answer.etag : std::string();
  return differs;
}

void FederationKeeper::State::Note(const TrustDomain& trust_domain, Watched* one,
                                   const Result<bool>& outcome) {
  if (!outcome) {
    failed.Add();
    std::string text = outcome.error().Message();
    if (text == one->last_failure) return;
    parts.log.Warn("federated bundle not refreshed; the one held stays in use",
                   {{"trust_domain", trust_domain.name()}, {"error", text}});
    one->last_failure = std::move(text);
    return;
  }
  (*outcome ? updated : unchanged).Add();
  one->last_failure.clear();
  const BundlePtr bundle = parts.registry.FindBundle(trust_domain);
  if (*outcome && bundle != nullptr) {
    parts.log.Info("federated bundle refreshed",
                   {{"trust_domain", trust_domain.name()},
                    {"sequence", bundle->sequence_number},
                    {"x509_authorities", bundle->x509_authorities.size()},
                    {"jwt_authorities", bundle->jwt_authorities.size()}});
  } else {
    parts.log.Debug("federated bundle unchanged", {{"trust_domain", trust_domain.name()}});
  }
}

Status FederationKeeper::State::Look(const TrustDomain& trust_domain,
                                     std::unique_lock<std::mutex>& lock) {
  Watched& mark = watched.at(trust_domain);
  mark.running = true;
  const Watched copy = mark;
  lock.unlock();
  std::string etag = copy.etag;
  const Result<bool> outcome = FetchAndStore(copy, &etag);
  const BundlePtr held = parts.registry.FindBundle(trust_domain);
  lock.lock();
  // Still there: what runs is not taken out.
  Watched& one = watched.at(trust_domain);
  one.running = false;
  if (one.source.relationship == copy.source.relationship) {
    one.etag = std::move(etag);
    const PollState state{held == nullptr ? 0 : held->refresh_hint, held != nullptr};
    one.due = parts.clock.SteadyNow() + NextPoll(state, parts.random.Unit());
  }
  Note(trust_domain, &one, outcome);
  reload = true;  // the relationship may have gone meanwhile
  changed.notify_all();
  return outcome ? Status() : Fail(outcome.error());
}

FederationKeeper::FederationKeeper(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<FederationKeeper>> FederationKeeper::Start(FederationSettings settings,
                                                                  const FederationParts& parts) {
  auto state = std::make_unique<State>(std::move(settings), parts);
  SIGNET_RETURN_IF_ERROR(state->StoreFiles());
  State* raw = state.get();
  state->observer = parts.registry.AddObserver([raw](const Change& change) {
    if (change.relationships_put.empty() && change.relationships_removed.empty()) return;
    const std::lock_guard lock(raw->mutex);
    raw->reload = true;
    raw->changed.notify_all();
  });
  for (std::size_t i = 0; i < kThreads; ++i) state->threads.emplace_back([raw] { raw->Work(); });
  return std::unique_ptr<FederationKeeper>(new FederationKeeper(std::move(state)));
}

FederationKeeper::~FederationKeeper() {
  state_->parts.registry.RemoveObserver(state_->observer);
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->changed.notify_all();
  for (std::thread& thread : state_->threads) thread.join();
}

Status FederationKeeper::Refresh(const TrustDomain& trust_domain) {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  if (state.reload) state.Reload();
  while (true) {
    const auto found = state.watched.find(trust_domain);
    if (found == state.watched.end()) return Fail(Code::kNotFound, kRelationshipUnknown);
    if (!found->second.running) break;
    state.changed.wait(lock);
    if (state.reload) state.Reload();
  }
  return state.Look(trust_domain, lock);
}

}  // namespace signet::identity
