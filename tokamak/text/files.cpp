// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/files.h"

#include <algorithm>

namespace tokamak::text {
namespace {

namespace fs = std::filesystem;

/// Whole vocabularies, in the order in which they are looked for; behind them any *.tiktoken.
constexpr std::string_view kWholeVocabularies[] = {
    kTokenizerJson, "tokenizer.model", "spiece.model", "tiktoken.model", "tekken.json"};
constexpr std::string_view kOthers[] = {kVocabJson,
                                        kMergesTxt,
                                        kTokenizerConfig,
                                        kSpecialTokensMap,
                                        kAddedTokens,
                                        kChatTemplate,
                                        kChatTemplateJson,
                                        kGenerationConfig};

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

/// Names in `folder` with this extension, sorted: what a folder lists first is chance.
std::vector<std::string> names_with(const fs::path& folder, std::string_view extension) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (fs::directory_iterator it(folder, ignored), end; it != end; it.increment(ignored)) {
    if (it->path().extension() == extension) names.push_back(it->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

fs::path tokenizer_file(const fs::path& folder) {
  for (std::string_view name : kWholeVocabularies) {
    if (is_there(folder / name)) return folder / name;
  }
  auto names = names_with(folder, ".tiktoken");
  return names.empty() ? fs::path() : folder / names.front();
}

bool has_tokenizer(const fs::path& folder) {
  return !tokenizer_file(folder).empty() || is_there(folder / kVocabJson);
}

std::vector<std::string> more_chat_templates(const fs::path& folder) {
  std::vector<std::string> names = names_with(folder / kMoreChatTemplates, ".jinja");
  for (std::string& name : names) name.resize(name.size() - std::string_view(".jinja").size());
  return names;
}

std::vector<fs::path> text_files(const fs::path& folder) {
  std::vector<fs::path> files;
  auto add = [&](fs::path name) {
    if (is_there(folder / name)) files.push_back(std::move(name));
  };
  for (std::string_view name : kWholeVocabularies) add(name);
  for (std::string_view name : kOthers) add(name);
  for (const std::string& name : names_with(folder, ".tiktoken")) add(name);
  for (const std::string& name : more_chat_templates(folder))
    add(fs::path(kMoreChatTemplates) / (name + ".jinja"));
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace tokamak::text
