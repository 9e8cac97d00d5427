// SPDX-License-Identifier: Apache-2.0
// What every handler shares: the options, the model once it is loaded, the keys, the metrics.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "tokamak/server/auth.h"
#include "tokamak/server/metrics.h"
#include "tokamak/server/model.h"
#include "tokamak/server/options.h"
#include "tokamak/server/origins.h"

namespace tokamak::server {

/// kFailed: the device is lost, see executor::Executor::failure().
enum class State { kLoading, kReady, kDraining, kFailed };
constexpr auto enum_names(State) {
  return std::array<std::string_view, 4>{"loading", "ready", "draining", "failed"};
}

/// May be used from any thread.
class Service {
 public:
  explicit Service(ServerOptions options)
      : options(std::move(options)),
        origins(this->options.cors_origins, this->options.allowed_hosts),
        metrics(this->options.metrics_aliases),
        auth_(std::make_shared<const Auth>(this->options.api_keys)) {}

  const ServerOptions options;
  const Origins origins;
  Metrics metrics;
  bool on_loopback = false;  ///< Set before it is shared: only this machine can reach the server.

  State state() const;
  bool draining() const { return state_ == State::kDraining; }
  void drain() { state_ = State::kDraining; }
  std::shared_ptr<const Auth> auth() const;
  /// From now on; requests that were let in go on.
  void use_keys(const std::vector<std::string>& api_keys);
  /// Begins to serve `model`.
  void serve(std::shared_ptr<const Model> model);
  /// Null while it loads.
  std::shared_ptr<const Model> model() const;

 private:
  std::atomic<State> state_{State::kLoading};
  mutable std::mutex mutex_;
  std::shared_ptr<const Model> model_;
  std::shared_ptr<const Auth> auth_;
};

}  // namespace tokamak::server
