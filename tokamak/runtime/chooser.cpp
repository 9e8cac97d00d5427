// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/chooser.h"

#include "tokamak/kernels/cuda/sample/greedy.h"

namespace tokamak::runtime {
namespace {

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
 public:
  static Result<std::unique_ptr<Chooser>> make(device::Device& device,
                                               int64_t max_rows,
                                               int64_t vocab_size) {
    std::unique_ptr<CudaChooser> out(new CudaChooser(device, vocab_size));
    TKM_ASSIGN(out->greedy_, kernels::cuda::Greedy::make(device, max_rows));
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
    std::vector<std::optional<Result<Sampled>>> answers(step.samples.size());
    if (rows > 0) device_.copy_to_host(tokens_.data(), sampled, rows * 4);
    if (step.wants_logits) {
      copy_row(logits, 0, rows);
      out.logits = {DType::kF32, {rows, vocab_size_}, logits_.data()};
    } else {
      for (const SampleRow& row : step.samples) {
        if (!takes_best(row.context)) copy_row(logits, row.row, 1);
      }
    }
    TKM_RETURN_IF_ERROR(device_.synchronize());
    bool missing = false;
    for (size_t i = 0; i < answers.size(); ++i) {
      const SampleRow& row = step.samples[i];
      if (!takes_best(row.context)) continue;
      int32_t token = static_cast<const int32_t*>(tokens_.data())[row.row];
      if (token >= 0) {
        answers[i] = Sampled{.token = token};
      } else {
        // The host says what is wrong with the row.
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
  device::Memory tokens_, logits_;  ///< Of the host; a row of logits lies at its place.
};

}  // namespace

bool takes_best(const SampleContext& context) {
  const SamplingParams& p = *context.params;
  return (p.temperature < 1e-5f || p.top_p == 0) && p.repetition_penalty == 1 &&
         p.presence_penalty == 0 && p.frequency_penalty == 0 && context.banned.empty() &&
         p.logit_bias.empty() && p.bad_words.empty() && p.allowed_token_ids.empty() &&
         p.logprobs < 0 && context.given < 0;
}

Result<std::unique_ptr<Chooser>> Chooser::make(device::Device& device,
                                               int64_t max_rows,
                                               int64_t vocab_size) {
  if (device.host_accessible())
    return std::unique_ptr<Chooser>(std::make_unique<HostChooser>(device, vocab_size));
  return CudaChooser::make(device, max_rows, vocab_size);
}

}  // namespace tokamak::runtime
