#include "proxy/route/mirror.h"

#include <utility>

namespace signet::proxy {
namespace {

// An answer that nobody reads is worth no longer wait.
constexpr Duration kPatience = std::chrono::seconds(30);

}  // namespace

Mirror::Mirror(Mirrors& owner, RequestHead request, bool whole)
    : owner_(owner), request_(std::move(request)), whole_(whole), attached_(!whole) {}

Mirror::~Mirror() { owner_.loop_.Cancel(timer_); }

void Mirror::Start(const UpstreamGroupPtr& group, UpstreamPool& pool) {
  timer_ = owner_.loop_.RunAfter(kPatience, [this] {
    const Turns::Scope turn(owner_.turns_);
    timer_ = 0;
    Over();
  });
  group_ = group;
  pool.Want(group, false, *this);
}

void Mirror::SendData(std::string_view data) {
  if (over_) return;
  if (up_ != nullptr)
    up_->SendData(data);
  else
    early_body_.append(data);
  if ((up_ != nullptr ? up_->buffered() : early_body_.size()) > kMaxWaiting) Over();
}

void Mirror::SendEnd(const Fields& trailers) {
  whole_ = true;
  attached_ = false;
  if (over_) return Release();
  if (up_ != nullptr)
    up_->SendEnd(trailers);
  else
    early_trailers_ = trailers;
}

void Mirror::Abandon() {
  attached_ = false;
  if (over_) return Release();
  Over();
}

void Mirror::OnUpstream(ClientCodec& codec, bool) {
  group_.reset();
  const bool end = whole_ && early_body_.empty() && early_trailers_.empty();
  up_ = &codec.Open(request_, end, static_cast<ClientStreamEvents&>(*this));
  if (end) return;
  if (!early_body_.empty()) up_->SendData(std::exchange(early_body_, {}));
  if (whole_ && up_ != nullptr) up_->SendEnd(early_trailers_);
}

void Mirror::OnNoUpstream(const UpstreamFailure&) {
  group_.reset();
  Over();
}

void Mirror::OnData(std::string_view data) {
  if (up_ != nullptr) up_->Consumed(data.size());
}

void Mirror::OnEnd(const Fields&) {
  up_ = nullptr;
  Over();
}

void Mirror::OnFault(StreamFault) {
  up_ = nullptr;
  Over();
}

void Mirror::Over() {
  if (std::exchange(over_, true)) return;
  if (group_) UpstreamPool::Withdraw(*std::exchange(group_, nullptr), *this);
  if (up_ != nullptr) std::exchange(up_, nullptr)->Reset(StreamFault::kCancelled);
  if (!attached_) Release();
}

void Mirror::Release() {
  auto self = std::move(*place);
  owner_.all_.erase(place);
  owner_.turns_.Bury(std::move(self));
}

Mirrors::~Mirrors() { all_.clear(); }

Mirror* Mirrors::Add(const RequestHead& request, bool whole) {
  if (all_.size() >= kMaxMirrors) return nullptr;
  all_.push_front(std::make_unique<Mirror>(*this, request, whole));
  all_.front()->place = all_.begin();
  return all_.front().get();
}

}  // namespace signet::proxy
