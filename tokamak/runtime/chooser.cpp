// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/chooser.h"

#include "tokamak/kernels/cuda/sample/greedy.h"
#include "tokamak/kernels/cuda/sample/note_tokens.h"
#include "tokamak/runtime/sampling_block.h"

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

  /// add_named_logprobs() for those rows of `logits` that have a token and ask for them.
  void add_named(std::span<const SampleRow> rows,
                 const float* logits,
                 std::vector<std::optional<Result<Sampled>>>& answers) {
    std::vector<size_t> named;
    for (size_t i = 0; i < rows.size(); ++i) {
      const bool chosen = answers[i] && answers[i]->ok() && (*answers[i])->token >= 0;
      if (chosen && names_logprobs(rows[i].context)) named.push_back(i);
    }
    device_.pool().parallel_for(std::ssize(named), [&](int64_t n, int thread) {
      const size_t i = named[static_cast<size_t>(n)];
      const float* row = logits + static_cast<size_t>(rows[i].row) * vocab_size_;
      add_named_logprobs({row, vocab_size_},
                         *rows[i].context.params,
                         scratch_[static_cast<size_t>(thread)],
                         **answers[i]);
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
  void begin(const StepInputs&, const StepShape&) override {}
  void end(void*, int64_t) override {}
  void launch(const Step& step, const StepInputs&, void* logits) override {
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
/// them; a copy goes to the host. Beside it the token ids of all pages, so that a row's penalties
/// count what the host has not seen yet.
class CudaChooser : public Chooser {
 public:
  static Result<std::unique_ptr<Chooser>> make(device::Device& device,
                                               const engine::StepLimits& limits,
                                               const engine::MemoryPlan& memory,
                                               int64_t vocab_size,
                                               void* sampled) {
    std::unique_ptr<CudaChooser> out(new CudaChooser(device, limits, vocab_size, sampled));
    const SamplingLayout& layout = out->layout_;
    TKM_ASSIGN(out->note_, kernels::cuda::NoteTokens::make(device));
    TKM_ASSIGN(out->greedy_, kernels::cuda::Greedy::make(device));
    TKM_ASSIGN(out->adjust_, kernels::cuda::Adjust::make(device, vocab_size));
    TKM_ASSIGN(out->draw_, kernels::cuda::Draw::make(device, vocab_size));
    TKM_ASSIGN(out->scorer_, kernels::cuda::Scorer::make(device, vocab_size));
    TKM_ASSIGN(out->memory_, device.allocate(memory.sampling_bytes));
    TKM_ASSIGN(out->pages_, device.allocate(memory.token_bytes));
    for (UnderWay& step : out->steps_) {
      TKM_ASSIGN(step.logits, device.allocate_host(limits.max_rows * vocab_size * 4));
      TKM_ASSIGN(step.block, device.allocate_host(layout.block_bytes()));
      TKM_ASSIGN(step.tokens, device.allocate_host(limits.max_rows * 4));
      TKM_ASSIGN(step.scores, device.allocate_host(limits.max_rows * kScoreBytes));
      TKM_ASSIGN(step.done, device.make_event());
    }
    return std::unique_ptr<Chooser>(std::move(out));
  }

  int64_t max_under_way() const override { return std::ssize(steps_); }
  void begin(const StepInputs& inputs, const StepShape& shape) override {
    note_.run(inputs.token_ids(), sampled_, inputs.batch(), pages_.data(), shape.tokens);
  }
  void end(void* logits, int64_t rows) override {
    greedy_.run(logits, rows, vocab_size_, sampled_, at(layout_.counters));
  }

  void launch(const Step& step, const StepInputs& inputs, void* logits) override {
    UnderWay& launched = steps_[static_cast<size_t>(num_launched_) % steps_.size()];
    launched.samples.clear();
    for (const SampleRow& row : step.samples)
      launched.samples.push_back({row, knows_history(row.context), asks_logprobs(row.context)});
    launched.logit_rows = step.wants_logits ? std::ssize(step.logit_rows) : 0;
    copy_rows(launched, logits, 0, launched.logit_rows);
    // The device scores the best tokens alone, and the next step may overwrite its logits.
    for (const SampleRow& row : step.samples) {
      if (row.row >= launched.logit_rows && names_logprobs(row.context))
        copy_rows(launched, logits, row.row, 1);
    }
    choose(step, inputs, logits, launched);
    copy_to_host(launched.tokens.data(), sampled_, std::ssize(step.logit_rows) * 4);
    launched.done->record();
    ++num_launched_;
  }

  Result<StepOutput> finish(void* logits, bool keeps_logits) override {
    UnderWay& step = steps_[static_cast<size_t>(num_finished_++) % steps_.size()];
    TKM_RETURN_IF_ERROR(step.done->wait());
    std::vector<std::optional<Result<Sampled>>> answers;
    const auto* score = static_cast<const kernels::cuda::Score*>(step.scores.data());
    std::vector<SampleRow> rows;
    bool missing = false;
    for (const Asked& asked : step.samples) {
      rows.push_back(asked.sample);
      answers.push_back(answer(asked, step, asked.scored ? score++ : nullptr));
      if (answers.back()) continue;
      if (keeps_logits && asked.knows_history) {
        // The host chooses, or says what is wrong with the row.
        copy_rows(step, logits, asked.sample.row, 1);
        missing = true;
      } else {
        answers.back() = Sampled{.token = kUndecided};
      }
    }
    if (missing) TKM_RETURN_IF_ERROR(device_.synchronize());
    const auto* copied = static_cast<const float*>(step.logits.data());
    sampler_.add_named(rows, copied, answers);
    sampler_.run(rows, copied, answers);
    StepOutput out;
    if (step.logit_rows > 0)
      out.logits = {DType::kF32, {step.logit_rows, vocab_size_}, step.logits.data()};
    take(std::move(answers), out);
    return out;
  }

 private:
  static constexpr auto kScoreBytes = static_cast<int64_t>(sizeof(kernels::cuda::Score));

  /// A sample as it was launched: what it points to may be gone unless it knows_history.
  struct Asked {
    SampleRow sample;
    bool knows_history = true, scored = false;
  };
  struct UnderWay {
    std::vector<Asked> samples;
    int64_t logit_rows = 0;  ///< That were asked for.
    device::Memory logits;   ///< Of the host, as the following; a row of logits lies at its place.
    device::Memory block;    ///< What the kernels take.
    device::Memory tokens;   ///< `sampled` as the step leaves it.
    device::Memory scores;   ///< Of the samples that are scored.
    std::unique_ptr<device::Event> done;
  };

  CudaChooser(device::Device& device,
              const engine::StepLimits& limits,
              int64_t vocab_size,
              void* sampled)
      : device_(device),
        vocab_size_(vocab_size),
        sampled_(sampled),
        layout_(sampling_layout(limits, vocab_size)),
        sampler_(device, vocab_size) {}

  void choose(const Step& step, const StepInputs& inputs, void* logits, UnderWay& launched) {
    const SamplingBlock block = pack_sampling(step,
                                              vocab_size_,
                                              {static_cast<std::byte*>(launched.block.data()),
                                               static_cast<size_t>(layout_.block_bytes())});
    if (block.bytes() == 0) return;
    device_.copy_to_device(at(layout_.block), block.words.data(), block.bytes());
    auto there = [&](const auto& rows) { return at(layout_.block + block.offset(rows.data())); };
    adjust_.run(logits,
                at(layout_.adjusted),
                there(block.adjusts),
                std::ssize(block.adjusts),
                at(layout_.block),
                inputs.batch(),
                pages_.data());
    draw_.run(logits, at(layout_.adjusted), there(block.draws), std::ssize(block.draws), sampled_);
    const int64_t scores = std::ssize(block.scores);
    scorer_.run(logits, there(block.scores), scores, sampled_, at(layout_.scores));
    copy_to_host(launched.scores.data(), at(layout_.scores), scores * kScoreBytes);
  }

  /// What the device says of a sample; nothing, if it leaves the row to the host.
  std::optional<Result<Sampled>> answer(const Asked& asked,
                                        const UnderWay& step,
                                        const kernels::cuda::Score* score) const {
    const SampleContext& context = asked.sample.context;
    Sampled out{.token = context.given};
    if (out.token < 0)
      out.token = static_cast<const int32_t*>(step.tokens.data())[asked.sample.row];
    if (out.token < 0) return {};
    if (!score) return out;
    if (score->count < 0) return {};
    out.logprob = score->logprob;
    for (int32_t i = 0; i < score->count; ++i)
      out.top_logprobs.push_back({score->tokens[i], score->logprobs[i]});
    return out;
  }

  void* at(int64_t offset) const { return static_cast<std::byte*>(memory_.data()) + offset; }
  void copy_rows(const UnderWay& step, const void* logits, int64_t first, int64_t rows) {
    const int64_t offset = first * vocab_size_ * 4;
    copy_to_host(static_cast<std::byte*>(step.logits.data()) + offset,
                 static_cast<const std::byte*>(logits) + offset,
                 rows * vocab_size_ * 4);
  }
  void copy_to_host(void* to, const void* from, int64_t bytes) {
    if (bytes > 0) device_.copy_to_host(to, from, bytes);
  }

  device::Device& device_;
  int64_t vocab_size_;
  void* sampled_;
  SamplingLayout layout_;
  HostSampler sampler_;
  kernels::cuda::NoteTokens note_;
  kernels::cuda::Greedy greedy_;
  kernels::cuda::Adjust adjust_;
  kernels::cuda::Draw draw_;
  kernels::cuda::Scorer scorer_;
  device::Memory memory_;          ///< As layout_ says.
  device::Memory pages_;           ///< Token ids of all pages.
  std::array<UnderWay, 2> steps_;  ///< Step i is at i % 2.
  int64_t num_launched_ = 0, num_finished_ = 0;
};

}  // namespace

Result<std::unique_ptr<Chooser>> Chooser::make(device::Device& device,
                                               const engine::StepLimits& limits,
                                               const engine::MemoryPlan& memory,
                                               int64_t vocab_size,
                                               void* sampled) {
  if (device.host_accessible())
    return std::unique_ptr<Chooser>(std::make_unique<HostChooser>(device, vocab_size));
  return CudaChooser::make(device, limits, memory, vocab_size, sampled);
}

}  // namespace tokamak::runtime
