#include "agent/endpoints/endpoints.h"

#include <unistd.h>

#include <utility>

#include "net/address.h"

namespace signet::agent {
namespace {

constexpr std::size_t kJwtThreads = 8;
constexpr std::size_t kJwtQueue = 1024;

}  // namespace

Endpoints::Endpoints(EndpointWorld world, const EndpointOptions& options,
                     const CallerLimits& limits)
    : world_(std::move(world)),
      options_(options),
      limits_(limits),
      refusals_(world_.metrics),
      jwt_pool_(kJwtThreads, kJwtQueue),
      attestation_{attestation_pool_,
                   world_.attest,
                   world_.clock,
                   world_.log,
                   world_.metrics,
                   [this](const identity::SelectorSet& selectors) {
                     return ViewFor(*world_.cache.Current(), selectors, world_.clock.Now());
                   }},
      parts_{world_.cache, world_.want, world_.interest, attestation_,
             world_.jwts,  jwt_pool_,   refusals_,       world_.random} {}

Endpoints::~Endpoints() { Stop(); }

Result<UniqueFd> Endpoints::ListenAdmin(const AdminSocketOptions& options) {
  SIGNET_RETURN_IF_ERROR(EnsureDirectory(options.path.substr(0, options.path.rfind('/')), 0750));
  net::UnixListenOptions listen;
  listen.mode = options.mode;
  listen.owner = options.owner;
  listen.group = options.group;
  return net::ListenUnix(options.path, listen);
}

Status Endpoints::Open(UniqueFd listener) {
  SIGNET_TRY(public_socket_, WorkloadServer::Start(std::move(listener), parts_, options_, limits_));
  if (!options_.admin_socket) return {};
  SIGNET_TRY(auto admin_listener, ListenAdmin(*options_.admin_socket));
  AdminFacts facts{world_.figures, world_.status, [this] { return public_socket_->Connected(); }};
  SIGNET_TRY(admin_socket_, AdminSocket::Start(std::move(admin_listener), parts_, options_, limits_,
                                               std::move(facts)));
  return {};
}

void Endpoints::Wake() {
  if (public_socket_) public_socket_->Wake();
  if (admin_socket_) admin_socket_->Wake();
}

void Endpoints::SetServing(bool serving) {
  if (public_socket_) public_socket_->SetServing(serving);
  if (admin_socket_) admin_socket_->SetServing(serving);
}

void Endpoints::Stop() {
  if (std::exchange(stopped_, true)) return;
  attestation_pool_.Stop();
  jwt_pool_.Stop();
  if (public_socket_) public_socket_->Stop();
  if (!admin_socket_) return;
  admin_socket_->Stop();
  net::RemoveSocketFile(options_.admin_socket->path);
}

}  // namespace signet::agent
