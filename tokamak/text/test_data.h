// SPDX-License-Identifier: Apache-2.0
// Published tokenizers and their vectors, for tests. They lie outside of the repository, in the
// folder that TOKAMAK_TEST_DATA names (by default ../shared).
#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "tokamak/base/file.h"
#include "tokamak/text/tokenizer.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text::test {

inline std::filesystem::path data_folder() {
  const char* named = std::getenv("TOKAMAK_TEST_DATA");
  return named && *named ? named : "../shared";
}
inline std::filesystem::path tokenizers_folder() {
  return data_folder() / "assets" / "tokenizers";
}
inline bool has_data() {
  return std::filesystem::exists(tokenizers_folder());
}
#define TKM_SKIP_WITHOUT_DATA()                                                    \
  if (!::tokamak::text::test::has_data())                                          \
  GTEST_SKIP() << "NO TEST DATA in " << ::tokamak::text::test::tokenizers_folder() \
               << ": set TOKAMAK_TEST_DATA to the folder that has assets/tokenizers"

inline std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

/// A folder for this process that is removed when it ends.
inline const std::filesystem::path& scratch_folder() {
  struct Scratch {
    std::filesystem::path path = std::filesystem::temp_directory_path() /
                                 ("tokamak_text_test." + std::to_string(::getpid()));
    Scratch() { std::filesystem::create_directories(path); }
    ~Scratch() {
      std::error_code ignored;
      std::filesystem::remove_all(path, ignored);
    }
  };
  static Scratch scratch;
  return scratch.path;
}

/// A folder of its own for one test, gone with it.
class Folder {
 public:
  Folder() : path_(scratch_folder() / ("folder" + std::to_string(next()++))) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void write(const std::string& name, std::string_view content = "{}") const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << content;
  }

 private:
  static int& next() {
    static int number = 0;
    return number;
  }
  std::filesystem::path path_;
};

/// A file of the data, by its name without .xz; unpacked if it is packed.
inline std::filesystem::path data_file(const std::filesystem::path& path) {
  if (std::filesystem::exists(path)) return path;
  std::filesystem::path packed = path.string() + ".xz";
  if (!std::filesystem::exists(packed)) return path;
  std::string flat = path.lexically_relative(data_folder()).string();
  for (char& c : flat) {
    if (c == '/') c = '_';
  }
  std::filesystem::path plain = scratch_folder() / flat;
  if (std::filesystem::exists(plain)) return plain;
  std::string command = "xz -dc '" + packed.string() + "' > '" + plain.string() + "'";
  EXPECT_EQ(std::system(command.c_str()), 0) << command;
  return plain;
}

inline std::shared_ptr<const Tokenizer> load(const std::filesystem::path& path) {
  auto loaded = std::filesystem::is_directory(path) ? Tokenizer::load(path)
                                                    : Tokenizer::load_file(data_file(path));
  if (!loaded.ok()) {
    ADD_FAILURE() << loaded.error().text();
    return nullptr;
  }
  return *loaded;
}

/// `path` below assets/tokenizers.
inline std::shared_ptr<const Tokenizer> load_published(const std::string& path) {
  static std::map<std::string, std::shared_ptr<const Tokenizer>> loaded;
  auto& tokenizer = loaded[path];
  if (!tokenizer) tokenizer = load(tokenizers_folder() / path);
  return tokenizer;
}

inline const std::vector<std::string>& published_tokenizers() {
  static const std::vector<std::string> paths = {
      "llama3/tokenizer.json",
      "llama3.1/tokenizer.json",
      "llama3.2/tokenizer.json",
      "llama2/tokenizer.json",
      "tinyllama/tokenizer.json",
      "phi3/tokenizer.json",
      "mistral-7b-v0.3-hf/tokenizer.json",
      "qwen2/tokenizer.json",
      "qwen2.5/tokenizer.json",
      "qwen3/tokenizer.json",
      "deepseek-r1/tokenizer.json",
      "falcon/tokenizer.json",
      "olmo2/tokenizer.json",
      "gpt2",
      "llama2/tokenizer.model",
      "mistral/tokenizer.model.v1",
      "mistral/mistral_instruct_tokenizer_240216.model.v2",
      "mistral/mistral_instruct_tokenizer_240323.model.v3",
      "mistral/mistral_instruct_tokenizer_241114.model.v7",
      "baichuan2/tokenizer.model",
      "chatglm3/tokenizer.model",
      "llama3/tokenizer.model",
      "llama4/tokenizer.model",
      "qwen1/qwen.tiktoken",
      "kimi-k2/tiktoken.model",
      "tiktoken/cl100k_base.tiktoken",
      "tiktoken/o200k_base.tiktoken",
      "mistral-tekken/tekken.json",
  };
  return paths;
}

/// Random text of many scripts, spaces, digits and marks.
inline std::string random_text(std::mt19937& random, int parts) {
  static const std::vector<std::string> fragments = {" ",
                                                     "  ",
                                                     "\n",
                                                     "\r\n",
                                                     "\t",
                                                     "\u00a0",
                                                     "\u3000",
                                                     "'s",
                                                     "'LL",
                                                     "don't",
                                                     "12345",
                                                     "³²¹",
                                                     "½",
                                                     "Word",
                                                     "CAPS",
                                                     "camelCase",
                                                     "日本語",
                                                     "한국어",
                                                     "ไทย",
                                                     "हिन्दी",
                                                     "שלום",
                                                     "عربي",
                                                     "👩‍👩‍👧",
                                                     "e\u0301",
                                                     "ǅ",
                                                     "々",
                                                     "〇",
                                                     "▁",
                                                     "...",
                                                     "!?",
                                                     "/",
                                                     "\u200b",
                                                     "\u0085",
                                                     "'ſ",
                                                     "<s>",
                                                     "<|eot_id|>",
                                                     "\\n",
                                                     "_",
                                                     "\u0000x"};
  std::string text;
  auto pick = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); };
  for (int i = 0; i < parts; ++i) {
    if (pick(3) == 0) {
      append_utf8(text, static_cast<char32_t>(0x20 + pick(0x300)));
    } else {
      text += fragments[pick(fragments.size())];
    }
  }
  return text;
}

inline std::vector<TokenId> ids_of(const Tokenizer& tokenizer,
                                   std::string_view text,
                                   const EncodeOptions& options = {}) {
  auto ids = tokenizer.encode(text, options);
  EXPECT_TRUE(ids.ok()) << ids.error().text();
  return ids.ok() ? *ids : std::vector<TokenId>{};
}

}  // namespace tokamak::text::test
