// SPDX-License-Identifier: Apache-2.0
// The kernels that choose tokens, on a GPU, held against the definition.
#include "tokamak/device/gpu_test.h"
#include "tokamak/kernels/cuda/sample/greedy.h"
#include "tokamak/runtime/choose_kernels_test.h"

namespace tokamak::runtime {
namespace {

/// The kernels for rows of some columns.
struct ChooseKernels {
  kernels::cuda::Greedy greedy;
  kernels::cuda::Adjust adjust;
  kernels::cuda::Draw draw;
  kernels::cuda::Scorer scorer;

  static Result<ChooseKernels> make(device::Device& device, int64_t columns) {
    ChooseKernels out;
    TKM_ASSIGN(out.greedy, kernels::cuda::Greedy::make(device));
    TKM_ASSIGN(out.adjust, kernels::cuda::Adjust::make(device, columns));
    TKM_ASSIGN(out.draw, kernels::cuda::Draw::make(device, columns));
    TKM_ASSIGN(out.scorer, kernels::cuda::Scorer::make(device, columns));
    return out;
  }
};

class ChooseOnGpu : public device::GpuTest {
 protected:
  void SetUp() override {
    device::GpuTest::SetUp();
    // Kept loaded: kernels only ask whether 4 divides the columns.
    for (int64_t columns : {1, 4}) {
      if (device_) loaded_.push_back(ChooseKernels::make(*device_, columns).value());
    }
  }
  /// Twice, into memory that was poisoned: the bits are the same.
  Choices choose(const ChooseCase& asked) {
    Choices out = choose_once(asked);
    const Choices again = choose_once(asked);
    EXPECT_EQ(out.tokens, again.tokens);
    auto same = [](const auto& a, const auto& b) {
      return a.size() == b.size() &&
             std::memcmp(a.data(), b.data(), std::span(a).size_bytes()) == 0;
    };
    EXPECT_TRUE(same(out.scores, again.scores));
    EXPECT_TRUE(same(out.adjusted, again.adjusted));
    return out;
  }

 private:
  Choices choose_once(const ChooseCase& asked) {
    const ChooseStep launched(asked);
    const Step step = launched.step();
    const auto rows = std::ssize(step.samples);
    const SamplingLayout layout =
        sampling_layout({.max_rows = rows, .max_sequences = rows}, asked.vocab);
    std::vector<uint64_t> memory(static_cast<size_t>(layout.block_bytes()) / 8 + 1, ~uint64_t{0});
    const SamplingBlock block =
        pack_sampling(step, asked.vocab, std::as_writable_bytes(std::span(memory)));
    device::Memory logits = upload(asked.logits), words = upload(memory);
    device::Memory table = upload(asked.page_table), pages = upload(asked.pages);
    auto poisoned = [&](int64_t bytes) {
      device::Memory out = device_->allocate(bytes).value();
      device_->fill_bytes(out.data(), 0xee, bytes);
      return out;
    };
    const int64_t num_adjusted = std::ssize(block.adjusts) * asked.vocab;
    const int64_t num_scores = std::ssize(block.scores);
    device::Memory adjusted = poisoned(num_adjusted * 4), tokens = poisoned(rows * 4);
    device::Memory scores =
        poisoned(num_scores * static_cast<int64_t>(sizeof(kernels::cuda::Score)));
    device::Memory counters =
        device_->allocate(rows * kernels::cuda::Greedy::kCounterBytes).value();
    auto there = [&](const auto& list) {
      return static_cast<const std::byte*>(words.data()) + block.offset(list.data());
    };
    const tokamak::kernels::DeviceBatch batch{
        .page_table = static_cast<const int32_t*>(table.data()),
        .num_sequences = static_cast<int32_t>(rows),
        .max_pages = static_cast<int32_t>(asked.max_pages)};
    const ChooseKernels made = ChooseKernels::make(*device_, asked.vocab).value();
    made.greedy.run(logits.data(), rows, asked.vocab, tokens.data(), counters.data());
    made.adjust.run(logits.data(),
                    adjusted.data(),
                    there(block.adjusts),
                    std::ssize(block.adjusts),
                    words.data(),
                    batch,
                    pages.data());
    made.draw.run(
        logits.data(), adjusted.data(), there(block.draws), std::ssize(block.draws), tokens.data());
    made.scorer.run(logits.data(), there(block.scores), num_scores, tokens.data(), scores.data());
    return {download<int32_t>(tokens, rows),
            download<kernels::cuda::Score>(scores, num_scores),
            download<float>(adjusted, num_adjusted)};
  }

  std::vector<ChooseKernels> loaded_;
};

TEST_F(ChooseOnGpu, follows_the_definition) {
  std::mt19937 random(21);
  ChooseCounts counts;
  for (int64_t vocab : {1, 37, 1001, 4096, 9000, 32'000, 50'257, 128'256}) {
    for (int64_t longest : {3, 400, 5000}) {
      const ChooseCase asked = random_case(vocab, 24, longest, random);
      expect_choices(asked, choose(asked), counts);
    }
  }
  EXPECT_EQ(counts.rows, 24 * 24);
  EXPECT_LE(counts.left, 20) << "some weights tie at top-p's border";
  EXPECT_LE(counts.other_draws, 6);
}

TEST_F(ChooseOnGpu, leaves_what_cannot_be_decided) {
  std::mt19937 random(22);
  for (int64_t vocab : {5003, 9000, 128'256}) {
    const ChooseCase asked = broken_case(vocab, random);
    expect_broken_choices(asked, choose(asked));
  }
}

TEST_F(ChooseOnGpu, counts_what_was_said_in_very_long_sequences) {
  std::mt19937 random(23);
  ChooseCase asked = random_case(128'256, 3, 10, random);
  for (size_t s = 0; s < 3; ++s) {
    asked.said[s].resize(120'000 + s);
    for (int32_t& token : asked.said[s]) token = static_cast<int32_t>(random() % 128'256);
    std::fill_n(asked.said[s].begin() + 50'000, 20'000, static_cast<int32_t>(s));
    asked.prompt_sizes[s] = 60'000;
    asked.params[s] = {.temperature = 0,
                       .repetition_penalty = 1.1f,
                       .presence_penalty = 0.3f,
                       .frequency_penalty = 0.001f,
                       .logprobs = 2};
    asked.given[s] = -1;
  }
  asked.lay_out(random);
  ChooseCounts counts;
  expect_choices(asked, choose(asked), counts);
  EXPECT_EQ(counts.left, 0);
}

}  // namespace
}  // namespace tokamak::runtime
