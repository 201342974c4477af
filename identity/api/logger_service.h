// spire.api.server.logger.v1.Logger: the log's level while the server runs. SPIRE has two levels
// above ERROR that we never write; asking for one of them silences the log.
//
// Threads: immutable after Register() but for the level; methods run on gRPC's threads.
#pragma once

#include <atomic>

#include "base/log.h"
#include "identity/api/router.h"
#include "spire/api/types/logger.pb.h"

namespace signet::identity {

class LoggerService {
 public:
  // The level `log` has now is the one a reset goes back to.
  explicit LoggerService(const Logger& log);
  void Register(Router* router);

  spire::api::types::Logger Levels() const;
  // Fails with kFieldInvalid (INVALID_ARGUMENT), and nothing changes, when `level` is none.
  Status SetLevel(int level);
  void Reset();

 private:
  const Logger& log_;
  const spire::api::types::LogLevel launch_;
  std::atomic<spire::api::types::LogLevel> current_;
};

}  // namespace signet::identity
