// SPDX-License-Identifier: Apache-2.0
#include "tokamak/runtime/sampling_block.h"

#include <algorithm>
#include <bit>
#include <numbers>

#include "tokamak/kernels/cuda/sample/greedy.h"
#include "tokamak/runtime/philox.h"

namespace tokamak::runtime {
namespace {

using kernels::cuda::AdjustRow;
using kernels::cuda::DrawRow;
using kernels::cuda::Greedy;
using kernels::cuda::Score;
using kernels::cuda::ScoreRow;

static_assert(kernels::cuda::kMostScores == kMostLogprobs);

int64_t mask_words(int64_t vocab_size) {
  return (vocab_size + 31) / 32;
}

bool is_adjusted(const SampleContext& context) {
  return context.given < 0 && changes_logits(context);
}
bool is_drawn(const SampleContext& context) {
  return context.given < 0 && (changes_logits(context) || !is_greedy(*context.params));
}

/// `row` of the logits, negative: of the adjusted ones.
DrawRow draw_row(const SampleRow& sample, int32_t row) {
  const SamplingParams& p = *sample.context.params;
  DrawRow out{.row = row, .place = sample.row};
  if (is_greedy(p)) return out;
  out.uniform = philox_uniform(sample.context.seed, static_cast<uint64_t>(sample.context.position));
  out.scale = static_cast<float>(std::numbers::log2e / double{p.temperature});
  out.top_p = p.top_p;
  out.min_p = p.min_p;
  out.top_k = static_cast<int32_t>(std::clamp<int64_t>(p.top_k, 0, INT32_MAX));
  return out;
}

ScoreRow score_row(const SampleRow& sample) {
  const SampleContext& context = sample.context;
  const SamplingParams& p = *context.params;
  // Without `logprobs`, logprob_token_ids asks for the token's own.
  const int64_t count = context.given >= 0 ? p.prompt_logprobs : std::max<int64_t>(p.logprobs, 0);
  return {.row = sample.row, .given = context.given, .count = static_cast<int32_t>(count)};
}

/// Appends to the block; a check fails where it is full.
class Writer {
 public:
  explicit Writer(std::span<int32_t> words) : words_(words) {}

  template <typename Row>
  std::span<Row> rows(size_t count) {
    const int64_t begin = take(static_cast<int64_t>(count * sizeof(Row) / 4));
    return {reinterpret_cast<Row*>(words_.data() + begin), count};
  }
  int32_t* at(int64_t word) { return words_.data() + word; }
  /// The first of `count` words.
  int32_t take(int64_t count) {
    const int64_t begin = used_;
    TKM_CHECK(count <= std::ssize(words_) - begin,
              "{} words for sampling after {}, {} fit",
              count,
              begin,
              words_.size());
    used_ += count;
    return static_cast<int32_t>(begin);
  }
  int32_t list(std::span<const int32_t> values) {
    const int32_t begin = take(std::ssize(values));
    std::copy(values.begin(), values.end(), at(begin));
    return begin;
  }
  std::span<int32_t> used() const { return words_.first(static_cast<size_t>(used_)); }

 private:
  std::span<int32_t> words_;
  int64_t used_ = 0;
};

void write_bias(const SamplingParams& params, Writer& writer, AdjustRow& out) {
  out.num_bias = static_cast<int32_t>(params.logit_bias.size());
  out.bias = writer.take(2 * int64_t{out.num_bias});
  int32_t* to = writer.at(out.bias);
  for (const LogitBias& entry : params.logit_bias) {
    *to++ = entry.token;
    *to++ = std::bit_cast<int32_t>(entry.bias);
  }
}

void write_bad_words(const SamplingParams& params, Writer& writer, AdjustRow& out) {
  out.num_bad_words = static_cast<int32_t>(params.bad_words.size());
  if (params.bad_words.empty()) return;
  out.bad_words = writer.take(int64_t{out.num_bad_words} + 1);
  int32_t at = out.bad_words;
  for (const std::vector<int32_t>& word : params.bad_words) {
    const int32_t begin = writer.list(word);
    *writer.at(at++) = begin;
    *writer.at(at) = begin + static_cast<int32_t>(word.size());
  }
}

/// What is banned, and what is allowed.
void write_bans(const SampleContext& context, int64_t vocab_size, Writer& writer, AdjustRow& out) {
  const std::vector<int32_t>& allowed = context.params->allowed_token_ids;
  const bool listed = std::ssize(context.banned) <= kMostBanned;
  if (listed) {
    out.num_banned = static_cast<int32_t>(context.banned.size());
    out.banned = writer.list(context.banned);
  }
  if (listed && allowed.empty()) return;
  out.mask = writer.take(mask_words(vocab_size));
  int32_t* mask = writer.at(out.mask);
  std::fill_n(mask, mask_words(vocab_size), allowed.empty() ? -1 : 0);
  auto bit = [](int32_t token) { return static_cast<int32_t>(1u << (token % 32)); };
  for (int32_t token : allowed) mask[token / 32] |= bit(token);
  if (listed) return;
  for (int32_t token : context.banned) mask[token / 32] &= ~bit(token);
}

AdjustRow adjust_row(const SampleRow& sample,
                     const Step& step,
                     int32_t sequence,
                     int64_t vocab_size,
                     Writer& writer) {
  const SampleContext& context = sample.context;
  const SamplingParams& p = *context.params;
  const int32_t batch_row = step.logit_rows[static_cast<size_t>(sample.row)];
  AdjustRow out{.row = sample.row,
                .sequence = sequence,
                .length = step.positions[static_cast<size_t>(batch_row)] + 1,
                .prompt = static_cast<int32_t>(context.prompt.size()),
                .repetition = p.repetition_penalty,
                .frequency = p.frequency_penalty,
                .presence = p.presence_penalty};
  write_bias(p, writer, out);
  write_bad_words(p, writer, out);
  write_bans(context, vocab_size, writer, out);
  return out;
}

}  // namespace

int64_t most_adjusted(int64_t max_rows, int64_t max_sequences) {
  return std::min(max_rows, max_sequences);
}

SamplingLayout sampling_layout(const engine::StepLimits& limits, int64_t vocab_size) {
  SamplingLayout out;
  auto place = [&](int64_t bytes) {
    const int64_t offset = out.bytes;
    out.bytes += (bytes + 63) / 64 * 64;
    return offset;
  };
  constexpr auto kRowBytes = static_cast<int64_t>(sizeof(DrawRow) + sizeof(ScoreRow));
  const int64_t adjusted = most_adjusted(limits.max_rows, limits.max_sequences);
  const int64_t lists = 2 * kMostBiases + kMostBadWords * (kMostBadWordTokens + 1) + 1 +
                        kMostBanned + mask_words(vocab_size);
  out.counters = place(limits.max_rows * Greedy::kCounterBytes);
  out.scores = place(limits.max_rows * static_cast<int64_t>(sizeof(Score)));
  out.adjusted = place(adjusted * vocab_size * 4);
  out.block = place(limits.max_rows * kRowBytes +
                    adjusted * (static_cast<int64_t>(sizeof(AdjustRow)) + lists * 4));
  return out;
}

SamplingBlock pack_sampling(const Step& step, int64_t vocab_size, std::span<std::byte> memory) {
  size_t num_draws = 0, num_adjusted = 0, num_scores = 0;
  for (const SampleRow& sample : step.samples) {
    num_draws += is_drawn(sample.context);
    num_adjusted += is_adjusted(sample.context);
    num_scores += asks_logprobs(sample.context);
  }
  Writer writer({reinterpret_cast<int32_t*>(memory.data()), memory.size() / 4});
  SamplingBlock out;
  out.draws = writer.rows<DrawRow>(num_draws);
  out.adjusts = writer.rows<AdjustRow>(num_adjusted);
  out.scores = writer.rows<ScoreRow>(num_scores);
  size_t draw = 0, adjusted = 0, score = 0, sequence = 0;
  for (const SampleRow& sample : step.samples) {
    if (asks_logprobs(sample.context)) out.scores[score++] = score_row(sample);
    int32_t row = sample.row;
    if (is_adjusted(sample.context)) {
      const int32_t batch_row = step.logit_rows[static_cast<size_t>(row)];
      while (sequence + 1 < step.sequences.size() &&
             step.sequences[sequence + 1].first_token <= batch_row)
        ++sequence;
      row = -1 - static_cast<int32_t>(adjusted);
      out.adjusts[adjusted++] =
          adjust_row(sample, step, static_cast<int32_t>(sequence), vocab_size, writer);
    }
    if (is_drawn(sample.context)) out.draws[draw++] = draw_row(sample, row);
  }
  out.words = writer.used();
  return out;
}

}  // namespace tokamak::runtime
