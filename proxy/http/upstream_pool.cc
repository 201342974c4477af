#include "proxy/http/upstream_pool.h"

#include <fmt/format.h>

#include <algorithm>

#include "proxy/http/http2_client.h"
#include "proxy/http/upstream_connection.h"

namespace signet::proxy {
namespace {

constexpr Duration kSweepEvery = std::chrono::seconds(1);
constexpr std::size_t kStreamsPerConnecting =
    100;  // requests that one HTTP/2 connection is meant for

template <class T>
void Drop(std::vector<T*>* list, T* what) {
  const auto at = std::ranges::find(*list, what);
  if (at != list->end()) list->erase(at);
}

}  // namespace

UpstreamPool::UpstreamPool(ConnectionHost& host, Turns& turns) : host_(host), turns_(turns) {}

UpstreamPool::~UpstreamPool() {
  CutAll();
  host_.parts().loop.Cancel(sweep_);
}

UpstreamGroupPtr UpstreamPool::GroupOf(const std::shared_ptr<Lane>& lane,
                                       const std::string& identity, HttpVersion version) {
  UpstreamGroupPtr& group = groups_[{lane.get(), identity, version}];
  if (!group) {
    group = std::make_shared<UpstreamGroup>();
    group->lane = lane;
    group->version = version;
    ArmSweep();
  }
  return group;
}

void UpstreamPool::Want(const UpstreamGroupPtr& group, bool fresh, UpstreamWaiter& waiter) {
  if (!fresh) {
    while (!group->idle.empty()) {
      UpstreamConnection& connection = *group->idle.back();
      group->idle.pop_back();
      if (!connection.codec()->can_open()) continue;
      const bool used = connection.used();
      connection.MarkUsed();
      return waiter.OnUpstream(*connection.codec(), used);
    }
    // HTTP/2 connections take more than one.
    if (group->version == HttpVersion::kHttp2)
      for (UpstreamConnection* connection : group->all)
        if (connection->open() && connection->codec()->can_open()) {
          const bool used = connection->used();
          connection->MarkUsed();
          return waiter.OnUpstream(*connection->codec(), used);
        }
  }
  group->waiters.push_back(&waiter);
  const std::size_t share = group->version == HttpVersion::kHttp2 ? kStreamsPerConnecting : 1;
  if (group->connecting * share < group->waiters.size()) OpenFor(group);
}

void UpstreamPool::Withdraw(UpstreamGroup& group, UpstreamWaiter& waiter) {
  std::erase(group.waiters, &waiter);
}

void UpstreamPool::OpenFor(const UpstreamGroupPtr& group) {
  if (all_.size() >= host_.limits().http.upstream_connections) {
    UpstreamWaiter* waiter = group->waiters.back();
    group->waiters.pop_back();
    return waiter->OnNoUpstream(
        {RequestEnd::kUpstreamOverload,
         fmt::format("limits.http.upstream_connections = {} are open already",
                     host_.limits().http.upstream_connections)});
  }
  all_.push_front(std::make_unique<UpstreamConnection>(*this, host_, turns_, group));
  UpstreamConnection& connection = *all_.front();
  connection.place = all_.begin();
  group->all.push_back(&connection);
  ++group->connecting;
  ArmSweep();
  connection.Start();
}

void UpstreamPool::OnOpen(UpstreamConnection& connection) {
  --connection.group().connecting;
  Serve(connection.group(), connection);
}

void UpstreamPool::OnRoom(UpstreamConnection& connection) {
  if (connection.codec()->waiting() == Waiting::kOver) return;  // its link will end it
  Serve(connection.group(), connection);
}

void UpstreamPool::Serve(UpstreamGroup& group, UpstreamConnection& connection) {
  while (!group.waiters.empty() && connection.codec()->can_open()) {
    UpstreamWaiter* waiter = group.waiters.front();
    group.waiters.pop_front();
    const bool used = connection.used();
    connection.MarkUsed();
    waiter->OnUpstream(*connection.codec(), used);
  }
  if (connection.codec()->streams() == 0 && connection.codec()->can_open() &&
      std::ranges::find(group.idle, &connection) == group.idle.end())
    group.idle.push_back(&connection);
}

void UpstreamPool::OnOver(UpstreamConnection& connection, const UpstreamFailure* failure) {
  UpstreamGroup& group = connection.group();
  Drop(&group.all, &connection);
  Drop(&group.idle, &connection);
  if (failure != nullptr) {
    --group.connecting;
    // Those it was opened for; with HTTP/2 that is all.
    std::size_t told = group.version == HttpVersion::kHttp2 ? group.waiters.size() : 1;
    for (; told > 0 && !group.waiters.empty(); --told) {
      UpstreamWaiter* waiter = group.waiters.front();
      group.waiters.pop_front();
      waiter->OnNoUpstream(*failure);
    }
  }
  turns_.Bury(std::move(*connection.place));
  all_.erase(connection.place);
}

void UpstreamPool::DecideAgain() {
  const Turns::Scope turn(turns_);
  std::vector<UpstreamConnection*> each;
  for (const auto& connection : all_) each.push_back(connection.get());
  // What ends is destroyed after this turn, not under this loop.
  for (UpstreamConnection* connection : each) connection->DecideAgain();
}

void UpstreamPool::LookAtAges() {
  std::vector<UpstreamConnection*> each;
  for (const auto& connection : all_) each.push_back(connection.get());
  for (UpstreamConnection* connection : each) connection->LookAtAge();
}

void UpstreamPool::CutAll() {
  const Turns::Scope turn(turns_);
  while (!all_.empty()) all_.front()->Cut("the proxy is shutting down");
}

void UpstreamPool::ArmSweep() {
  if (sweep_ == 0) sweep_ = host_.parts().loop.RunAfter(kSweepEvery, [this] { Sweep(); });
}

void UpstreamPool::Sweep() {
  sweep_ = 0;
  const SteadyTime now = host_.parts().loop.now();
  DecideAgain();  // an SVID may have ended
  const Turns::Scope turn(turns_);
  LookAtAges();
  for (auto& [key, group] : groups_) {
    const std::vector<UpstreamConnection*> idle = group->idle;
    for (UpstreamConnection* connection : idle)
      if (now - connection->idle_since() >= host_.limits().http.upstream_idle) connection->Close();
  }
  std::erase_if(groups_, [](const auto& each) {
    return each.second.use_count() == 1 && each.second->all.empty();
  });
  if (!groups_.empty()) ArmSweep();
}

std::unique_ptr<ClientCodec> UpstreamPool::MakeCodec(OutputBuffer& out, ClientHost& client,
                                                     const UpstreamKind& kind) {
  const HttpSettings& settings = host_.limits().http;
  if (kind.http2) return std::make_unique<Http2Client>(out, client, settings, kind.tls);
  return std::make_unique<Http1Client>(out, client, settings.message);
}

}  // namespace signet::proxy
