// What a connection tells of itself: a record of its end, a line for people while it lives.

#include "proxy/forward/connection.h"

namespace signet::proxy {

void Connection::Tell(RecordKind kind, std::string_view end, std::string_view detail) {
  TelemetryLane& telemetry = host_.parts().telemetry;
  if (!telemetry.wants_records()) return;
  const ConnectionFacts facts = Facts();
  const std::string remote = remote_.ToString();
  Record record;
  record.figures.kind = kind;
  record.figures.direction = direction_;
  record.figures.received = facts.received_bytes;
  record.figures.sent = facts.sent_bytes;
  record.figures.duration = facts.duration;
  record.listener = facts.listener;
  record.caller = inbound() ? facts.peer : facts.own;
  record.callee = inbound() ? facts.own : facts.peer;
  record.remote = remote;
  const Protocol protocol = lane_->plan->config.protocol;
  record.protocol = ProtocolName(protocol != Protocol::kDetect || !carries() ? protocol
                                 : service_                                  ? Protocol::kHttp
                                                                             : Protocol::kTcp);
  record.end = end;
  record.detail = detail;
  telemetry.ConnectionEnded(record);
}

LiveConnection Connection::Describe() const {
  ConnectionFacts facts = Facts();
  LiveConnection live;
  live.direction = direction_;
  live.listener = facts.listener;
  live.phase = phase_ == Phase::kRelaying     ? "carrying"
               : phase_ == Phase::kConnecting ? "connecting"
               : phase_ == Phase::kDetecting  ? "detecting"
                                              : "handshaking";
  live.caller = inbound() ? facts.peer : facts.own;
  live.callee = inbound() ? facts.own : facts.peer;
  live.remote = remote_.ToString();
  live.received = facts.received_bytes;
  live.sent = facts.sent_bytes;
  live.age = facts.duration;
  if (service_) live.requests = service_->requests();
  return live;
}

ConnectionFacts Connection::Facts() const {
  ConnectionFacts facts;
  facts.direction = direction_;
  facts.listener = lane_->plan->config.name;
  facts.remote = &remote_;
  if (peer_) facts.peer = peer_->name;
  if (own_) facts.own = own_->id.ToString();
  if (carries()) {
    facts.received_bytes = received();
    facts.sent_bytes = sent();
  }
  facts.duration = host_.parts().loop.now() - accepted_at_;
  return facts;
}

}  // namespace signet::proxy
