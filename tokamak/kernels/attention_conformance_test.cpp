// SPDX-License-Identifier: Apache-2.0
#include "tokamak/kernels/conformance_case.h"
#include "tokamak/op/attention.h"

namespace tokamak::kernels::conformance {
namespace {

constexpr DType kDTypes[] = {DType::kF32, DType::kBF16};

using Sequences = std::vector<SequenceCase>;

int64_t tokens_of(const Sequences& sequences) {
  int64_t tokens = 0;
  for (auto s : sequences) tokens += s.num_tokens;
  return tokens;
}

/// Attend reads a cache that already holds the step's tokens: the same sequences, all cached.
class AttendCase {
 public:
  AttendCase(op::AttentionSettings settings,
             DType dtype,
             DType kv_dtype,
             const Sequences& sequences)
      : settings_(settings), dtype_(dtype), kv_dtype_(kv_dtype), sequences_(sequences) {
    settings_.scale = 1.0f / std::sqrt(static_cast<float>(settings_.head_dim));
  }

  void check_attend() const {
    op::Attend attend;
    static_cast<op::AttentionSettings&>(attend) = settings_;
    Sequences cached;
    for (auto s : sequences_) cached.push_back({0, s.context + s.num_tokens});
    CacheCase cache(kv_dtype_, settings_.num_kv_heads, settings_.head_dim, cached, ++seed_);
    std::vector<op::SequenceSpan> spans(cache.sequences().begin(), cache.sequences().end());
    int32_t row = 0;
    for (size_t i = 0; i < spans.size(); ++i) {
      spans[i].first_token = row;
      spans[i].num_tokens = sequences_[i].num_tokens;
      spans[i].context = sequences_[i].context;
      row += spans[i].num_tokens;
    }
    cache.set_sequences(spans);
    run(attend, {query_type()}, cache);
  }

  void check_attention() const {
    op::Attention attention;
    static_cast<op::AttentionSettings&>(attention) = settings_;
    CacheCase cache(kv_dtype_, settings_.num_kv_heads, settings_.head_dim, sequences_, ++seed_);
    TensorType kv{dtype_, {tensor::kTokens, settings_.num_kv_heads * settings_.head_dim}};
    run(attention, {query_type(), kv, kv}, cache);
  }

 private:
  TensorType query_type() const {
    return {dtype_, {tensor::kTokens, settings_.num_heads * settings_.head_dim}};
  }
  void run(op::Op op, std::vector<TensorType> inputs, CacheCase& cache) const {
    check({.op = op,
           .inputs = std::move(inputs),
           .tokens = tokens_of(sequences_),
           .rule = Rule::kLargest,
           .f32_tolerance = 2e-5,
           .bf16_tolerance = 8e-3,
           .cache = &cache});
  }
  static inline uint32_t seed_ = 100;
  op::AttentionSettings settings_;
  DType dtype_, kv_dtype_;
  Sequences sequences_;
};

void check_both(op::AttentionSettings settings, DType dtype, const Sequences& sequences) {
  AttendCase c(settings, dtype, dtype, sequences);
  c.check_attend();
  c.check_attention();
}

TEST(AttentionConformance, DecodeAtPageBorders) {
  for (DType dtype : kDTypes) {
    for (int32_t context : {0, 1, 2, 15, 62, 63, 64, 65, 127, 128, 129, 300, 1000})
      check_both({.num_heads = 8, .num_kv_heads = 2, .head_dim = 64}, dtype, {{1, context}});
  }
}

TEST(AttentionConformance, PromptsAndChunks) {
  for (DType dtype : kDTypes) {
    for (int32_t tokens : {1, 2, 3, 7, 16, 17, 33, 64, 65, 129}) {
      for (int32_t context : {0, 1, 63, 64, 130})
        check_both({.num_heads = 4, .num_kv_heads = 2, .head_dim = 64}, dtype, {{tokens, context}});
    }
  }
}

TEST(AttentionConformance, GroupsOfOneToEightAndOddOnes) {
  for (DType dtype : kDTypes) {
    for (int64_t group : {1, 2, 3, 4, 5, 6, 7, 8, 12, 17, 71}) {
      op::AttentionSettings settings{.num_heads = 2 * group, .num_kv_heads = 2, .head_dim = 32};
      check_both(settings, dtype, {{1, 70}});
      check_both(settings, dtype, {{5, 70}});
    }
  }
}

TEST(AttentionConformance, HeadDims) {
  for (DType dtype : kDTypes) {
    for (int64_t head_dim : {8, 16, 24, 40, 64, 72, 80, 96, 112, 128, 192, 256}) {
      op::AttentionSettings settings{.num_heads = 6, .num_kv_heads = 2, .head_dim = head_dim};
      check_both(settings, dtype, {{1, 100}});
      check_both(settings, dtype, {{20, 50}});
    }
  }
}

TEST(AttentionConformance, WindowsAndSoftcaps) {
  for (DType dtype : kDTypes) {
    for (int64_t window : {1, 2, 5, 63, 64, 65, 100, 1000}) {
      for (float softcap : {0.0f, 5.0f}) {
        op::AttentionSettings settings{.num_heads = 4,
                                       .num_kv_heads = 2,
                                       .head_dim = 32,
                                       .window = window,
                                       .softcap = softcap};
        check_both(settings, dtype, {{1, 200}});
        check_both(settings, dtype, {{70, 90}});
        check_both(settings, dtype, {{1, 700}, {3, 0}});
      }
    }
  }
}

TEST(AttentionConformance, RaggedBatches) {
  for (DType dtype : kDTypes) {
    op::AttentionSettings settings{.num_heads = 8, .num_kv_heads = 4, .head_dim = 64};
    check_both(settings, dtype, {{1, 5}, {1, 64}, {1, 511}, {1, 0}, {1, 63}});
    check_both(settings, dtype, {{17, 0}, {1, 128}, {64, 64}, {3, 61}});
    check_both(settings, dtype, {{1, 2000}, {1, 3}, {1, 40}});
    check_both(settings, dtype, Sequences(33, SequenceCase{1, 31}));
    check_both(settings, dtype, {{1, 9000}, {2, 4100}});
  }
}

// Tiles of 128 and 192 packed rows, blocks of 64 and 128 tokens: borders of both, tails of pages
// that hold anything, rows of one tile that see different blocks.
TEST(AttentionConformance, PromptsOfManyTiles) {
  for (int64_t head_dim : {64, 128, 256}) {
    op::AttentionSettings settings{.num_heads = 4, .num_kv_heads = 2, .head_dim = head_dim};
    for (int32_t tokens : {18, 31, 32, 33, 63, 64, 65, 96, 97, 200, 333})
      check_both(settings, DType::kBF16, {{tokens, 0}});
    for (int32_t context : {1, 63, 64, 65, 127, 128, 129, 500})
      check_both(settings, DType::kBF16, {{150, context}});
    check_both(settings, DType::kBF16, {{2, 700}, {90, 3}, {1, 64}, {257, 0}, {1, 0}, {65, 191}});
  }
  for (int64_t group : {1, 3, 4, 7, 8, 16, 71}) {
    op::AttentionSettings settings{
        .num_heads = 2 * group, .num_kv_heads = 2, .head_dim = group == 3 ? 128 : 64};
    check_both(settings, DType::kBF16, {{130, 70}, {40, 0}});
  }
}

// Half of each tile of 128 packed rows is empty, or its halves see different pages: warpgroups pass
// over blocks that others multiply.
TEST(AttentionConformance, FewRowsOfManySequences) {
  for (int64_t head_dim : {64, 128, 256}) {
    for (int64_t window : {0, 40, 100}) {
      op::AttentionSettings settings{.num_heads = 8,
                                     .num_kv_heads = 2,
                                     .head_dim = head_dim,
                                     .window = window,
                                     .softcap = head_dim == 256 ? 50.0f : 0.0f};
      for (int32_t rows : {2, 16, 32}) {
        Sequences sequences;
        for (int32_t s = 0; s < 80; ++s) sequences.push_back({rows, 37 * s % 300});
        check_both(settings, DType::kBF16, sequences);
      }
    }
  }
}

TEST(AttentionConformance, PromptsWithWindowsAndSoftcaps) {
  for (int64_t head_dim : {64, 128, 256}) {
    for (int64_t window : {0, 1, 5, 64, 65, 100, 128, 130, 1000}) {
      for (float softcap : {0.0f, 5.0f}) {
        if (window == 0 && softcap == 0.0f) continue;
        op::AttentionSettings settings{.num_heads = 4,
                                       .num_kv_heads = 2,
                                       .head_dim = head_dim,
                                       .window = window,
                                       .softcap = softcap};
        check_both(settings, DType::kBF16, {{200, 90}, {3, 400}, {140, 0}});
      }
    }
  }
}

TEST(AttentionConformance, CacheOfAnotherType) {
  for (DType dtype : kDTypes) {
    DType other = dtype == DType::kF32 ? DType::kBF16 : DType::kF32;
    AttendCase c({.num_heads = 4, .num_kv_heads = 2, .head_dim = 64}, dtype, other, {{9, 100}});
    c.check_attend();
    c.check_attention();
  }
}

TEST(AttentionConformance, RopeAppend) {
  for (DType dtype : kDTypes) {
    for (DType kv_dtype : kDTypes) {
      for (bool qk_norm : {false, true}) {
        for (bool interleaved : {false, true}) {
          for (int64_t rotary_dim : {0, 24, 64}) {
            op::RopeAppend rope;
            rope.num_heads = 6;
            rope.num_kv_heads = 2;
            rope.head_dim = 64;
            rope.rotary_dim = rotary_dim;
            rope.interleaved = interleaved;
            rope.qk_norm = qk_norm;
            rope.unit_offset = qk_norm && interleaved;
            for (const Sequences& sequences :
                 {Sequences{{1, 63}}, Sequences{{3, 62}, {1, 0}, {70, 5}}}) {
              CacheCase cache(kv_dtype, 2, 64, sequences, 7);
              std::vector<TensorType> inputs = {{dtype, {tensor::kTokens, 10 * 64}},
                                                {DType::kI32, {tensor::kTokens}}};
              if (qk_norm) inputs.insert(inputs.end(), 2, TensorType{dtype, {64}});
              check({.op = rope,
                     .inputs = inputs,
                     .tokens = tokens_of(sequences),
                     .bf16_tolerance = 4e-3,
                     .cache = &cache,
                     .integer = [](size_t, int64_t i) { return static_cast<int32_t>(i * 131); }});
            }
          }
        }
      }
    }
  }
}

/// Decode steps from the merged projections on, and other steps by the same kernels.
void check_rope_attend(op::AttentionSettings settings,
                       op::RopeAppend rope,
                       DType dtype,
                       const Sequences& sequences) {
  settings.scale = 1.0f / std::sqrt(static_cast<float>(settings.head_dim));
  rope.num_heads = settings.num_heads;
  rope.num_kv_heads = settings.num_kv_heads;
  rope.head_dim = settings.head_dim;
  op::Attend attend;
  static_cast<op::AttentionSettings&>(attend) = settings;
  static uint32_t seed = 500;
  CacheCase cache(dtype, settings.num_kv_heads, settings.head_dim, sequences, ++seed);
  int64_t columns = (settings.num_heads + 2 * settings.num_kv_heads) * settings.head_dim;
  std::vector<TensorType> inputs = {{dtype, {tensor::kTokens, columns}},
                                    {DType::kI32, {tensor::kTokens}}};
  if (rope.qk_norm) inputs.insert(inputs.end(), 2, TensorType{dtype, {settings.head_dim}});
  check({.op = op::RopeAttend(rope, attend),
         .inputs = inputs,
         .tokens = tokens_of(sequences),
         .rule = Rule::kLargest,
         .f32_tolerance = 2e-5,
         .bf16_tolerance = 1.6e-2,  // Queries and keys are rounded.
         .cache = &cache,
         .targets = {Target::kCuda},
         .integer = [](size_t, int64_t i) { return static_cast<int32_t>(i * 131); }});
}

op::RopeAppend rotary(int64_t dim, bool qk_norm = false, bool interleaved = false) {
  op::RopeAppend rope;
  rope.rotary_dim = dim;
  rope.qk_norm = qk_norm;
  rope.interleaved = interleaved;
  rope.unit_offset = qk_norm && interleaved;
  return rope;
}

TEST(AttentionConformance, RopeAttendAtPageBorders) {
  for (DType dtype : kDTypes) {
    for (int32_t context : {0, 1, 15, 62, 63, 64, 65, 127, 128, 300, 511, 512, 1000, 2047, 5000}) {
      check_rope_attend(
          {.num_heads = 8, .num_kv_heads = 2, .head_dim = 64}, rotary(64), dtype, {{1, context}});
    }
  }
}

TEST(AttentionConformance, RopeAttendShapes) {
  for (DType dtype : kDTypes) {
    for (int64_t group : {1, 3, 4, 7, 8, 16, 17, 71}) {
      op::AttentionSettings settings{.num_heads = 2 * group, .num_kv_heads = 2, .head_dim = 32};
      check_rope_attend(settings, rotary(24, group % 2, group % 3 == 0), dtype, {{1, 70}});
    }
    for (int64_t head_dim : {16, 64, 80, 96, 128, 192, 256}) {
      op::AttentionSettings settings{.num_heads = 6, .num_kv_heads = 2, .head_dim = head_dim};
      for (bool qk_norm : {false, true})
        check_rope_attend(settings, rotary(head_dim / 2, qk_norm), dtype, {{1, 200}, {1, 3}});
      check_rope_attend(settings, rotary(0), dtype, {{1, 1500}});
    }
    for (int64_t window : {1, 5, 64, 100}) {
      op::AttentionSettings settings{.num_heads = 4,
                                     .num_kv_heads = 2,
                                     .head_dim = 32,
                                     .window = window,
                                     .softcap = window % 2 ? 5.0f : 0.0f};
      check_rope_attend(settings, rotary(32), dtype, {{1, 200}, {1, 2}, {1, 63}});
    }
  }
}

TEST(AttentionConformance, RopeAttendBatches) {
  op::AttentionSettings settings{.num_heads = 8, .num_kv_heads = 4, .head_dim = 64};
  for (DType dtype : kDTypes) {
    check_rope_attend(settings, rotary(64), dtype, {{1, 5}, {1, 64}, {1, 511}, {1, 0}, {1, 63}});
    check_rope_attend(settings, rotary(64), dtype, {{17, 0}, {1, 128}, {64, 64}, {3, 61}});
    check_rope_attend(settings, rotary(64), dtype, {{1, 2000}, {1, 3}, {1, 40}});
    check_rope_attend(settings, rotary(64), dtype, {{1, 9000}});
    check_rope_attend(settings, rotary(64), dtype, Sequences(33, SequenceCase{1, 31}));
    check_rope_attend(settings, rotary(64), dtype, Sequences(130, SequenceCase{1, 70}));
  }
}

}  // namespace
}  // namespace tokamak::kernels::conformance
