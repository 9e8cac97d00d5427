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
  int64_t max_under_way = 1;    ///< Steps that may be launched and not finished. With 2, the next
                                ///< one is launched while the device works; with 1, launch() works.
  /// A sequence of more tokens is a long one (op::SequenceSpan::is_long): its keys and values,
  /// those of all its positions, are others than before it grew so long, and are computed again. 0:
  /// no sequence is long.
  int64_t long_sequence_after = 0;
};

/// Row `row` of the step's logits asks for a token.
struct SampleRow {
  int32_t row = 0;
  SampleContext context;
};

/// In place of a token id: the token that the step before this one, which is under way, takes from
/// row `row` of its logits. Its sample must be one that chooses a token, given none.
constexpr int32_t unknown_token(int32_t row) {
  return -1 - row;
}
/// The row of unknown_token().
constexpr int32_t unknown_row(int32_t token_id) {
  return -1 - token_id;
}

/// One packed batch. Rows of sequences follow each other in the order of `sequences`.
struct Step {
  std::span<const int32_t> token_ids;  ///< One a row; in [0, vocab_size), or unknown_token().
  std::span<const int32_t> positions;  ///< Of each row in its sequence.
  std::span<const op::SequenceSpan> sequences;
  std::span<const int32_t> logit_rows;  ///< Batch rows whose logits are computed, ascending.
  std::span<const SampleRow> samples;   ///< `row` indexes logit_rows; ascending, each at most once.
  bool wants_logits = false;            ///< StepOutput::logits is asked for.
};

/// Sampled::token where the device could not choose or score, and the host cannot either: the row's
/// logits are gone, as the next step was launched since, or the sample's output lacks a token that
/// it reads. A step that follows goes on from a token that may be none, so that what it says of the
/// sequence is void. A step that computes the row again with all tokens known, and is finished
/// before the next is launched, chooses.
inline constexpr int32_t kUndecided = -1;

struct StepOutput {
  TensorView logits;  ///< f32 [logit_rows, vocab] in host memory, valid until the next launch();
                      ///< null where it was not asked for and lies on a device.
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

/// Steps are computed in the order of their launches, so that pages may be given to others while a
/// step that uses them is under way. Used by one thread at a time.
class Session {
 public:
  /// Waits for steps under way; their output is lost.
  virtual ~Session() = default;
  virtual const SessionInfo& info() const = 0;
  /// Starts a step. At most info().max_under_way may be under way; one with wants_logits must be
  /// finished before another is launched. Arrays of `step` are read before this returns. What
  /// samples point to lives until the step is finished, but for the prompt and output of a sample
  /// that lacks tokens (its sequence's newest one is unknown_token()): these are not read later.
  /// Errors: invalid (the step breaks a limit of info()), or those of finish(); nothing was
  /// launched.
  virtual Result<void> launch(const Step& step) = 0;
  /// Waits for the oldest step under way. Errors, of this step or of what was launched since, which
  /// then is worth nothing, too: out_of_memory, internal: the step may be tried again, also in
  /// parts, as keys and values of positions before those of the step are as they were; device: it
  /// is lost, and with it the session.
  virtual Result<StepOutput> finish() = 0;
  /// Both, with no other step under way.
  Result<StepOutput> step(const Step& step) {
    TKM_RETURN_IF_ERROR(launch(step));
    return finish();
  }
  /// What the oldest step under way is doing, for a message ("kernel 17 of 240, matmul …"); empty
  /// if that is not known. May be called by any thread while another one is in launch() or
  /// finish().
  virtual std::string describe_step() const { return {}; }
  /// Times a decode step of `batch` sequences of `context` tokens kind by kind, each kind's kernels
  /// of all layers one after the other, so that no weight is still in a cache. Ruins the cache.
  virtual Result<std::vector<KernelTime>> time_kernels(int64_t /*batch*/, int64_t /*context*/) {
    return base::unsupported("this session has no kernels");
  }
};

}  // namespace tokamak::runtime
