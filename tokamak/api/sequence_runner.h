// SPDX-License-Identifier: Apache-2.0
// Runs sequences on a session in lock step, without a scheduler: for verify, eval and latency
// benchmarks.
#pragma once

#include <functional>
#include <vector>

#include "tokamak/runtime/session.h"

namespace tokamak::api {

/// `batch` sequences that always have the same length. Pages are dealt out once.
class SequenceRunner {
 public:
  /// Errors: invalid (the session has too few pages or sequences for `batch` sequences of
  /// `max_tokens`).
  static Result<SequenceRunner> make(runtime::Session& session, int64_t batch, int64_t max_tokens);

  /// Forgets the sequences' contents.
  void reset() {
    length_ = 0;
    is_long_ = false;
    for (auto& tokens : known_) tokens.clear();
  }
  int64_t length() const { return length_; }

  /// Appends `tokens` [batch][n] (sequence after sequence), in steps that the session can take, and
  /// calls `row(sequence, index, logits)` for each new token whose logits are wanted: all of them,
  /// or the last of each sequence.
  using RowSink =
      std::function<void(int64_t sequence, int64_t index, std::span<const float> logits)>;
  Result<void> append(std::span<const int32_t> tokens, bool all_rows, const RowSink& row);
  /// Appends likewise; next[s] becomes the most probable token after sequence s, chosen where the
  /// logits lie. `next` may be `tokens`.
  Result<void> append_greedy(std::span<const int32_t> tokens, std::span<int32_t> next);
  /// `count` times append_greedy(next, next), but where the session can, a step is launched before
  /// the tokens of the one before it are known.
  Result<void> decode_greedy(int64_t count, std::span<int32_t> next);

 private:
  SequenceRunner(runtime::Session& session, int64_t batch) : session_(&session), batch_(batch) {}
  /// What becomes of the logits of a chunk.
  struct Sinks {
    bool all_rows = false;
    RowSink row;
    std::span<int32_t> next;
  };
  Result<void> append_chunks(std::span<const int32_t> tokens, const Sinks& sinks);
  /// Sees to it that the sequences may grow to `length` tokens: those that become long ones
  /// (runtime::SessionInfo::long_sequence_after) are computed anew.
  Result<void> follow_length(int64_t length);
  bool may_become_long() const { return session_->info().long_sequence_after > 0 && !is_long_; }
  Result<void> chunk(std::span<const int32_t> tokens,
                     int64_t per_sequence,
                     int64_t begin,
                     int64_t count,
                     const Sinks& sinks);
  Result<void> launch_decode(std::span<const int32_t> tokens);
  Result<void> finish_decode(std::span<int32_t> next);

  runtime::Session* session_;
  int64_t batch_;
  int64_t max_tokens_ = 0;
  int64_t length_ = 0;
  bool is_long_ = false;
  std::vector<std::vector<int32_t>> pages_;
  std::vector<std::vector<int32_t>> known_;  ///< Tokens of each sequence that may become long.
};

/// The largest logit's index, the lowest of equals.
int32_t argmax(std::span<const float> logits);

}  // namespace tokamak::api
