// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/chooser.h"

#include <numbers>

#include "tokamak/kernels/cuda/sample/draw.h"
#include "tokamak/kernels/cuda/sample/fill_unknown.h"
#include "tokamak/kernels/cuda/sample/greedy.h"
#include "tokamak/runtime/philox.h"

namespace tokamak::runtime {
namespace {

kernels::cuda::DrawRow draw_row(const SampleRow& row) {
  const SamplingParams& p = *row.context.params;
  return {.uniform = philox_uniform(row.context.seed, static_cast<uint64_t>(row.context.position)),
          .scale = static_cast<float>(std::numbers::log2e / double{p.temperature}),
          .top_p = p.top_p,
          .min_p = p.min_p,
          .top_k = static_cast<int32_t>(std::clamp<int64_t>(p.top_k, 0, INT32_MAX)),
          .row = row.row,
          .place = row.row};
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

/// Kernels are done when their calls return, so that launch() does it all.
class HostChooser : public Chooser {
 public:
  HostChooser(device::Device& device, int64_t vocab_size)
      : vocab_size_(vocab_size), sampler_(device, vocab_size) {}

  int64_t max_under_way() const override { return 1; }
  void begin(void*, int64_t) override {}
  void end(void*, int64_t) override {}
  void launch(const Step& step, void* logits) override {
    output_.logits = {DType::kF32, {std::ssize(step.logit_rows), vocab_size_}, logits};
    std::vector<std::optional<Result<Sampled>>> answers(step.samples.size());
    sampler_.run(step.samples, static_cast<const float*>(logits), answers);
    take(std::move(answers), output_);
  }
  Result<StepOutput> finish(void*, bool) override { return std::exchange(output_, {}); }

 private:
  int64_t vocab_size_;
  HostSampler sampler_;
  StepOutput output_;
};

/// Tokens that the device chooses all lie in `sampled` when a step ends, where the next one finds
/// them; a copy goes to the host.
class CudaChooser : public Chooser {
 public:
  static Result<std::unique_ptr<Chooser>> make(device::Device& device,
                                               int64_t max_rows,
                                               int64_t vocab_size,
                                               void* sampled) {
    std::unique_ptr<CudaChooser> out(new CudaChooser(device, vocab_size, sampled));
    TKM_ASSIGN(out->fill_, kernels::cuda::FillUnknown::make(device));
    TKM_ASSIGN(out->greedy_, kernels::cuda::Greedy::make(device, max_rows));
    TKM_ASSIGN(out->draw_, kernels::cuda::Draw::make(device, max_rows, vocab_size));
    TKM_ASSIGN(out->logits_, device.allocate_host(max_rows * vocab_size * 4));
    for (UnderWay& step : out->steps_) {
      TKM_ASSIGN(step.tokens, device.allocate_host(max_rows * 4));
      TKM_ASSIGN(step.done, device.make_event());
    }
    return std::unique_ptr<Chooser>(std::move(out));
  }

  int64_t max_under_way() const override { return std::ssize(steps_); }
  void begin(void* token_ids, int64_t tokens) override { fill_.run(token_ids, sampled_, tokens); }
  void end(void* logits, int64_t rows) override {
    greedy_.run(logits, rows, vocab_size_, sampled_);
  }

  void launch(const Step& step, void* logits) override {
    UnderWay& launched = steps_[static_cast<size_t>(num_launched_) % steps_.size()];
    launched.samples.assign(step.samples.begin(), step.samples.end());
    launched.logit_rows = step.wants_logits ? std::ssize(step.logit_rows) : 0;
    draws_.clear();
    copy_rows(logits, 0, launched.logit_rows);
    for (const SampleRow& row : step.samples) {
      if (!chooses_plainly(row.context)) {
        copy_rows(logits, row.row, launched.logit_rows ? 0 : 1);
      } else if (!is_greedy(*row.context.params)) {
        draws_.push_back(draw_row(row));
      }
    }
    draw_.run(logits, draws_, sampled_);
    copy_to_host(launched.tokens.data(), sampled_, std::ssize(step.logit_rows));
    launched.done->record();
    ++num_launched_;
  }

  Result<StepOutput> finish(void* logits, bool keeps_logits) override {
    UnderWay& step = steps_[static_cast<size_t>(num_finished_++) % steps_.size()];
    TKM_RETURN_IF_ERROR(step.done->wait());
    std::vector<std::optional<Result<Sampled>>> answers(step.samples.size());
    bool missing = false;
    for (size_t i = 0; i < answers.size(); ++i) {
      const SampleRow& row = step.samples[i];
      if (!chooses_plainly(row.context)) continue;
      const int32_t token = static_cast<const int32_t*>(step.tokens.data())[row.row];
      if (token >= 0) {
        answers[i] = Sampled{.token = token};
      } else if (!keeps_logits) {
        answers[i] = Sampled{.token = kUndecided};
      } else {
        // The host chooses, or says what is wrong with the row.
        copy_rows(logits, row.row, 1);
        missing = true;
      }
    }
    if (missing) TKM_RETURN_IF_ERROR(device_.synchronize());
    sampler_.run(step.samples, static_cast<const float*>(logits_.data()), answers);
    StepOutput out;
    if (step.logit_rows > 0)
      out.logits = {DType::kF32, {step.logit_rows, vocab_size_}, logits_.data()};
    take(std::move(answers), out);
    return out;
  }

 private:
  struct UnderWay {
    std::vector<SampleRow> samples;
    int64_t logit_rows = 0;  ///< That were asked for.
    device::Memory tokens;   ///< Of the host: `sampled` as the step leaves it.
    std::unique_ptr<device::Event> done;
  };

  CudaChooser(device::Device& device, int64_t vocab_size, void* sampled)
      : device_(device), vocab_size_(vocab_size), sampled_(sampled), sampler_(device, vocab_size) {}

  void copy_rows(const void* logits, int64_t first, int64_t rows) {
    const int64_t offset = first * vocab_size_ * 4;
    copy_to_host(static_cast<std::byte*>(logits_.data()) + offset,
                 static_cast<const std::byte*>(logits) + offset,
                 rows * vocab_size_);
  }
  void copy_to_host(void* to, const void* from, int64_t words) {
    if (words > 0) device_.copy_to_host(to, from, words * 4);
  }

  device::Device& device_;
  int64_t vocab_size_;
  void* sampled_;
  HostSampler sampler_;
  kernels::cuda::FillUnknown fill_;
  kernels::cuda::Greedy greedy_;
  kernels::cuda::Draw draw_;
  std::vector<kernels::cuda::DrawRow> draws_;
  std::array<UnderWay, 2> steps_;  ///< Step i is at i % 2.
  int64_t num_launched_ = 0, num_finished_ = 0;
  device::Memory logits_;  ///< Of the host; a row of logits lies at its place.
};

}  // namespace

Result<std::unique_ptr<Chooser>> Chooser::make(device::Device& device,
                                               int64_t max_rows,
                                               int64_t vocab_size,
                                               void* sampled) {
  if (device.host_accessible())
    return std::unique_ptr<Chooser>(std::make_unique<HostChooser>(device, vocab_size));
  return CudaChooser::make(device, max_rows, vocab_size, sampled);
}

}  // namespace tokamak::runtime
