// SPDX-License-Identifier: Apache-2.0
// sample(): no row is sorted. What may be kept is first narrowed by a bound that one vector pass
// gives, then cut exactly; the draw walks what is left in the order of ids.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "tokamak/kernels/cuda/sample/adjusted_logit.cuh"
#include "tokamak/runtime/philox.h"
#include "tokamak/runtime/sampler_scan.h"
#include "tokamak/runtime/sampling.h"

namespace tokamak::runtime {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();

/// Memory for one call: parts of the caller's scratch, and ids.
struct Scratch {
  std::span<float> logits, weights, order;
  std::vector<int32_t>& ids;

  Scratch(std::vector<float>& memory, size_t vocab) : ids(thread_ids()) {
    if (memory.size() < 3 * vocab) memory.resize(3 * vocab);
    if (ids.size() < vocab + kScanPadding) ids.resize(vocab + kScanPadding);
    const std::span all(memory);
    logits = all.subspan(0, vocab);
    weights = all.subspan(vocab, vocab);
    order = all.subspan(2 * vocab, vocab);
  }
  static std::vector<int32_t>& thread_ids() {
    static thread_local std::vector<int32_t> ids;
    return ids;
  }
};

bool has_penalties(const SamplingParams& params) {
  return params.repetition_penalty != 1 || params.presence_penalty != 0 ||
         params.frequency_penalty != 0;
}

/// `before` are the logits without penalties, `counts` is memory for as many.
void add_penalties(const SampleContext& context,
                   std::span<const float> before,
                   std::span<float> counts,
                   std::span<float> adjusted) {
  const SamplingParams& params = *context.params;
  if (params.repetition_penalty != 1) {
    for (std::span<const int32_t> tokens : {context.prompt, context.output}) {
      for (int32_t token : tokens) {
        // From the logit without penalty, so that a token that was seen twice is penalised once.
        const float logit = before[token];
        adjusted[token] = tkm::repeated_logit(logit, params.repetition_penalty);
      }
    }
  }
  if (params.presence_penalty == 0 && params.frequency_penalty == 0) return;
  for (int32_t token : context.output) counts[token] = 0;
  for (int32_t token : context.output) counts[token] += 1;
  for (int32_t token : context.output) {
    const float count = std::exchange(counts[token], 0.0f);
    if (count == 0) continue;
    adjusted[token] = tkm::occurred_logit(
        adjusted[token], count, params.frequency_penalty, params.presence_penalty);
  }
}

/// Bans the tokens that would complete a bad word, then all that are not allowed. `copy` is memory.
void ban(const SampleContext& context, std::span<float> copy, std::span<float> adjusted) {
  for (int32_t token : context.banned) adjusted[token] = kLowest;
  for (const std::vector<int32_t>& word : context.params->bad_words) {
    const auto beginning = std::span(word).first(word.size() - 1);
    if (beginning.size() > context.output.size()) continue;
    const auto said = context.output.last(beginning.size());
    if (std::equal(beginning.begin(), beginning.end(), said.begin())) {
      adjusted[word.back()] = kLowest;
    }
  }
  if (context.params->allowed_token_ids.empty()) return;
  std::copy(adjusted.begin(), adjusted.end(), copy.begin());
  std::fill(adjusted.begin(), adjusted.end(), kLowest);
  for (int32_t token : context.params->allowed_token_ids) adjusted[token] = copy[token];
}

/// The logits that the token is chosen by: `logits` itself if the settings change none.
std::span<const float> adjust(std::span<const float> logits,
                              const SampleContext& context,
                              Scratch& scratch) {
  if (!changes_logits(context)) return logits;
  const SamplingParams& params = *context.params;
  std::span<float> adjusted = scratch.logits;
  std::copy(logits.begin(), logits.end(), adjusted.begin());
  for (const LogitBias& entry : params.logit_bias) adjusted[entry.token] += entry.bias;
  if (has_penalties(params)) {
    std::span<const float> before = logits;
    if (!params.logit_bias.empty()) {
      std::copy(adjusted.begin(), adjusted.end(), scratch.weights.begin());
      before = scratch.weights;
    }
    add_penalties(context, before, scratch.order, adjusted);
  }
  ban(context, scratch.order, adjusted);
  return adjusted;
}

/// The ids of the k largest values and of all that tie with the k-th, ascending; never of -inf.
std::span<int32_t> best_ids(std::span<const float> values, int64_t k, Scratch& scratch) {
  const int64_t vocab = static_cast<int64_t>(values.size());
  const auto order = scratch.order.begin();
  float bound = std::numeric_limits<float>::lowest();
  // k blocks hold a value of at least the k-th largest maximum, so the k-th largest value is that
  // or more: few values remain if there are many more blocks than k.
  const int64_t block = std::clamp<int64_t>(vocab / (8 * k), 8, 128);
  const int64_t blocks = (vocab + block - 1) / block;
  if (k <= blocks) {
    scan_block_max(values, block, scratch.order.data());
    std::nth_element(order, order + (k - 1), order + blocks, std::greater<>());
    bound = std::max(bound, order[k - 1]);
  }
  const int64_t count = scan_at_least(values, bound, scratch.ids.data());
  const std::span ids = std::span(scratch.ids).first(count);
  if (count <= k) return ids;
  for (int64_t i = 0; i < count; ++i) order[i] = values[ids[i]];
  std::nth_element(order, order + (k - 1), order + count, std::greater<>());
  const float kth = order[k - 1];
  const auto end =
      std::remove_if(ids.begin(), ids.end(), [&](int32_t id) { return values[id] < kth; });
  return ids.first(end - ids.begin());
}

/// Where top-p cuts: weights above `weight` are kept, and the first `ties` of those equal to it.
struct MassCut {
  float weight = 0;
  int64_t ties = 0;
};

/// The smallest set of heaviest weights whose sum is at least `mass`. Weights are in [0, 1];
/// `order` is memory for as many. Only the bucket of weights in which the sum passes `mass` is
/// sorted.
MassCut cut_at_mass(std::span<const float> weights, double mass, std::span<float> order) {
  // The upper bits of a float in [0, 1] number buckets of 1.6 % width in ascending order.
  constexpr int kShift = 17;
  constexpr size_t kBuckets = (std::bit_cast<uint32_t>(1.0f) >> kShift) + 1;
  auto bucket_of = [](float weight) { return std::bit_cast<uint32_t>(weight) >> kShift; };
  // Two tables, so that neighbours of one bucket do not wait for each other.
  std::array<std::array<double, kBuckets>, 2> tables{};
  for (size_t i = 0; i < weights.size(); ++i) tables[i % 2][bucket_of(weights[i])] += weights[i];
  auto mass_of = [&](size_t bucket) { return tables[0][bucket] + tables[1][bucket]; };
  double above = 0;
  size_t bucket = kBuckets - 1;
  while (bucket > 0 && above + mass_of(bucket) < mass) above += mass_of(bucket--);

  int64_t count = 0;
  for (float weight : weights) {
    order[count] = weight;  // Stays only if counted: a branch would be mispredicted.
    count += bucket_of(weight) == bucket;
  }
  std::sort(order.begin(), order.begin() + count, std::greater<>());
  MassCut cut;
  for (int64_t i = 0; i < count && (i == 0 || above < mass); ++i) {
    cut.ties = order[i] == cut.weight ? cut.ties + 1 : 1;
    cut.weight = order[i];
    above += order[i];
  }
  return cut;
}

/// Tokens that may be drawn, ids ascending, and their weights (not normalised).
struct Candidates {
  std::span<int32_t> ids;
  std::span<float> weights;
};

template <typename Keep>
void keep_if(Candidates& candidates, Keep keep) {
  size_t kept = 0;
  for (size_t i = 0; i < candidates.ids.size(); ++i) {
    const float weight = candidates.weights[i];
    candidates.ids[kept] = candidates.ids[i];
    candidates.weights[kept] = weight;
    kept += keep(weight);  // A branch would be mispredicted.
  }
  candidates = {candidates.ids.first(kept), candidates.weights.first(kept)};
}

/// Index of the first weight at which the running sum exceeds `u` of the whole, 0 <= u < 1.
size_t draw(std::span<const float> weights, double u) {
  constexpr size_t kRun = 1024;
  double left = u * scan_sum(weights);
  size_t begin = 0, last = 0;
  for (; begin + kRun < weights.size(); begin += kRun) {
    const double sum = scan_sum(weights.subspan(begin, kRun));
    if (sum > left) break;
    left -= sum;
  }
  for (size_t i = begin; i < weights.size(); ++i) {
    if (weights[i] <= 0) continue;
    if (left < weights[i]) return i;
    left -= weights[i];
    last = i;
  }
  // Rounding can leave a rest behind the last weight.
  while (weights[last] <= 0) ++last;
  return last;
}

/// All tokens that top-k, top-p and min-p may keep; `mass` becomes the sum that top-p is a part of.
Candidates narrow(std::span<const float> logits,
                  float max,
                  const SamplingParams& params,
                  Scratch& scratch,
                  double& mass) {
  const int64_t vocab = static_cast<int64_t>(logits.size());
  Candidates candidates;
  if (params.top_k > 0 && params.top_k < vocab) {
    candidates.ids = best_ids(logits, params.top_k, scratch);
    candidates.weights = scratch.weights.first(candidates.ids.size());
    for (size_t i = 0; i < candidates.ids.size(); ++i) {
      candidates.weights[i] = logits[candidates.ids[i]];
    }
    mass = scan_exp(candidates.weights, max, params.temperature, candidates.weights.data());
    return candidates;
  }
  mass = scan_exp(logits, max, params.temperature, scratch.weights.data());
  // All the tokens of weight <= (1 - top_p) * mass / vocab together hold no more than 1 - top_p of
  // the mass, so top-p needs none of them. Half of it leaves room for rounding.
  const double tail =
      0.5 * (1 - static_cast<double>(params.top_p)) * mass / static_cast<double>(vocab);
  const float bound = std::max(static_cast<float>(tail), params.min_p);
  const int64_t count = scan_at_least(scratch.weights, bound, scratch.ids.data());
  candidates.ids = std::span(scratch.ids).first(count);
  for (int64_t i = 0; i < count; ++i) scratch.weights[i] = scratch.weights[candidates.ids[i]];
  candidates.weights = scratch.weights.first(count);
  return candidates;
}

int32_t draw_token(std::span<const float> logits,
                   float max,
                   const SampleContext& context,
                   Scratch& scratch) {
  const SamplingParams& params = *context.params;
  const double u = philox_uniform(context.seed, static_cast<uint64_t>(context.position));
  const bool all = params.top_k <= 0 || params.top_k >= static_cast<int64_t>(logits.size());
  if (all && params.top_p >= 1 && params.min_p <= 0) {
    scan_exp(logits, max, params.temperature, scratch.weights.data());
    return static_cast<int32_t>(draw(scratch.weights, u));
  }
  double mass = 0;
  Candidates candidates = narrow(logits, max, params, scratch, mass);
  if (params.top_p < 1) {
    MassCut cut = cut_at_mass(candidates.weights, params.top_p * mass, scratch.order);
    keep_if(candidates, [&](float weight) {
      const bool ties = weight == cut.weight;
      return (weight > cut.weight) | (ties & ((cut.ties -= ties) >= 0));
    });
  }
  if (params.min_p > 0) keep_if(candidates, [&](float weight) { return weight >= params.min_p; });
  return candidates.ids[draw(candidates.weights, u)];
}

/// Log-probabilities of a row whose largest logit is `max`.
struct Logprobs {
  std::span<const float> logits;
  double norm = 0;

  Logprobs(std::span<const float> row, float max, Scratch& scratch)
      : logits(row), norm(max + std::log(scan_exp(row, max, 1.0f, scratch.weights.data()))) {}
  float of(int32_t token) const {
    return std::max(static_cast<float>(logits[token] - norm), kLeastLogprob);
  }
  void sort_best_first(std::span<int32_t> ids) const {
    std::sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) {
      return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
    });
  }
};

/// Of the token, and of the `count` best ones.
void add_logprobs(const Logprobs& logprobs, int64_t count, Scratch& scratch, Sampled& out) {
  out.logprob = logprobs.of(out.token);
  if (count <= 0) return;
  const auto vocab = static_cast<int64_t>(logprobs.logits.size());
  const auto ids = best_ids(logprobs.logits, std::min(count, vocab), scratch);
  logprobs.sort_best_first(ids);
  for (int32_t token : ids.first(std::min<size_t>(count, ids.size()))) {
    out.top_logprobs.push_back({token, logprobs.of(token)});
  }
}

/// Behind the best ones, which none of the others is better than.
void add_named(const Logprobs& logprobs, const SamplingParams& params, Sampled& out) {
  std::vector<int32_t> ids = params.logprob_token_ids;
  logprobs.sort_best_first(ids);
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  const size_t num_best = out.top_logprobs.size();
  for (int32_t token : ids) {
    const auto best = std::span(out.top_logprobs).first(num_best);
    const bool there = std::any_of(
        best.begin(), best.end(), [&](const TokenLogprob& entry) { return entry.token == token; });
    if (!there) out.top_logprobs.push_back({token, logprobs.of(token)});
  }
}

}  // namespace

bool is_greedy(const SamplingParams& params) {
  return params.temperature < 1e-5f || params.top_p == 0;
}

bool changes_logits(const SampleContext& context) {
  const SamplingParams& params = *context.params;
  return has_penalties(params) || !context.banned.empty() || !params.logit_bias.empty() ||
         !params.bad_words.empty() || !params.allowed_token_ids.empty();
}

bool reads_history(const SamplingParams& params) {
  return has_penalties(params) || std::any_of(params.bad_words.begin(),
                                              params.bad_words.end(),
                                              [](const auto& word) { return word.size() > 1; });
}

bool knows_history(const SampleContext& context) {
  return context.given >= 0 || !reads_history(*context.params) ||
         std::ssize(context.prompt) + std::ssize(context.output) == context.position;
}

bool asks_logprobs(const SampleContext& context) {
  return context.given >= 0 || context.params->asks_logprobs();
}

bool names_logprobs(const SampleContext& context) {
  return context.given < 0 && !context.params->logprob_token_ids.empty();
}

Result<Sampled> sample(std::span<const float> logits,
                       const SampleContext& context,
                       std::vector<float>& memory) {
  const float raw_max = scan_max(logits);
  if (!(raw_max < std::numeric_limits<float>::infinity())) {
    return base::internal_error(
        fmt::format("the logits for position {} have NaN or infinity", context.position));
  }
  if (raw_max == kLowest) {
    return base::internal_error(fmt::format(
        "no logit for position {} is finite, no token can be chosen", context.position));
  }
  Scratch scratch(memory, logits.size());
  const SamplingParams& params = *context.params;
  Sampled out;
  if (context.given >= 0) {
    out.token = context.given;
    add_logprobs({logits, raw_max, scratch}, params.prompt_logprobs, scratch, out);
    return out;
  }
  const std::span<const float> adjusted = adjust(logits, context, scratch);
  const float max = adjusted.data() == logits.data() ? raw_max : scan_max(adjusted);
  if (max == kLowest) {
    return base::invalid(
        fmt::format("no token may be chosen for position {}", context.position),
        "allowed_token_ids, bad_words, min_tokens and the model's own limits leave none");
  }
  out.token = is_greedy(params) ? static_cast<int32_t>(scan_first(adjusted, max))
                                : draw_token(adjusted, max, context, scratch);
  if (!params.asks_logprobs()) return out;
  const Logprobs logprobs(logits, raw_max, scratch);
  add_logprobs(logprobs, params.logprobs, scratch, out);
  add_named(logprobs, params, out);
  return out;
}

void add_named_logprobs(std::span<const float> logits,
                        const SamplingParams& params,
                        std::vector<float>& memory,
                        Sampled& sampled) {
  Scratch scratch(memory, logits.size());
  add_named({logits, scan_max(logits), scratch}, params, sampled);
}

}  // namespace tokamak::runtime
