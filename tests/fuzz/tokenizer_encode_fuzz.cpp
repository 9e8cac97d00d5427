// SPDX-License-Identifier: Apache-2.0
// Any text through small tokenizers: encoding never fails on valid UTF-8, refuses everything else,
// and a byte-level tokenizer gives the text back.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "tokamak/base/json.h"
#include "tokamak/text/byte_level.h"
#include "tokamak/text/scanner.h"
#include "tokamak/text/tokenizer_json.h"
#include "tokamak/text/unicode.h"

namespace {

using namespace tokamak::text;
using tokamak::Json;

void require(bool condition) {
  if (!condition) std::abort();
}

/// Byte-level BPE with a few merges, split by the pattern of a scanner.
std::unique_ptr<Tokenizer> byte_level(std::string_view pattern) {
  Json vocab = Json::object(), merges = Json::array();
  for (int b = 0; b < 256; ++b) vocab[bytes_to_alphabet(std::string(1, static_cast<char>(b)))] = b;
  for (std::string token : {"th", "the", "in", "\xe6\xbc", "  ", "    ", "aa", "aaaa"}) {
    for (size_t cut = 1; cut < token.size(); ++cut) {
      std::string left = bytes_to_alphabet(token.substr(0, cut));
      std::string right = bytes_to_alphabet(token.substr(cut));
      if (vocab.contains(left) && vocab.contains(right)) merges.push_back(left + " " + right);
    }
    size_t id = vocab.size();
    vocab[bytes_to_alphabet(token)] = id;
  }
  Json file;
  file["model"] = {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}};
  file["added_tokens"] = Json::array({{{"id", 0}, {"content", "<s>"}, {"normalized", false}},
                                      {{"id", 0}, {"content", "<sep>"}, {"normalized", true}}});
  file["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", Json::array()}};
  file["pre_tokenizer"]["pretokenizers"] = {
      {{"type", "Split"},
       {"pattern", {{"Regex", pattern}}},
       {"behavior", "Isolated"},
       {"invert", false}},
      {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}};
  file["decoder"] = {{"type", "ByteLevel"}};
  auto parts = read_tokenizer_json(file.dump(), "built-in");
  require(parts.ok());
  return std::make_unique<PipelineTokenizer>(std::move(*parts));
}

/// Characters with byte fallback and a normalizer, in the manner of Llama 2.
std::unique_ptr<Tokenizer> byte_fallback() {
  Json vocab = Json::object();
  vocab["<unk>"] = 0;
  for (int b = 0; b < 256; ++b) vocab[fmt::format("<0x{:02X}>", b)] = b + 1;
  for (std::string token : {"▁", "a", "b", "e", "h", "t", "th", "the", "▁the", "▁t"}) {
    size_t id = vocab.size();
    vocab[token] = id;
  }
  Json file;
  file["model"] = {{"type", "BPE"},
                   {"vocab", vocab},
                   {"merges", {"t h", "th e", "▁ t", "▁ the"}},
                   {"unk_token", "<unk>"},
                   {"fuse_unk", true},
                   {"byte_fallback", true}};
  file["normalizer"] = Json::parse(R"({"type": "Sequence", "normalizers": [{"type": "NFKC"},
    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]})");
  file["decoder"] = Json::parse(R"({"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
    {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 1}]})");
  auto parts = read_tokenizer_json(file.dump(), "built-in");
  require(parts.ok());
  return std::make_unique<PipelineTokenizer>(std::move(*parts));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto* byte_levels = [] {
    auto* made = new std::vector<std::unique_ptr<Tokenizer>>;
    for (const ScannerSpec& scanner : scanners()) made->push_back(byte_level(scanner.pattern));
    return made;
  }();
  static const Tokenizer* fallback = byte_fallback().release();

  std::string_view text(reinterpret_cast<const char*>(data), size);
  bool valid = !find_invalid_utf8(text);
  for (const auto& tokenizer : *byte_levels) {
    auto ids = tokenizer->encode(text);
    require(ids.ok() == valid);
    if (!valid) return 0;
    auto decoded = tokenizer->decode(*ids, false);
    require(decoded.ok() && *decoded == text);
  }
  auto ids = fallback->encode(text);
  require(ids.ok());
  require(fallback->decode(*ids).ok());
  return 0;
}
