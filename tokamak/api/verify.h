// SPDX-License-Identifier: Apache-2.0
// Compares an engine with reference logits of another implementation, and its weights with what it
// was built from.
#pragma once

#include <filesystem>

#include "tokamak/engine/engine.h"
#include "tokamak/runtime/session.h"

namespace tokamak::api {

/// One prompt of a golden file. `promptN.input_ids` i32 [n], `promptN.logits` f32 [n, vocab] (or
/// [vocab]: after the last token), and, if there is one, `promptN.generated` i32 [m], the greedy
/// continuation.
struct PromptCheck {
  std::string name;
  int64_t num_tokens = 0;
  double relative_error = 0;    ///< ||ours - reference|| / ||reference|| over all positions.
  int64_t worst_position = 0;   ///< Where one position's relative error is largest,
  double worst_error = 0;       ///< and how large.
  int64_t generated = 0;        ///< Tokens of the reference's continuation,
  int64_t generated_equal = 0;  ///< and how many of ours equal them before the first that differs.
  double gap_at_difference =
      0;  ///< Reference of how close a call it was: our top-2 logit gap at the first difference.
};

struct VerifyReport {
  std::vector<PromptCheck> prompts;
  double tolerance = 0;
  bool passed() const;
};

/// Largest relative error that a correct engine of this dtype may show: 1e-4 for float32, 2e-2 for
/// bfloat16.
double verify_tolerance(DType dtype);

/// Errors: not_found, corrupt (the golden file), invalid (its vocabulary is another than the
/// engine's).
Result<VerifyReport> verify(runtime::Session& session,
                            const std::filesystem::path& golden,
                            double tolerance);

struct WeightsReport {
  int64_t tensors = 0, bytes = 0;  ///< Compared.
  double seconds = 0;
  std::vector<std::string> problems;  ///< One a tensor that is not as it was, with its file.
};

/// Reads all weights of an engine and compares them with its hashes. Errors: unsupported (it has
/// none), those of open_weights().
Result<WeightsReport> verify_weights(const engine::Engine& engine,
                                     base::ThreadPool& pool,
                                     const base::Progress& progress = {});

}  // namespace tokamak::api
