// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/chooser.h"

#include <numbers>

#include "tokamak/kernels/cuda/sample/draw.h"
#include "tokamak/kernels/cuda/sample/greedy.h"
#include "tokamak/runtime/philox.h"

namespace tokamak::runtime {
namespace {

/// Nothing changes the logits, and nothing is told beside the token.
bool asks_for_token_alone(const SampleContext& context) {
  return !changes_logits(context) && context.params->logprobs < 0 && context.given < 0;
}

kernels::cuda::DrawRow draw_row(const SampleRow& row) {
  const SamplingParams& p = *row.context.params;
  return {.uniform = philox_uniform(row.context.seed, static_cast<uint64_t>(row.context.position)),
          .scale = static_cast<float>(std::numbers::log2e / double{p.temperature}),
          .top_p = p.top_p,
          .min_p = p.min_p,
          .top_k = static_cast<int32_t>(std::clamp<int64_t>(p.top_k, 0, INT32_MAX)),
          .row = row.row};
}

/// sample() for the rows of `logits` that have no answer yet, side by side.
class HostSampler {
 public:
  HostSampler(device::Device& device, int64_t vocab_size)
      : device_(device),
        vocab_size_(static_cast<size_t>(vocab_size)),
        scratch_(static_cast<size_t>(device.pool().num_threads())) {}

  void run(std::span<const SampleRow> rows,
           const float* logits,
           std::vector<std::optional<Result<Sampled>>>& answers) {
    std::vector<size_t> open;
    for (size_t i = 0; i < rows.size(); ++i) {
      if (!answers[i]) open.push_back(i);
    }
    device_.pool().parallel_for(std::ssize(open), [&](int64_t n, int thread) {
      size_t i = open[static_cast<size_t>(n)];
      const float* row = logits + static_cast<size_t>(rows[i].row) * vocab_size_;
      answers[i] =
          sample({row, vocab_size_}, rows[i].context, scratch_[static_cast<size_t>(thread)]);
    });
  }

 private:
  device::Device& device_;
  size_t vocab_size_;
  std::vector<std::vector<float>> scratch_;  ///< One a thread.
};

void take(std::vector<std::optional<Result<Sampled>>> answers, StepOutput& out) {
  for (auto& answer : answers) out.samples.push_back(*std::move(answer));
}

class HostChooser : public Chooser {
 public:
  HostChooser(device::Device& device, int64_t vocab_size)
      : vocab_size_(vocab_size), sampler_(device, vocab_size) {}

  void enqueue(void*, int64_t, void*) override {}
  Result<StepOutput> finish(const Step& step, void* logits, const void*) override {
    StepOutput out;
    out.logits = {DType::kF32, {std::ssize(step.logit_rows), vocab_size_}, logits};
    std::vector<std::optional<Result<Sampled>>> answers(step.samples.size());
    sampler_.run(step.samples, static_cast<const float*>(logits), answers);
    take(std::move(answers), out);
    return out;
  }

 private:
  int64_t vocab_size_;
  HostSampler sampler_;
};

class CudaChooser : public Chooser {
  static constexpr int kBest = -1, kHost = -2;

 public:
  static Result<std::unique_ptr<Chooser>> make(device::Device& device,
                                               int64_t max_rows,
                                               int64_t vocab_size) {
    std::unique_ptr<CudaChooser> out(new CudaChooser(device, vocab_size));
    TKM_ASSIGN(out->greedy_, kernels::cuda::Greedy::make(device, max_rows));
    TKM_ASSIGN(out->draw_, kernels::cuda::Draw::make(device, max_rows, vocab_size));
    TKM_ASSIGN(out->tokens_, device.allocate_host(max_rows * 4));
    TKM_ASSIGN(out->logits_, device.allocate_host(max_rows * vocab_size * 4));
    return std::unique_ptr<Chooser>(std::move(out));
  }

  void enqueue(void* logits, int64_t rows, void* sampled) override {
    greedy_.run(logits, rows, vocab_size_, sampled);
  }

  Result<StepOutput> finish(const Step& step, void* logits, const void* sampled) override {
    int64_t rows = std::ssize(step.logit_rows);
    StepOutput out;
    start_draws(step, logits);
    if (rows > 0) device_.copy_to_host(tokens_.data(), sampled, rows * 4);
    if (step.wants_logits) {
      copy_row(logits, 0, rows);
      out.logits = {DType::kF32, {rows, vocab_size_}, logits_.data()};
    } else {
      for (size_t i = 0; i < places_.size(); ++i) {
        if (places_[i] == kHost) copy_row(logits, step.samples[i].row, 1);
      }
    }
    TKM_RETURN_IF_ERROR(device_.synchronize());
    std::vector<std::optional<Result<Sampled>>> answers(step.samples.size());
    bool missing = false;
    for (size_t i = 0; i < answers.size(); ++i) {
      if (places_[i] == kHost) continue;
      const SampleRow& row = step.samples[i];
      int32_t token = places_[i] == kBest ? static_cast<const int32_t*>(tokens_.data())[row.row]
                                          : draw_.tokens()[static_cast<size_t>(places_[i])];
      if (token >= 0) {
        answers[i] = Sampled{.token = token};
      } else {
        // The host chooses, or says what is wrong with the row.
        copy_row(logits, row.row, 1);
        missing = true;
      }
    }
    if (missing) TKM_RETURN_IF_ERROR(device_.synchronize());
    sampler_.run(step.samples, static_cast<const float*>(logits_.data()), answers);
    take(std::move(answers), out);
    return out;
  }

 private:
  CudaChooser(device::Device& device, int64_t vocab_size)
      : device_(device), vocab_size_(vocab_size), sampler_(device, vocab_size) {}

  /// Who chooses for each sample.
  void start_draws(const Step& step, const void* logits) {
    draws_.clear();
    places_.clear();
    for (const SampleRow& row : step.samples) {
      const bool room = std::ssize(draws_) < draw_.max_draws();
      if (takes_best(row.context)) {
        places_.push_back(kBest);
      } else if (draws_plainly(row.context) && room) {
        places_.push_back(static_cast<int>(draws_.size()));
        draws_.push_back(draw_row(row));
      } else {
        places_.push_back(kHost);
      }
    }
    draw_.run(logits, draws_);
  }
  void copy_row(const void* logits, int64_t first, int64_t rows) {
    int64_t offset = first * vocab_size_ * 4;
    device_.copy_to_host(static_cast<std::byte*>(logits_.data()) + offset,
                         static_cast<const std::byte*>(logits) + offset,
                         rows * vocab_size_ * 4);
  }

  device::Device& device_;
  int64_t vocab_size_;
  HostSampler sampler_;
  kernels::cuda::Greedy greedy_;
  kernels::cuda::Draw draw_;
  std::vector<kernels::cuda::DrawRow> draws_;
  std::vector<int> places_;         ///< Of each sample: its draw, or kBest, or kHost.
  device::Memory tokens_, logits_;  ///< Of the host; a row of logits lies at its place.
};

}  // namespace

bool takes_best(const SampleContext& context) {
  return is_greedy(*context.params) && asks_for_token_alone(context);
}

bool draws_plainly(const SampleContext& context) {
  return !is_greedy(*context.params) && asks_for_token_alone(context);
}

Result<std::unique_ptr<Chooser>> Chooser::make(device::Device& device,
                                               int64_t max_rows,
                                               int64_t vocab_size) {
  if (device.host_accessible())
    return std::unique_ptr<Chooser>(std::make_unique<HostChooser>(device, vocab_size));
  return CudaChooser::make(device, max_rows, vocab_size);
}

}  // namespace tokamak::runtime
