// How a connection finds out what is spoken on it (`protocol: detect`).

#include "proxy/forward/connection.h"
#include "proxy/http/http_service.h"

namespace signet::proxy {

using net::IoStatus;

void Connection::BeginDetect() {
  MoveTo(Phase::kDetecting);
  held_.emplace(inbound() ? static_cast<ByteStream&>(*tls_) : *plain_);
  Arm(host_.limits().detect_timeout);
  // Two ends of ours have agreed on it already.
  if (tls_ && !tls_->tls().alpn().empty()) return OnDetected(FirstBytes::kHttp);
  StepDetect();
}

void Connection::StepDetect() {
  for (;;) {
    const IoStatus status = held_->Look(kMostFirstBytes);
    const FirstBytes spoken = ReadFirstBytes(held_->seen());
    if (spoken != FirstBytes::kUndecided) return OnDetected(spoken);
    if (status == IoStatus::kError)
      return Refuse(Refusal::kHandshakeFailed, "it broke off before it was known what it speaks");
    if (status == IoStatus::kEof) return OnDetected(FirstBytes::kOther);
    if (status != IoStatus::kOk) return;
  }
}

void Connection::OnDetected(FirstBytes spoken) {
  if (spoken == FirstBytes::kHttp) return BeginService();
  // Bytes that are no HTTP are never a way round rules that ask for what only HTTP has.
  if (TakesOnlyHttp())
    return Refuse(Refusal::kNotHttp, spoken == FirstBytes::kUndecided
                                         ? "its first bytes did not say in time what it speaks"
                                     : spoken == FirstBytes::kTls
                                         ? "it speaks TLS, and rules ask for HTTP"
                                         : "it is no HTTP, and rules ask for it");
  BeginConnect();
}

bool Connection::TakesOnlyHttp() const {
  const ListenerConfig& config = lane_->plan->config;
  return IsHttp(config.protocol) ||
         (config.protocol == Protocol::kDetect && config.policy.needs_requests());
}

}  // namespace signet::proxy
