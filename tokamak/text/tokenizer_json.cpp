// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/tokenizer_json.h"

#include "tokamak/text/model_json.h"
#include "tokamak/text/post_processor.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text {
namespace {

/// The members of the file, all but the model as they stand there.
struct Sections {
  std::optional<ModelSource> model;
  Json added_tokens, normalizer, pre_tokenizer, post_processor, decoder, padding;
};

Result<Sections> read_sections(std::string_view text, const std::string& file) {
  if (auto offset = find_invalid_utf8(text)) {
    return base::corrupt(fmt::format("{}: not valid UTF-8 at byte {}", file, *offset));
  }
  Sections sections;
  JsonScanner scanner(text, file);
  TKM_RETURN_IF_ERROR(scanner.object([&](std::string_view key) -> Result<void> {
    if (key == "model") {
      if (sections.model) return scanner.error("'model' appears twice");
      TKM_ASSIGN(sections.model, read_model(scanner, text, file + ": model"));
      return {};
    }
    TKM_ASSIGN(std::string_view value, scanner.skip());
    Json* section = key == "added_tokens"     ? &sections.added_tokens
                    : key == "normalizer"     ? &sections.normalizer
                    : key == "pre_tokenizer"  ? &sections.pre_tokenizer
                    : key == "post_processor" ? &sections.post_processor
                    : key == "decoder"        ? &sections.decoder
                    : key == "padding"        ? &sections.padding
                                              : nullptr;
    if (section) {
      TKM_ASSIGN(*section, base::parse_json(value, fmt::format("{}: {}", file, key)));
    }
    return {};
  }));
  TKM_RETURN_IF_ERROR(scanner.end());
  if (!sections.model) return base::corrupt(fmt::format("{}: 'model' is missing", file));
  return sections;
}

Result<std::vector<AddedToken>> read_added_tokens(const Json& list, const std::string& where) {
  std::vector<AddedToken> tokens;
  if (list.is_null()) return tokens;
  if (!list.is_array()) return base::corrupt(fmt::format("{} must be a list", where));
  for (size_t i = 0; i < list.size(); ++i) {
    TKM_ASSIGN(AddedToken token, read_added_token(list[i], fmt::format("{}[{}]", where, i)));
    tokens.push_back(std::move(token));
  }
  return tokens;
}

}  // namespace

Result<AddedToken> read_added_token(const Json& json, const std::string& where) {
  AddedToken token;
  auto read = [&]() -> Result<void> {
    TKM_ASSIGN(token.content, base::get_string(json, "content"));
    TKM_ASSIGN(token.single_word, base::get_bool(json, "single_word", false));
    TKM_ASSIGN(token.lstrip, base::get_bool(json, "lstrip", false));
    TKM_ASSIGN(token.rstrip, base::get_bool(json, "rstrip", false));
    TKM_ASSIGN(token.special, base::get_bool(json, "special", false));
    TKM_ASSIGN(token.normalized, base::get_bool(json, "normalized", !token.special));
    return {};
  };
  if (auto done = read(); !done.ok()) {
    return base::corrupt(fmt::format("{}: {}", where, done.error().message));
  }
  return token;
}

Result<Pipeline> read_tokenizer_json(std::string_view text,
                                     const std::string& file,
                                     std::optional<bool> add_prefix_space) {
  TKM_ASSIGN(Sections sections, read_sections(text, file));
  const Json* type = base::find(sections.pre_tokenizer, "type");
  if (add_prefix_space && type && *type == "ByteLevel")
    sections.pre_tokenizer["add_prefix_space"] = *add_prefix_space;
  auto in_file = [&](std::string_view field) { return fmt::format("{}: {}", file, field); };
  ModelSource& source = *sections.model;
  Pipeline parts;
  bool raw_bytes = false;
  if (!sections.pre_tokenizer.is_null()) {
    TKM_ASSIGN(Component component,
               Component::open_section(sections.pre_tokenizer, in_file("pre_tokenizer")));
    parts.byte_level = ends_in_byte_level(component);
    raw_bytes = parts.byte_level && works_on_bytes(source);
    TKM_ASSIGN(parts.pre_tokenizer, make_pre_tokenizer(component, raw_bytes));
  }
  if (!sections.normalizer.is_null()) {
    TKM_ASSIGN(Component component,
               Component::open_section(sections.normalizer, in_file("normalizer")));
    TKM_ASSIGN(parts.normalizer, make_normalizer(component));
  }
  if (!sections.post_processor.is_null()) {
    TKM_ASSIGN(Component component,
               Component::open_section(sections.post_processor, in_file("post_processor")));
    TKM_ASSIGN(PostProcessor around, make_post_processor(component));
    parts.prefix = std::move(around.prefix);
    parts.suffix = std::move(around.suffix);
  }
  if (!sections.decoder.is_null()) {
    TKM_ASSIGN(Component component, Component::open_section(sections.decoder, in_file("decoder")));
    parts.byte_level |= component.type() == "ByteLevel";
    TKM_ASSIGN(parts.decoder, Decoder::make(component));
  }
  if (const Json* pad = base::find(sections.padding, "pad_token"); pad && pad->is_string())
    parts.special_names.set("pad_token", pad->get_ref<const std::string&>());
  TKM_ASSIGN(parts.model, make_model(source, raw_bytes, in_file("model")));
  parts.names = std::move(source.tokens);
  parts.added = AddedTokens(parts.names.count());
  TKM_ASSIGN(auto added, read_added_tokens(sections.added_tokens, in_file("added_tokens")));
  TKM_RETURN_IF_ERROR(parts.added.add(std::move(added), parts.normalizer.get(), parts.names));
  return parts;
}

namespace {

Result<void> read_merge_lines(std::string_view text, const std::string& file, ModelSource& source) {
  if (auto offset = find_invalid_utf8(text)) {
    return base::corrupt(fmt::format("{}: not valid UTF-8 at byte {}", file, *offset));
  }
  for (size_t line = 1; !text.empty(); ++line) {
    std::string_view row = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), row.size() + 1));
    if (row.ends_with('\r')) row.remove_suffix(1);
    if (row.empty() || row.starts_with("#version")) continue;
    size_t space = row.find(' ');
    if (space == row.npos || row.find(' ', space + 1) != row.npos) {
      return base::corrupt(fmt::format("{}: line {}: expected two tokens", file, line));
    }
    source.merges.emplace_back(row.substr(0, space), row.substr(space + 1));
  }
  return {};
}

}  // namespace

Result<Pipeline> read_vocab_and_merges(std::string_view vocab,
                                       std::string_view merges,
                                       const std::string& vocab_file,
                                       const std::string& merges_file) {
  if (auto offset = find_invalid_utf8(vocab)) {
    return base::corrupt(fmt::format("{}: not valid UTF-8 at byte {}", vocab_file, *offset));
  }
  ModelSource source;
  source.type = "BPE";
  JsonScanner scanner(vocab, vocab_file);
  TKM_RETURN_IF_ERROR(read_vocab(scanner, source.tokens));
  TKM_RETURN_IF_ERROR(scanner.end());
  TKM_RETURN_IF_ERROR(read_merge_lines(merges, merges_file, source));
  if (!works_on_bytes(source)) {
    return base::unsupported(fmt::format("{}: not a byte-level vocabulary", vocab_file),
                             "use the checkpoint's tokenizer.json");
  }
  Pipeline parts;
  TKM_ASSIGN(parts.model, make_model(source, true, merges_file));
  parts.pre_tokenizer = make_gpt2_split(/*add_prefix_space=*/false);
  parts.decoder = Decoder::byte_level();
  parts.names = std::move(source.tokens);
  parts.added = AddedTokens(parts.names.count());
  // The one token that all of these vocabularies have beside their merges.
  if (parts.names.find("<|endoftext|>")) {
    TKM_RETURN_IF_ERROR(
        parts.added.add({{.content = "<|endoftext|>", .normalized = false, .special = true}},
                        nullptr,
                        parts.names));
    parts.eos = parts.names.find("<|endoftext|>");
  }
  return parts;
}

void use_qwen2_rules(Pipeline& parts, bool add_prefix_space) {
  parts.pre_tokenizer = make_qwen2_split(add_prefix_space);
  parts.normalizer = make_nfc();
}

}  // namespace tokamak::text
