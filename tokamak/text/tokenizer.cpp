// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/tokenizer.h"

#include "tokamak/base/file.h"
#include "tokamak/text/files.h"
#include "tokamak/text/pipeline.h"
#include "tokamak/text/ranked_tokens.h"
#include "tokamak/text/sentencepiece.h"
#include "tokamak/text/sentencepiece_proto.h"
#include "tokamak/text/tokenizer_config.h"
#include "tokamak/text/tokenizer_json.h"

namespace tokamak::text {

const std::string* SpecialNames::find(std::string_view name) const {
  for (const auto& [known, token] : tokens) {
    if (known == name) return &token;
  }
  return nullptr;
}

void SpecialNames::set(std::string_view name, std::string_view token) {
  for (auto& [known, text] : tokens) {
    if (known != name) continue;
    text = token;
    return;
  }
  tokens.emplace_back(name, token);
}

void SpecialNames::erase(std::string_view name) {
  std::erase_if(tokens, [&](const auto& token) { return token.first == name; });
}

const SpecialNames& Tokenizer::special_names() const {
  static const SpecialNames kNone;
  return kNone;
}

namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{512} << 20;

Result<base::MappedFile> open_file(const std::filesystem::path& path) {
  TKM_ASSIGN(base::MappedFile file, base::MappedFile::open(path));
  if (file.bytes().size() > kMaxFileBytes) {
    return base::corrupt(fmt::format(
        "{}: {} bytes, the limit is {}", path.string(), file.bytes().size(), kMaxFileBytes));
  }
  return file;
}

std::string_view as_text(const base::MappedFile& file) {
  auto bytes = file.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::shared_ptr<const Tokenizer> finish(Pipeline parts) {
  return std::make_shared<PipelineTokenizer>(std::move(parts));
}

/// Told by content: JSON with a "model" or a "config", a protobuf, or lines of base64.
Result<Pipeline> read_any(std::string_view text,
                          const std::string& file,
                          const TokenizerConfig& config) {
  size_t start = text.find_first_not_of(" \t\r\n");
  if (start != text.npos && text[start] == '{') {
    // tekken.json has no model, but tokens as bytes.
    std::string_view before_model = text.substr(0, text.find("\"model\""));
    bool is_tekken = before_model.find("\"token_bytes\"") != before_model.npos;
    if (is_tekken) return read_tekken(text, file);
    // Of the classes only this one has its way with a tokenizer.json.
    const bool overrides = config.tokenizer_class == "GPT2Tokenizer";
    return read_tokenizer_json(text, file, overrides ? config.add_prefix_space : std::nullopt);
  }
  if (looks_like_sentencepiece(text))
    return read_sentencepiece(text, file, config.legacy, config.add_prefix_space);
  return read_tiktoken(text, file);
}

Result<Pipeline> read_vocab_files(const std::filesystem::path& folder,
                                  const TokenizerConfig& config) {
  auto vocab_path = folder / kVocabJson, merges_path = folder / kMergesTxt;
  auto vocab = open_file(vocab_path);
  auto merges = open_file(merges_path);
  if (!vocab.ok() || !merges.ok()) {
    return base::not_found(
        fmt::format("{} has no tokenizer", folder.string()),
        "expected tokenizer.json, tokenizer.model, tekken.json, or vocab.json and merges.txt");
  }
  TKM_ASSIGN(Pipeline parts,
             read_vocab_and_merges(
                 as_text(*vocab), as_text(*merges), vocab_path.string(), merges_path.string()));
  const bool add_prefix_space = config.add_prefix_space.value_or(false);
  if (config.tokenizer_class.starts_with("Qwen2"))
    use_qwen2_rules(parts, add_prefix_space);
  else if (add_prefix_space)
    parts.pre_tokenizer = make_gpt2_split(add_prefix_space);
  return parts;
}

}  // namespace

Result<std::shared_ptr<const Tokenizer>> Tokenizer::load_file(const std::filesystem::path& path) {
  TKM_ASSIGN(base::MappedFile file, open_file(path));
  TKM_ASSIGN(Pipeline parts, read_any(as_text(file), path.string(), {}));
  return finish(std::move(parts));
}

Result<std::shared_ptr<const Tokenizer>> Tokenizer::load(const std::filesystem::path& folder) {
  TKM_ASSIGN(TokenizerConfig config, read_tokenizer_config(folder));
  std::filesystem::path path = tokenizer_file(folder);
  if (path.empty()) {
    TKM_ASSIGN(Pipeline parts, read_vocab_files(folder, config));
    TKM_RETURN_IF_ERROR(apply_tokens(config, parts));
    apply_bos_and_eos(config, parts);
    return finish(std::move(parts));
  }
  TKM_ASSIGN(base::MappedFile file, open_file(path));
  TKM_ASSIGN(Pipeline parts, read_any(as_text(file), path.string(), config));
  TKM_RETURN_IF_ERROR(apply_tokens(config, parts));
  if (path.filename() != kTokenizerJson) apply_bos_and_eos(config, parts);
  return finish(std::move(parts));
}

}  // namespace tokamak::text
