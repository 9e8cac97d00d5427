// SPDX-License-Identifier: Apache-2.0
// The kernels that choose tokens, run on the host: what they compute, without a GPU. Not with
// clang, which holds the operands of PTX against the host's registers, and not under
// ThreadSanitizer, which loses track of stacks that take turns.
#if !defined(__clang__) && !defined(__SANITIZE_THREAD__)
#include "tokamak/kernels/cuda/on_host_test.h"
#include "tokamak/kernels/cuda/sample/adjust.cuh"
#include "tokamak/kernels/cuda/sample/draw.cuh"
#include "tokamak/kernels/cuda/sample/note_tokens.cuh"
#include "tokamak/kernels/cuda/sample/score.cuh"
#include "tokamak/runtime/choose_kernels_test.h"

namespace tokamak::runtime {
namespace {

using kernels::cuda::on_host::launch;

Choices choose(const ChooseCase& asked) {
  const ChooseStep launched(asked);
  const Step step = launched.step();
  const auto rows = std::ssize(step.samples);
  const engine::StepLimits limits{.max_rows = rows, .max_sequences = rows};
  const int64_t bytes = sampling_layout(limits, asked.vocab).block_bytes();
  std::vector<uint64_t> memory(static_cast<size_t>(bytes) / 8 + 1, ~uint64_t{0});
  SamplingBlock block = pack_sampling(step, asked.vocab, std::as_writable_bytes(std::span(memory)));
  Choices out;
  // What `greedy` finds, which runs before.
  for (size_t s = 0; s < asked.size(); ++s) {
    const auto row = asked.row(s);
    const bool fine = std::all_of(row.begin(), row.end(), [](float x) { return x < -kNone; });
    const auto best = std::max_element(row.begin(), row.end());
    out.tokens.push_back(fine && *best > kNone ? static_cast<int32_t>(best - row.begin()) : -1);
  }
  out.adjusted.assign(block.adjusts.size() * static_cast<size_t>(asked.vocab), 777.0f);
  out.scores.resize(block.scores.size());
  std::memset(static_cast<void*>(out.scores.data()), 0xee, std::span(out.scores).size_bytes());
  const int columns = static_cast<int>(asked.vocab);
  const bool wide = columns % 4 == 0;
  auto size = [](int64_t x) { return static_cast<unsigned>(x); };

  const auto* adjusts = reinterpret_cast<const tkm::AdjustRow*>(block.adjusts.data());
  const auto* draws = reinterpret_cast<const tkm::DrawRow*>(block.draws.data());
  const auto* scores = reinterpret_cast<const tkm::ScoreRow*>(block.scores.data());
  auto* scored = reinterpret_cast<tkm::Score*>(out.scores.data());
  launch({size((columns + tkm::kAdjustTile - 1) / tkm::kAdjustTile), size(block.adjusts.size())},
         tkm::kAdjustThreads,
         [&] {
           (wide ? tkm::adjust<4> : tkm::adjust<1>)(asked.logits.data(),
                                                    out.adjusted.data(),
                                                    adjusts,
                                                    block.words.data(),
                                                    asked.page_table.data(),
                                                    asked.pages.data(),
                                                    static_cast<int>(asked.max_pages),
                                                    columns);
         });
  launch({size(block.draws.size()), 1}, tkm::kRowThreads, [&] {
    (wide ? tkm::draw<4> : tkm::draw<1>)(asked.logits.data(),
                                         out.adjusted.data(),
                                         draws,
                                         out.tokens.data(),
                                         columns);
  });
  launch({size(block.scores.size()), 1}, tkm::kRowThreads, [&] {
    (wide ? tkm::score<4>
          : tkm::score<1>)(asked.logits.data(), scores, out.tokens.data(), scored, columns);
  });
  return out;
}

static_assert(sizeof(tkm::AdjustRow) == sizeof(kernels::cuda::AdjustRow));
static_assert(sizeof(tkm::DrawRow) == sizeof(kernels::cuda::DrawRow));
static_assert(sizeof(tkm::ScoreRow) == sizeof(kernels::cuda::ScoreRow));
static_assert(sizeof(tkm::Score) == sizeof(kernels::cuda::Score));

TEST(ChooseOnHost, follows_the_definition) {
  std::mt19937 random(21);
  ChooseCounts counts;
  for (int64_t vocab : {1, 37, 1001, 4096, 9000, 17'003}) {
    for (int64_t longest : {3, 400}) {
      const ChooseCase asked = random_case(vocab, 10, longest, random);
      expect_choices(asked, choose(asked), counts);
    }
  }
  EXPECT_EQ(counts.rows, 120);
  EXPECT_LE(counts.left, 4) << "some weights tie at top-p's border";
  EXPECT_LE(counts.other_draws, 1);
}

TEST(ChooseOnHost, leaves_what_cannot_be_decided) {
  std::mt19937 random(22);
  for (int64_t vocab : {5003, 9000}) {
    const ChooseCase asked = broken_case(vocab, random);
    expect_broken_choices(asked, choose(asked));
  }
}

TEST(NoteTokensOnHost, completes_ids_and_notes_them_by_page) {
  // Sequences of 3, 0, 1 and 2 rows, then two rows of padding.
  const std::vector<int32_t> first_rows = {0, 3, 3, 4, 6}, contexts = {63, 9, 128, 0};
  const std::vector<int32_t> table = {5, 2, 0, 9, 9, 9, 7, 7, 1, 3, 0, 0}, sampled = {70, -1, 72};
  std::vector<int32_t> ids = {10, 11, 12, -1, -2, -3, 0, -1};
  std::vector<int32_t> pages(10 * 64, -7);
  std::vector<int32_t> expected = pages;
  expected[5 * 64 + 63] = 10;
  expected[2 * 64 + 0] = 11;
  expected[2 * 64 + 1] = 12;
  expected[1 * 64 + 0] = 70;
  expected[3 * 64 + 0] = 0;
  expected[3 * 64 + 1] = 72;
  const tkm::Batch batch{first_rows.data(), contexts.data(), table.data(), 4, 3};
  launch({1, 1}, 256, [&] {
    tkm::note_tokens(ids.data(), sampled.data(), batch, pages.data(), static_cast<int>(ids.size()));
  });
  EXPECT_EQ(ids, (std::vector<int32_t>{10, 11, 12, 70, 0, 72, 0, 70}));
  EXPECT_EQ(pages, expected);
}

}  // namespace
}  // namespace tokamak::runtime
#endif
