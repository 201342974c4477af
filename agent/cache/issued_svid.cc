#include "agent/cache/issued_svid.h"

#include <span>

#include "ca/x509/der.h"

namespace signet::agent {

Bytes IssuedSvid::ChainDer() const {
  Bytes chain;
  chain.reserve(leaf_der.size() + issuers->der.size());
  chain.insert(chain.end(), leaf_der.begin(), leaf_der.end());
  chain.insert(chain.end(), issuers->der.begin(), issuers->der.end());
  return chain;
}

// Certificate ::= SEQUENCE { tbs SEQUENCE { [0] version OPTIONAL, serialNumber INTEGER, … (RFC
// 5280)
std::string IssuedSvid::SerialHex() const {
  const auto certificate = ca::DerReader(leaf_der).Enter(ca::kDerSequence);
  if (!certificate) return {};
  auto tbs = ca::DerReader(*certificate).Enter(ca::kDerSequence);
  if (!tbs) return {};
  (void)tbs->Read(ca::DerContextConstructed(0));
  const auto serial = tbs->Read(ca::kDerInteger);
  return serial ? EncodeHex(serial->content) : std::string();
}

IssuersPtr IssuerPool::Intern(Issuers issuers) {
  const std::lock_guard lock(mutex_);
  if (const auto found = known_.find(issuers); found != known_.end())
    if (IssuersPtr held = found->second.lock()) return held;
  std::erase_if(known_, [](const auto& item) { return item.second.expired(); });
  auto fresh = std::make_shared<const Issuers>(issuers);
  known_[std::move(issuers)] = fresh;
  return fresh;
}

IssuersPtr IssuerPool::Of(const ca::Chain& chain) {
  return Intern({ca::ConcatenateDer(std::span(chain).subspan(1)), chain.back().authority_key_id()});
}

std::size_t IssuerPool::size() const {
  const std::lock_guard lock(mutex_);
  return known_.size();
}

}  // namespace signet::agent
