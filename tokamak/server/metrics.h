// SPDX-License-Identifier: Apache-2.0
// What /metrics tells, in Prometheus' text format: families `tokamak:…`, and the same figures again
// under the names that dashboards for vLLM and Triton look for.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "tokamak/executor/options.h"

namespace tokamak::server {

struct Model;

/// May be used from any thread.
class Metrics {
 public:
  explicit Metrics(bool aliases);
  ~Metrics();

  /// Names the model in the labels of what follows.
  void serve(const Model& model);

  void connected();
  void disconnected();
  /// An HTTP answer has left. `route` is the route's pattern, empty if there was none.
  void answered(std::string_view route, int status, std::chrono::nanoseconds took);
  void unknown_fields(int64_t count);

  /// A request goes to the executor.
  void asked(const executor::Request& request);
  /// One of its answers has ended.
  void finished(const executor::Finish& finish);
  /// `count` tokens of one answer came `since` after those before them.
  void inter_token(std::chrono::nanoseconds since, int64_t count);

  /// Sums over the answers that have ended.
  struct Totals {
    double request_seconds = 0, queue_seconds = 0, inference_seconds = 0;
  };
  Totals totals() const;

  /// The exposition. `stats` is null while the model loads.
  std::string text(const executor::ExecutorStats* stats) const;

 private:
  struct Families;
  const std::unique_ptr<Families> families_;
  const bool aliases_;
};

}  // namespace tokamak::server
