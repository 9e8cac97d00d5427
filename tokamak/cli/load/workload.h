// SPDX-License-Identifier: Apache-2.0
// What a load asks for, request by request: how long, when, and with which fate.
#pragma once

#include <filesystem>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tokamak/base/result.h"

namespace tokamak::cli {

/// What becomes of a request by the client's will.
enum class Fate {
  kRead,          ///< To its end.
  kDisconnected,  ///< The client goes away after some events.
  kMalformed,     ///< The server must refuse it.
};

struct PlannedRequest {
  double at = 0;  ///< Seconds after the start; without a rate, 0: as soon as a slot is free.
  int64_t input_len = 0;        ///< Words or token ids of the prompt.
  int64_t output_len = 0;       ///< max_tokens
  std::vector<int64_t> blocks;  ///< Of a trace: equal numbers are equal runs of kBlockTokens.
  uint64_t seed = 0;            ///< Of the rest of its prompt, and of its fate's details.
  Fate fate = Fate::kRead;
};

inline constexpr int64_t kBlockTokens = 512;

struct WorkloadOptions {
  std::string trace;       ///< File; else the lengths below.
  double speed = 1;        ///< Of a trace's clock: 2 plays it in half the time.
  double rate = 0;         ///< Requests a second, Poisson; 0: as the concurrency allows.
  int64_t requests = 100;  ///< In all; 0: no end but the duration.
  int64_t input_len = 128, output_len = 128;  ///< Longest.
  double vary = 0;                            ///< Lengths are drawn from [len (1 - vary), len].
  int64_t shared_prefix = 0;                  ///< Tokens that all prompts begin with.
  int64_t max_len = 0;  ///< Requests of a trace are cut to this many tokens; 0: not.
  double disconnect_share = 0, malformed_share = 0;
  uint64_t seed = 1;
};

/// Requests of a trace: CSV with the header TIMESTAMP,ContextTokens,GeneratedTokens (Azure's LLM
/// inference traces) or JSON lines with timestamp in ms, input_length, output_length and hash_ids
/// (Mooncake's). Errors: corrupt, naming the file and the line.
Result<std::vector<PlannedRequest>> read_trace(const std::filesystem::path& path);

class Workload {
 public:
  /// Errors: invalid (an option out of range); those of read_trace.
  static Result<Workload> make(const WorkloadOptions& options);
  /// The next request, in the order of their times; none at the end.
  std::optional<PlannedRequest> next();
  /// Whether times are given, rather than "when a slot is free".
  bool open_loop() const { return options_.rate > 0 || !trace_.empty(); }

 private:
  WorkloadOptions options_;
  std::vector<PlannedRequest> trace_;
  int64_t count_ = 0;
  double clock_ = 0;
  std::mt19937_64 random_;
};

/// All words that prompts are made of, as one text.
std::string all_words();
/// The prompt's text: common words, one a token in most vocabularies.
std::string prompt_words(const PlannedRequest& request, int64_t shared_prefix);
/// The same as ids in [0, vocab).
std::vector<int64_t> prompt_ids(const PlannedRequest& request,
                                int64_t shared_prefix,
                                int64_t vocab);

}  // namespace tokamak::cli
