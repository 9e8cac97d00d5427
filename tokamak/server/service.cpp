// SPDX-License-Identifier: Apache-2.0
#include "tokamak/server/service.h"

namespace tokamak::server {

void Service::serve(std::shared_ptr<const Model> model) {
  metrics.serve(*model);
  {
    std::lock_guard lock(mutex_);
    model_ = std::move(model);
  }
  State loading = State::kLoading;
  state_.compare_exchange_strong(loading, State::kReady);
}

State Service::state() const {
  const State state = state_;
  if (state != State::kReady) return state;
  return model()->executor->failure() ? State::kFailed : state;
}

std::shared_ptr<const Auth> Service::auth() const {
  std::lock_guard lock(mutex_);
  return auth_;
}

void Service::use_keys(const std::vector<std::string>& api_keys) {
  std::lock_guard lock(mutex_);
  auth_ = std::make_shared<const Auth>(auth_->with_keys(api_keys));
}

std::shared_ptr<const Model> Service::model() const {
  std::lock_guard lock(mutex_);
  return model_;
}

}  // namespace tokamak::server
