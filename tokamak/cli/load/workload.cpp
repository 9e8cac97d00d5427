// SPDX-License-Identifier: Apache-2.0
#include "tokamak/cli/load/workload.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <sstream>

#include <fmt/ranges.h>

#include "tokamak/base/file.h"
#include "tokamak/base/json.h"

namespace tokamak::cli {
namespace {

constexpr std::array<std::string_view, 32> kWords = {
    "the",  "and",   "a",   "to",   "was",  "he",  "she",    "it",   "they", "day",  "said",
    "in",   "with",  "his", "her",  "had",  "big", "little", "play", "saw",  "very", "happy",
    "went", "there", "one", "time", "good", "so",  "up",     "not",  "all",  "you"};

Error bad_line(const std::filesystem::path& path, int64_t line, std::string_view what) {
  return base::corrupt(fmt::format("{}: line {}: {}", path.string(), line, what));
}

/// Seconds of "2023-11-16 18:17:03.9799600" since the beginning of its month.
std::optional<double> clock_seconds(const std::string& text) {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0;
  double second = 0;
  if (std::sscanf(
          text.c_str(), "%d-%d-%d %d:%d:%lf", &year, &month, &day, &hour, &minute, &second) != 6)
    return {};
  return ((day * 24.0 + hour) * 60 + minute) * 60 + second;
}

std::optional<int64_t> whole(std::string_view text) {
  int64_t value = 0;
  auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc() || end != text.data() + text.size() || value < 0) return {};
  return value;
}

Result<PlannedRequest> csv_request(const std::filesystem::path& path,
                                   int64_t line,
                                   const std::string& text) {
  size_t first = text.find(','), second = text.find(',', first + 1);
  if (second == std::string::npos) return bad_line(path, line, "not three fields");
  std::string_view rest(text);
  auto time = clock_seconds(text.substr(0, first));
  auto input = whole(rest.substr(first + 1, second - first - 1)),
       output = whole(rest.substr(second + 1));
  if (!time) return bad_line(path, line, "the first field is no time");
  if (!input || !output) return bad_line(path, line, "the lengths are no whole numbers");
  return PlannedRequest{.at = *time, .input_len = *input, .output_len = *output};
}

Result<PlannedRequest> json_request(const std::filesystem::path& path,
                                    int64_t line,
                                    const std::string& text) {
  std::string what = fmt::format("{}: line {}", path.string(), line);
  TKM_ASSIGN(Json json, base::parse_json(text, what));
  PlannedRequest out;
  TKM_ASSIGN(double milliseconds, base::get_number(json, "timestamp"));
  TKM_ASSIGN(out.input_len, base::get_int(json, "input_length"));
  TKM_ASSIGN(out.output_len, base::get_int(json, "output_length"));
  if (base::find(json, "hash_ids")) {
    TKM_ASSIGN(out.blocks, base::get_ints(json, "hash_ids"));
  }
  if (out.input_len < 0 || out.output_len < 0) return bad_line(path, line, "a negative length");
  out.at = milliseconds / 1000;
  return out;
}

Result<void> in_unit(std::string_view name, double value) {
  if (value >= 0 && value <= 1) return {};
  return base::invalid(fmt::format("{} is {}, must be between 0 and 1", name, value));
}

/// Word numbers of the prompt, each from a generator that its run of the prompt names.
template <typename Put>
void each_token(const PlannedRequest& request, int64_t shared_prefix, Put put) {
  int64_t done = 0;
  auto run = [&](uint64_t seed, int64_t length) {
    std::mt19937_64 random(seed * 0x9e3779b97f4a7c15u + 1);
    for (int64_t i = 0; i < length && done < request.input_len; ++i, ++done) put(random());
  };
  run(0, shared_prefix);
  for (int64_t block : request.blocks) run(static_cast<uint64_t>(block) + 1, kBlockTokens);
  run(~request.seed, request.input_len);
}

}  // namespace

Result<std::vector<PlannedRequest>> read_trace(const std::filesystem::path& path) {
  TKM_ASSIGN(std::string content, base::read_file(path, int64_t{1} << 30));
  std::istringstream lines(content);
  std::vector<PlannedRequest> out;
  int64_t number = 0;
  bool csv = false;
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (++number == 1 && line.starts_with("TIMESTAMP,")) {
      csv = true;
      continue;
    }
    if (line.empty()) continue;
    TKM_ASSIGN(PlannedRequest next,
               csv ? csv_request(path, number, line) : json_request(path, number, line));
    next.seed = static_cast<uint64_t>(number);
    out.push_back(std::move(next));
  }
  if (out.empty()) return base::corrupt(fmt::format("{}: no requests in it", path.string()));
  for (size_t i = out.size(); i-- > 0;) {
    out[i].at -= out.front().at;
    if (i + 1 < out.size() && out[i].at > out[i + 1].at)
      return base::corrupt(fmt::format("{}: the times of its requests go back", path.string()));
  }
  return out;
}

Result<Workload> Workload::make(const WorkloadOptions& options) {
  TKM_RETURN_IF_ERROR(in_unit("vary", options.vary));
  TKM_RETURN_IF_ERROR(in_unit("disconnect share", options.disconnect_share));
  TKM_RETURN_IF_ERROR(in_unit("malformed share", options.malformed_share));
  TKM_RETURN_IF_ERROR(in_unit("disconnect share + malformed share",
                              options.disconnect_share + options.malformed_share));
  if (options.input_len < 1 || options.output_len < 1 || options.requests < 0)
    return base::invalid(fmt::format("input_len {}, output_len {} and requests {} must be positive",
                                     options.input_len,
                                     options.output_len,
                                     options.requests));
  if (!(options.rate >= 0) || !(options.speed > 0))
    return base::invalid(
        fmt::format("rate {} and speed {} must be positive", options.rate, options.speed));
  Workload out;
  out.options_ = options;
  out.random_.seed(options.seed);
  if (!options.trace.empty()) {
    TKM_ASSIGN(out.trace_, read_trace(options.trace));
  }
  return out;
}

std::optional<PlannedRequest> Workload::next() {
  if (options_.requests && count_ == options_.requests) return {};
  if (!trace_.empty() && count_ == static_cast<int64_t>(trace_.size())) return {};
  auto unit = [&] { return std::generate_canonical<double, 53>(random_); };
  PlannedRequest out;
  if (trace_.empty()) {
    auto length = [&](int64_t longest) {
      double share = 1 - options_.vary * unit();
      return std::max<int64_t>(1, std::llround(share * static_cast<double>(longest)));
    };
    if (options_.rate > 0) clock_ += -std::log(1 - unit()) / options_.rate;
    out = {.at = clock_,
           .input_len = length(options_.input_len),
           .output_len = length(options_.output_len),
           .seed = random_()};
  } else {
    out = trace_[static_cast<size_t>(count_)];
    out.at /= options_.speed;
    if (options_.max_len) {
      out.output_len = std::min(out.output_len, options_.max_len / 2);
      out.input_len = std::min(out.input_len, options_.max_len - out.output_len);
    }
    out.input_len = std::max<int64_t>(1, out.input_len);
    out.output_len = std::max<int64_t>(1, out.output_len);
  }
  double fate = unit();
  if (fate < options_.malformed_share)
    out.fate = Fate::kMalformed;
  else if (fate < options_.malformed_share + options_.disconnect_share)
    out.fate = Fate::kDisconnected;
  ++count_;
  return out;
}

std::string all_words() {
  return fmt::format("{}", fmt::join(kWords, " "));
}

std::string prompt_words(const PlannedRequest& request, int64_t shared_prefix) {
  std::string out;
  each_token(request, shared_prefix, [&](uint64_t random) {
    if (!out.empty()) out += ' ';
    out += kWords[random % kWords.size()];
  });
  return out;
}

std::vector<int64_t> prompt_ids(const PlannedRequest& request,
                                int64_t shared_prefix,
                                int64_t vocab) {
  std::vector<int64_t> out;
  each_token(request, shared_prefix, [&](uint64_t random) {
    out.push_back(static_cast<int64_t>(random % static_cast<uint64_t>(vocab)));
  });
  return out;
}

}  // namespace tokamak::cli
