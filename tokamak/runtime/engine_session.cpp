// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/engine_session.h"

#include <deque>
#include <map>
#include <tuple>

#include "tokamak/runtime/chooser.h"
#include "tokamak/runtime/kernel_times.h"
#include "tokamak/runtime/player.h"
#include "tokamak/runtime/session_plan.h"
#include "tokamak/runtime/step_check.h"
#include "tokamak/runtime/verify_plan.h"
#include "tokamak/runtime/weights.h"

namespace tokamak::runtime {
namespace {

/// Decode steps of up to these many sequences are padded and replayed from a graph.
constexpr int64_t kBuckets[] = {1, 2, 4, 8, 16, 32, 64, 128, 256};

class EngineSession : public Session {
 public:
  /// The device reads and writes host memory of ours until it has done all.
  ~EngineSession() override { std::ignore = device_->synchronize(); }

  EngineSession(const engine::Engine& engine,
                std::shared_ptr<device::Device> device,
                SessionPlan planned)
      : device_(std::move(device)), plan_(engine.plan), planned_(std::move(planned)) {
    info_ = {.vocab_size = plan_.vocab_size,
             .max_seq_len = planned_.max_seq_len,
             .max_step_tokens = planned_.limits.max_tokens,
             .max_step_rows = planned_.limits.max_rows,
             .max_sequences = planned_.limits.max_sequences,
             .num_pages = planned_.limits.num_pages,
             .long_sequence_after = planned_.long_sequence_after};
  }

  Result<void> load(const engine::Engine& engine,
                    std::vector<StepKernels> kernels,
                    bool check_weights,
                    const base::Progress& progress) {
    const engine::MemoryPlan& memory = planned_.memory;
    SessionMemory arenas;
    TKM_ASSIGN(arenas.weights, device_->allocate(memory.weight_bytes));
    TKM_ASSIGN(arenas.arena, device_->allocate(memory.arena_bytes));
    TKM_ASSIGN(arenas.workspace, device_->allocate(memory.workspace_bytes));
    TKM_ASSIGN(arenas.kv, device_->allocate(memory.kv_bytes));
    TKM_ASSIGN(inputs_, StepInputs::make(*device_, planned_.limits, memory.input_bytes));
    TKM_ASSIGN(
        chooser_,
        Chooser::make(*device_, planned_.limits, memory, plan_.vocab_size, inputs_.sampled()));
    info_.max_under_way = chooser_->max_under_way();
    TKM_RETURN_IF_ERROR(
        load_engine_weights(engine, memory, *device_, arenas.weights, check_weights, progress));
    player_.emplace(plan_, memory, planned_.limits, std::move(kernels), std::move(arenas));
    return capture_graphs(progress);
  }

  const SessionInfo& info() const override { return info_; }

  Result<void> launch(const Step& step) override {
    TKM_RETURN_IF_ERROR(order_.check(step, info_));
    ++num_begun_;
    int64_t bucket = decode_bucket(step, captured_);
    if (bucket) {
      inputs_.set(&step, decode_shape(bucket));
      graphs_.at(bucket)->launch();
    } else {
      StepShape shape = shape_of(step);
      inputs_.set(&step, shape);
      run(shape, step.sequences);
    }
    chooser_->launch(step, inputs_, player_->logits());
    order_.launched(step);
    begun_.push_back(num_begun_);
    return {};
  }

  Result<StepOutput> finish() override {
    order_.finish();
    const bool keeps_logits = begun_.front() == num_begun_;
    begun_.pop_front();
    return chooser_->finish(player_->logits(), keeps_logits);
  }

  std::string describe_step() const override {
    const std::string kernel = device_->last_kernel();
    return kernel.empty() ? kernel : fmt::format("the kernel that began last is {}", kernel);
  }

  Result<std::vector<KernelTime>> time_kernels(int64_t batch, int64_t context) override {
    return runtime::time_kernels(plan_, *device_, *player_, inputs_, info_, batch, context);
  }

 private:
  static StepShape decode_shape(int64_t bucket) {
    return {.tokens = bucket, .rows = bucket, .sequences = bucket, .max_sequence_rows = 1};
  }

  void run(const StepShape& shape, std::span<const op::SequenceSpan> sequences) {
    chooser_->begin(inputs_, shape);
    player_->play(inputs_, shape, sequences);
    chooser_->end(player_->logits(), shape.rows);
  }

  /// Padding stands for sequences: it writes no cache.
  Result<void> capture_graphs(const base::Progress& progress) {
    if (device_->host_accessible()) return {};
    for (int64_t bucket : kBuckets) {
      const engine::StepLimits& limits = planned_.limits;
      if (bucket > std::min({limits.max_tokens, limits.max_rows, limits.max_sequences})) break;
      StepShape shape = decode_shape(bucket);
      inputs_.set(nullptr, shape);
      run(shape, {});
      TKM_RETURN_IF_ERROR(device_->synchronize());
      TKM_ASSIGN(std::unique_ptr<device::Graph> graph, device_->capture([&] { run(shape, {}); }));
      if (!graph) break;
      graphs_[bucket] = std::move(graph);
      captured_.push_back(bucket);
      base::report(progress, "capturing decode steps", bucket, limits.max_sequences);
    }
    return {};
  }

  std::shared_ptr<device::Device> device_;  ///< First: it outlives what was made of it.
  engine::Plan plan_;
  SessionPlan planned_;
  SessionInfo info_;
  StepOrder order_;
  int64_t num_begun_ = 0;      ///< Launches, those that failed included.
  std::deque<int64_t> begun_;  ///< Which of them the steps under way are.
  StepInputs inputs_;
  std::unique_ptr<Chooser> chooser_;
  std::optional<Player> player_;
  std::map<int64_t, std::unique_ptr<device::Graph>> graphs_;  ///< By bucket.
  std::vector<int64_t> captured_;                             ///< Buckets with a graph, ascending.
};

}  // namespace

Result<std::unique_ptr<Session>> open_session(const engine::Engine& engine,
                                              std::shared_ptr<device::Device> device,
                                              const SessionOptions& options,
                                              const base::Progress& progress) {
  TKM_RETURN_IF_ERROR(verify_plan(engine.plan, *device));
  TKM_ASSIGN(std::vector<StepKernels> kernels, make_kernels(engine, *device));
  TKM_ASSIGN(SessionPlan planned, plan_with_kernels(engine.plan, *device, options, kernels));
  auto session = std::make_unique<EngineSession>(engine, std::move(device), std::move(planned));
  TKM_RETURN_IF_ERROR(session->load(engine, std::move(kernels), options.check_weights, progress));
  return std::unique_ptr<Session>(std::move(session));
}

}  // namespace tokamak::runtime
