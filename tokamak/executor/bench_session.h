// SPDX-License-Identifier: Apache-2.0
// For benchmarks of the host: a model that computes nothing, and the clock that counts.
#pragma once

#include <ctime>
#include <deque>
#include <functional>
#include <utility>

#include "tokamak/runtime/session.h"

namespace tokamak::executor {

/// Token ids are scattered over the vocabulary by their position.
class BenchSession : public runtime::Session {
 public:
  /// Called before each step, and with the number of tokens after it.
  std::function<void()> before = [] {};
  std::function<void(int64_t)> after = [](int64_t) {};

  explicit BenchSession(const runtime::SessionInfo& info) : info_(info) {}
  const runtime::SessionInfo& info() const override { return info_; }
  Result<void> launch(const runtime::Step& step) override {
    before();
    runtime::StepOutput& output = under_way_.emplace_back();
    output.samples.reserve(step.samples.size());
    for (const auto& sample : step.samples) {
      runtime::Sampled sampled;
      const auto draw = static_cast<uint64_t>(sample.context.position) * 2654435761u;
      sampled.token = static_cast<int32_t>((draw >> 7) % static_cast<uint64_t>(info_.vocab_size));
      output.samples.emplace_back(std::move(sampled));
    }
    return {};
  }
  Result<runtime::StepOutput> finish() override {
    runtime::StepOutput output = std::move(under_way_.front());
    under_way_.pop_front();
    after(static_cast<int64_t>(output.samples.size()));
    return output;
  }

 private:
  runtime::SessionInfo info_;
  std::deque<runtime::StepOutput> under_way_;
};

/// CLOCK_PROCESS_CPUTIME_ID: of all threads; CLOCK_THREAD_CPUTIME_ID: of this one.
inline double cpu_seconds(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace tokamak::executor
