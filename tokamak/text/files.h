// SPDX-License-Identifier: Apache-2.0
// The names of the files that stand beside a checkpoint's weights and say how text goes in and out:
// tokenizer, chat templates, defaults of generation. Whoever copies or compares a checkpoint takes
// the list from here, so that a file that is read is never forgotten.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace tokamak::text {

inline constexpr std::string_view kTokenizerJson = "tokenizer.json";
inline constexpr std::string_view kVocabJson = "vocab.json", kMergesTxt = "merges.txt";
inline constexpr std::string_view kTokenizerConfig = "tokenizer_config.json";
inline constexpr std::string_view kSpecialTokensMap = "special_tokens_map.json";
inline constexpr std::string_view kAddedTokens = "added_tokens.json";
inline constexpr std::string_view kChatTemplate = "chat_template.jinja";
/// Of processors, and of tokenizers that were saved as one: {"chat_template": …}.
inline constexpr std::string_view kChatTemplateJson = "chat_template.json";
/// A folder of NAME.jinja.
inline constexpr std::string_view kMoreChatTemplates = "additional_chat_templates";
inline constexpr std::string_view kGenerationConfig = "generation_config.json";

/// The file of a folder that holds its whole vocabulary: tokenizer.json, else one of the other
/// formats; empty if it is split over vocab.json and merges.txt, or if there is none.
std::filesystem::path tokenizer_file(const std::filesystem::path& folder);
/// Whether there is a tokenizer in any form.
bool has_tokenizer(const std::filesystem::path& folder);

/// The names of NAME.jinja in the folder of more chat templates, sorted.
std::vector<std::string> more_chat_templates(const std::filesystem::path& folder);

/// All files of `folder` that this module may read and the defaults of generation, those that are
/// there, as paths within it, sorted. An engine copies them; they are part of a checkpoint's
/// identity.
std::vector<std::filesystem::path> text_files(const std::filesystem::path& folder);

}  // namespace tokamak::text
