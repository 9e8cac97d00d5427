// SPDX-License-Identifier: Apache-2.0
// For tests: published traces of serving, and prompts made from them. They lie outside of the
// repository, in assets/evals/serving_traces of the folder that TOKAMAK_TEST_DATA names (by default
// ../shared).
//
// Azure LLM inference traces 2023 (Patel et al., arXiv:2311.18677): csv of time, tokens in, tokens
// out. Mooncake traces (Qin et al., arXiv:2407.00079): a JSON object a line with timestamp in ms,
// input_length, output_length and hash_ids, one for each 512 tokens of the input; an id stands for
// its tokens and all before them.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "tokamak/base/check.h"
#include "tokamak/base/json.h"
#include "tokamak/executor/kv_cache.h"

namespace tokamak::executor {

struct TraceRequest {
  double seconds = 0;  ///< After the first.
  int64_t input = 0, output = 0;
  std::vector<int64_t> blocks;  ///< Ids of each kTraceBlock tokens of the input.
};

inline constexpr int64_t kTraceBlock = 512;
inline constexpr int64_t kPagesOfBlock = kTraceBlock / op::kPageTokens;
inline constexpr int32_t kTraceVocab = 1 << 16;

inline std::filesystem::path trace_path(const std::string& name) {
  const char* named = std::getenv("TOKAMAK_TEST_DATA");
  const std::filesystem::path data = named && *named ? named : "../shared";
  return data / "assets/evals/serving_traces" / (name + ".xz");
}

inline std::string unpacked(const std::filesystem::path& path) {
  const std::string command = "xz -dc '" + path.string() + "'";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  TKM_CHECK(pipe != nullptr, "cannot run {}", command);
  std::string content;
  char part[1 << 16];
  while (const size_t size = fread(part, 1, sizeof(part), pipe.get())) content.append(part, size);
  return content;
}

/// "2023-11-16 18:17:03.9799600,4808,10"; times of one day.
inline TraceRequest azure_request(const std::string& line) {
  int hour = 0, minute = 0;
  double second = 0;
  long input = 0, output = 0;
  const int found =
      sscanf(line.c_str(), "%*s %d:%d:%lf,%ld,%ld", &hour, &minute, &second, &input, &output);
  TKM_CHECK(found == 5 && input > 0 && output > 0, "not a request: {}", line);
  return {hour * 3600 + minute * 60 + second, input, output, {}};
}

inline TraceRequest mooncake_request(const std::string& line) {
  const Json json = *base::parse_json(line, "a line of the trace");
  TraceRequest request{*base::get_number(json, "timestamp") / 1000,
                       *base::get_int(json, "input_length"),
                       *base::get_int(json, "output_length"),
                       *base::get_ints(json, "hash_ids")};
  const auto blocks = static_cast<int64_t>(request.blocks.size());
  TKM_CHECK(request.input > (blocks - 1) * kTraceBlock && request.input <= blocks * kTraceBlock,
            "{} blocks for {} tokens",
            blocks,
            request.input);
  return request;
}

/// The requests of a trace in order of time. Those of a trace that says nothing about its tokens
/// have blocks that nothing else has.
inline std::vector<TraceRequest> read_trace(const std::string& name) {
  const bool azure = name.ends_with(".csv");
  std::istringstream lines(unpacked(trace_path(name)));
  std::string line;
  if (azure) std::getline(lines, line);
  std::vector<TraceRequest> trace;
  std::map<int64_t, int64_t> before;  // The block before each block.
  int64_t next_block = 0;
  while (std::getline(lines, line)) {
    TraceRequest request = azure ? azure_request(line) : mooncake_request(line);
    if (azure) {
      for (int64_t i = 0; i < request.input; i += kTraceBlock)
        request.blocks.push_back(next_block++);
    }
    int64_t parent = -1;
    for (const int64_t block : request.blocks) {
      const int64_t known = before.emplace(block, parent).first->second;
      TKM_CHECK(known == parent, "block {} follows {} and {}", block, known, parent);
      parent = block;
    }
    trace.push_back(std::move(request));
  }
  TKM_CHECK(!trace.empty(), "{} is empty", name);
  const double first = trace[0].seconds;
  for (auto& request : trace) request.seconds -= first;
  return trace;
}

/// What is in full page `n` of a request's prompt, and before it: equal for equal prefixes only.
inline int64_t content_of(const TraceRequest& request, int64_t n) {
  return request.blocks[n / kPagesOfBlock] * kPagesOfBlock + n % kPagesOfBlock;
}
/// The pages of its prompt that a request can take from others: its last token is always computed.
inline int64_t most_shared_pages(const TraceRequest& request) {
  return (request.input - 1) / op::kPageTokens;
}

/// Every page of the prompt begins with its content's number. Tokens are below kTraceVocab - 1.
inline std::vector<int32_t> prompt_of(const TraceRequest& request) {
  constexpr int64_t kDigit = kTraceVocab - 1;
  std::vector<int32_t> prompt(request.input, 0);
  for (int64_t n = 0; n < pages_for(request.input); ++n) {
    int64_t content = content_of(request, n);
    const int64_t first = n * op::kPageTokens;
    for (int64_t i = first; i < std::min(first + 4, request.input); ++i, content /= kDigit) {
      prompt[i] = static_cast<int32_t>(content % kDigit);
    }
  }
  return prompt;
}

}  // namespace tokamak::executor
