// SPDX-License-Identifier: Apache-2.0
// Speed of encoding, decoding and loading published tokenizers, on one thread. bench/peers/
// tokenizers_encode.py runs it beside Hugging Face `tokenizers` on the same text.
// TOKAMAK_TEST_DATA names the folder with the data (by default ../shared).
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include <benchmark/benchmark.h>

#include "tokamak/text/tokenizer.h"

namespace tokamak::text {
namespace {

std::filesystem::path assets() {
  const char* named = std::getenv("TOKAMAK_TEST_DATA");
  return std::filesystem::path(named && *named ? named : "../shared") / "assets";
}

/// A file below assets, unpacked if it is packed.
std::string content_of(const std::string& path) {
  std::filesystem::path plain = assets() / path;
  bool packed = !std::filesystem::exists(plain);
  std::string command =
      packed ? "xz -dc '" + plain.string() + ".xz'" : "cat '" + plain.string() + "'";
  std::string content;
  FILE* pipe = ::popen(command.c_str(), "r");
  char buffer[1 << 16];
  for (size_t got; pipe && (got = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) {
    content.append(buffer, got);
  }
  if (pipe) ::pclose(pipe);
  return content;
}

/// The path of the unpacked file.
std::filesystem::path plain_file(const std::string& path) {
  if (std::filesystem::exists(assets() / path)) return assets() / path;
  static const std::filesystem::path folder = [] {
    auto made = std::filesystem::temp_directory_path() / "tokamak_tokenizer_bench";
    std::filesystem::create_directories(made);
    return made;
  }();
  std::string flat = path;
  for (char& c : flat) {
    if (c == '/') c = '_';
  }
  std::filesystem::path file = folder / flat;
  if (!std::filesystem::exists(file)) {
    std::string content = content_of(path);
    if (FILE* out = std::fopen(file.c_str(), "wb")) {
      std::fwrite(content.data(), 1, content.size(), out);
      std::fclose(out);
    }
  }
  return file;
}

std::shared_ptr<const Tokenizer> tokenizer_of(const std::string& path) {
  static std::map<std::string, std::shared_ptr<const Tokenizer>> loaded;
  auto& tokenizer = loaded[path];
  if (!tokenizer) {
    auto result = Tokenizer::load_file(plain_file("tokenizers/" + path));
    if (result.ok()) tokenizer = *result;
  }
  return tokenizer;
}

const std::string& war_and_peace() {
  static const std::string text = content_of("corpus/war_and_peace/war-and-peace.txt");
  return text;
}

void set_rate(benchmark::State& state, size_t bytes) {
  state.counters["MB/s"] = benchmark::Counter(static_cast<double>(bytes) / 1e6,
                                              benchmark::Counter::kIsIterationInvariantRate);
}

void encode(benchmark::State& state, const std::string& path) {
  auto tokenizer = tokenizer_of(path);
  const std::string& text = war_and_peace();
  if (!tokenizer || text.empty()) return state.SkipWithError("no test data");
  for (auto _ : state) {
    auto ids = tokenizer->encode(text);
    benchmark::DoNotOptimize(ids);
  }
  set_rate(state, text.size());
}

void decode(benchmark::State& state, const std::string& path) {
  auto tokenizer = tokenizer_of(path);
  const std::string& text = war_and_peace();
  if (!tokenizer || text.empty()) return state.SkipWithError("no test data");
  auto ids = tokenizer->encode(text);
  for (auto _ : state) {
    auto decoded = tokenizer->decode(*ids);
    benchmark::DoNotOptimize(decoded);
  }
  set_rate(state, text.size());
}

void load(benchmark::State& state, const std::string& path) {
  auto file = plain_file("tokenizers/" + path);
  if (!std::filesystem::exists(file)) return state.SkipWithError("no test data");
  for (auto _ : state) {
    auto tokenizer = Tokenizer::load_file(file);
    benchmark::DoNotOptimize(tokenizer);
  }
}

/// One word of 1 MB, which no pre-tokenizer cuts.
void encode_long_word(benchmark::State& state, const std::string& path) {
  auto tokenizer = tokenizer_of(path);
  if (!tokenizer) return state.SkipWithError("no test data");
  std::string word;
  for (char c : war_and_peace()) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) word += c;
    if (word.size() == 1'000'000) break;
  }
  for (auto _ : state) {
    auto ids = tokenizer->encode(word);
    benchmark::DoNotOptimize(ids);
  }
  set_rate(state, word.size());
}

constexpr const char* kTokenizers[] = {"llama3/tokenizer.json",
                                       "llama3.2/tokenizer.json",
                                       "qwen3/tokenizer.json",
                                       "deepseek-r1/tokenizer.json",
                                       "falcon/tokenizer.json",
                                       "llama2/tokenizer.json",
                                       "llama2/tokenizer.model",
                                       "mistral-tekken/tekken.json",
                                       "tiktoken/o200k_base.tiktoken",
                                       "kimi-k2/tiktoken.model"};

[[maybe_unused]] const bool kRegistered = [] {
  for (std::string path : kTokenizers) {
    benchmark::RegisterBenchmark(("encode/" + path).c_str(), encode, path)
        ->Unit(benchmark::kMillisecond);
  }
  for (std::string path : kTokenizers) {
    benchmark::RegisterBenchmark(("decode/" + path).c_str(), decode, path)
        ->Unit(benchmark::kMillisecond);
  }
  for (std::string path : kTokenizers) {
    benchmark::RegisterBenchmark(("load/" + path).c_str(), load, path)
        ->Unit(benchmark::kMillisecond);
  }
  for (std::string path : {"llama3/tokenizer.json", "llama2/tokenizer.json"}) {
    benchmark::RegisterBenchmark(("encode_long_word/" + path).c_str(), encode_long_word, path)
        ->Unit(benchmark::kMillisecond);
  }
  return true;
}();

}  // namespace
}  // namespace tokamak::text
