// SPDX-License-Identifier: Apache-2.0
// A running engine, one step of a batch at a time. Which requests are in the batch is the
// executor's business.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tokamak/op/batch.h"
#include "tokamak/runtime/sampling.h"

namespace tokamak::runtime {

/// What the executor must know of a session to plan its steps.
struct SessionInfo {
  int64_t vocab_size = 0;
  int64_t max_seq_len = 0;      ///< Positions of one sequence.
  int64_t max_step_tokens = 0;  ///< Rows of one packed batch.
  int64_t max_step_rows = 0;    ///< Rows of logits of one step.
  int64_t max_sequences = 0;    ///< Sequences in one step.
  int64_t num_pages = 0;        ///< Pages of op::kPageTokens tokens in the KV pool.
};

/// Row `row` of the step's logits asks for a token.
struct SampleRow {
  int32_t row = 0;
  SampleContext context;
};

/// One packed batch. Rows of sequences follow each other in the order of `sequences`.
struct Step {
  std::span<const int32_t> token_ids;  ///< One a row; in [0, vocab_size).
  std::span<const int32_t> positions;  ///< Of each row in its sequence.
  std::span<const op::SequenceSpan> sequences;
  std::span<const int32_t> logit_rows;  ///< Batch rows whose logits are computed, ascending.
  std::span<const SampleRow> samples;   ///< `row` indexes logit_rows.
  bool wants_logits = false;            ///< StepOutput::logits is asked for.
};

struct StepOutput {
  TensorView logits;  ///< f32 [logit_rows, vocab] in host memory, valid until the next step; null
                      ///< where it was not asked for and lies on a device.
  std::vector<Result<Sampled>>
      samples;  ///< In the order of Step::samples; an error concerns that row alone.
};

/// What the kernels of one kind take of a decode step.
struct KernelTime {
  std::string op, tactic;  ///< "matmul [128256, 4096]", "matmul_cuda_ring {…}"
  int64_t count = 0;       ///< Launches of a step.
  double us = 0;           ///< All of them together.
  int64_t bytes = 0;       ///< Weights, keys and values that they must read.
};

/// Used by one thread at a time.
class Session {
 public:
  virtual ~Session() = default;
  virtual const SessionInfo& info() const = 0;
  /// Errors: invalid (the step breaks a limit of info()), out_of_memory, internal: the step may be
  /// tried again, also in parts, as keys and values of positions before those of the step are as
  /// they were; device: it is lost, and with it the session.
  virtual Result<StepOutput> step(const Step& step) = 0;
  /// Times a decode step of `batch` sequences of `context` tokens kind by kind, each kind's kernels
  /// of all layers one after the other, so that no weight is still in a cache. Ruins the cache.
  virtual Result<std::vector<KernelTime>> time_kernels(int64_t /*batch*/, int64_t /*context*/) {
    return base::unsupported("this session has no kernels");
  }
};

}  // namespace tokamak::runtime
