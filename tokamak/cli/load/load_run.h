// SPDX-License-Identifier: Apache-2.0
// Plays a workload against an OpenAI server, over HTTP, and measures what clients see.
#pragma once

#include <map>

#include "tokamak/base/progress.h"
#include "tokamak/cli/load/workload.h"

namespace tokamak::cli {

struct LoadOptions {
  std::string url = "http://127.0.0.1:8000";  ///< Scheme http, host, port; a path is put before
                                              ///< /v1, with which it may end.
  std::string api_key, model;                 ///< Model empty: the first of /v1/models.
  WorkloadOptions workload;
  int64_t concurrency = 64;  ///< Requests in flight at most; with a rate, more wait at the client.
  double duration = 0;       ///< Seconds after which no request begins; 0: when all are done.
  double timeout = 600;      ///< Seconds of one request.
  int64_t vocab = 0;         ///< Prompts are token ids below this; 0: of common words.
  bool words = false;        ///< Prompts are words as text, which the server must tokenize.
  bool ignore_eos = true;  ///< Answers have their full length. An extension that vLLM and we know.
  double temperature = 0;
  std::string extra_body;  ///< A JSON object whose fields are put into every request, over ours.
  double goodput_ttft_ms = 0, goodput_tpot_ms = 0;  ///< 0: not asked.
};

/// Milliseconds.
struct Spread {
  double mean = 0, p50 = 0, p90 = 0, p95 = 0, p99 = 0, max = 0;
};
Spread spread(std::vector<float> values);

struct LoadReport {
  std::string model;
  /// What input_len counted: tokens, unless asked for words or where the server does not tell us
  /// what it makes of them.
  std::string_view prompts_of = "tokens";
  double seconds = 0;
  int64_t completed = 0, disconnected = 0, refused = 0;  ///< As it was meant; refused: malformed.
  std::map<std::string, int64_t> errors;                 ///< Of those that nobody asked for.
  int64_t prompt_tokens = 0, cached_tokens = 0, output_tokens = 0;  ///< Of completed requests.
  Spread ttft, tpot, itl, e2e;
  int64_t good = 0;  ///< Completed within the goodput's limits.
};

/// Errors: invalid (an option, a URL), io (no server there), and what /v1/models says.
Result<LoadReport> run_load(const LoadOptions& options, const base::Progress& progress);

}  // namespace tokamak::cli
