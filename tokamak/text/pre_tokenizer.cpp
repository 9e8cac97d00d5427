// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/pre_tokenizer.h"

#include "tokamak/text/byte_level.h"
#include "tokamak/text/regex.h"
#include "tokamak/text/split_behavior.h"
#include "tokamak/text/unicode.h"

namespace tokamak::text {
namespace {

class Sequence : public PreTokenizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<PreTokenizer>> steps) : steps_(std::move(steps)) {}
  void split(Piece piece, Emit emit, EncodeState& state) const override {
    run(0, piece, emit, state);
  }

 private:
  void run(size_t step, Piece piece, Emit emit, EncodeState& state) const {
    if (step == steps_.size()) return emit(piece);
    if (step + 1 == steps_.size()) return steps_[step]->split(piece, emit, state);
    steps_[step]->split(
        piece, [&](Piece part) { run(step + 1, part, emit, state); }, state);
  }

  std::vector<std::unique_ptr<PreTokenizer>> steps_;
};

/// Split, and the pattern of ByteLevel.
class Split : public PreTokenizer {
 public:
  Split(Scanner scanner, SplitBehavior behavior, bool invert)
      : scanner_(scanner), behavior_(behavior), invert_(invert) {}
  Split(Regex regex, SplitBehavior behavior, bool invert)
      : regex_(std::move(regex)), behavior_(behavior), invert_(invert) {}

  void split(Piece piece, Emit emit, EncodeState& state) const override {
    BehaviorSplitter splitter(piece, behavior_, emit);
    size_t gap = 0;  // Where the text that no match has taken begins.
    auto add = [&](Match match) {
      if (match.begin > gap) splitter.add(match.begin, invert_);
      splitter.add(match.end, !invert_);
      gap = match.end;
    };
    scanner_ ? scan(piece.text, add) : search(piece.text, add, state);
    if (gap < piece.text.size()) splitter.add(piece.text.size(), invert_);
    splitter.finish();
  }

 private:
  template <typename Add>
  void scan(std::string_view text, Add add) const {
    for (size_t pos = 0; pos < text.size();) {
      size_t end = scanner_(text, pos);
      if (end > pos) {
        add({pos, end});
        pos = end;
      } else {
        pos += utf8_size(text[pos]);
      }
    }
  }

  template <typename Add>
  void search(std::string_view text, Add add, EncodeState& state) const {
    std::optional<size_t> last_end;
    for (size_t pos = 0; pos <= text.size();) {
      auto found = regex_->find(text, pos);
      if (!found.ok()) return state.fail(std::move(found.error()));
      if (!found->has_value()) return;
      Match match = **found;
      // An empty match right after the last match does not count.
      if (match.begin == match.end && match.end == last_end) {
        if (pos == text.size()) return;
        pos += utf8_size(text[pos]);
        continue;
      }
      add(match);
      last_end = pos = match.end;
    }
  }

  Scanner scanner_ = nullptr;
  std::optional<Regex> regex_;
  SplitBehavior behavior_;
  bool invert_;
};

class ByteLevel : public PreTokenizer {
 public:
  ByteLevel(bool add_prefix_space, bool use_regex, bool raw_bytes)
      : add_prefix_space_(add_prefix_space), use_regex_(use_regex), raw_bytes_(raw_bytes) {}

  void split(Piece piece, Emit emit, EncodeState& state) const override {
    std::string prefixed;
    if (add_prefix_space_ && piece.text[0] != ' ') {
      prefixed = " ";
      prefixed += piece.text;
      piece.text = prefixed;
    }
    auto emit_bytes = [&](Piece part) {
      if (raw_bytes_) return emit(part);
      std::string mapped = bytes_to_alphabet(part.text);
      emit({mapped, part.at_start});
    };
    use_regex_ ? words_.split(piece, emit_bytes, state) : emit_bytes(piece);
  }

 private:
  bool add_prefix_space_, use_regex_, raw_bytes_;
  Split words_{scan_gpt2, SplitBehavior::kIsolated, false};
};

class Metaspace : public PreTokenizer {
 public:
  enum class Prepend { kFirst, kNever, kAlways };
  Metaspace(char32_t replacement, Prepend prepend, bool split)
      : replacement_(replacement), prepend_(prepend), split_(split) {
    append_utf8(replacement_text_, replacement);
  }

  void split(Piece piece, Emit emit, EncodeState&) const override {
    std::string text;
    text.reserve(piece.text.size() + piece.text.size() / 2 + replacement_text_.size());
    bool starts_with_it = piece.text[0] == ' ' || piece.text.starts_with(replacement_text_);
    bool prepends = prepend_ == Prepend::kAlways || (prepend_ == Prepend::kFirst && piece.at_start);
    if (prepends && !starts_with_it) text += replacement_text_;
    for (char c : piece.text) c == ' ' ? text += replacement_text_ : text += c;
    if (!split_) return emit({text, piece.at_start});
    split_by_character(
        {text, piece.at_start}, SplitBehavior::kMergedWithNext, emit, [this](char32_t c) {
          return c == replacement_;
        });
  }

 private:
  char32_t replacement_;
  std::string replacement_text_;
  Prepend prepend_;
  bool split_;
};

Result<std::unique_ptr<PreTokenizer>> make_split(const Component& component) {
  TKM_ASSIGN(PatternText pattern, get_pattern(component));
  TKM_ASSIGN(SplitBehavior behavior, get_behavior(component, {}));
  TKM_ASSIGN(bool invert, component.get_bool("invert"));
  if (pattern.is_regex) {
    if (const ScannerSpec* scanner = find_scanner(pattern.text)) {
      return std::unique_ptr<PreTokenizer>(
          std::make_unique<Split>(scanner->scan, behavior, invert));
    }
  }
  auto regex = pattern.is_regex ? Regex::compile(pattern.text) : Regex::literal(pattern.text);
  if (!regex.ok()) {
    return base::unsupported(fmt::format("{}: {}", component.where(), regex.error().message));
  }
  return std::unique_ptr<PreTokenizer>(
      std::make_unique<Split>(std::move(*regex), behavior, invert));
}

Result<std::unique_ptr<PreTokenizer>> make_metaspace(const Component& component) {
  TKM_ASSIGN(char32_t replacement, component.get_character("replacement"));
  TKM_ASSIGN(std::string scheme, component.get_string("prepend_scheme", "always"));
  TKM_ASSIGN(bool add_prefix_space, component.get_bool("add_prefix_space", true));
  TKM_ASSIGN(bool split, component.get_bool("split", true));
  Metaspace::Prepend prepend;
  if (scheme == "always")
    prepend = Metaspace::Prepend::kAlways;
  else if (scheme == "first")
    prepend = Metaspace::Prepend::kFirst;
  else if (scheme == "never")
    prepend = Metaspace::Prepend::kNever;
  else
    return component.corrupt("prepend_scheme", fmt::format("'{}' is unknown", scheme));
  // Files from before prepend_scheme say only whether there is a prefix space.
  if (!add_prefix_space) prepend = Metaspace::Prepend::kNever;
  return std::unique_ptr<PreTokenizer>(std::make_unique<Metaspace>(replacement, prepend, split));
}

}  // namespace

std::unique_ptr<PreTokenizer> make_scanner_split(Scanner scanner) {
  return std::make_unique<Split>(scanner, SplitBehavior::kIsolated, false);
}

std::unique_ptr<PreTokenizer> make_gpt2_split(bool add_prefix_space) {
  return std::make_unique<ByteLevel>(add_prefix_space, /*use_regex=*/true, /*raw_bytes=*/true);
}

std::unique_ptr<PreTokenizer> make_qwen2_split(bool add_prefix_space) {
  if (!add_prefix_space) return make_scanner_split(scan_qwen2);
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  steps.push_back(make_scanner_split(scan_qwen2));
  steps.push_back(std::make_unique<ByteLevel>(true, /*use_regex=*/false, /*raw_bytes=*/true));
  return std::make_unique<Sequence>(std::move(steps));
}

bool ends_in_byte_level(const Component& component) {
  if (component.type() == "ByteLevel") return true;
  if (component.type() != "Sequence") return false;
  auto steps = component.get_components("pretokenizers");
  return steps.ok() && !steps->empty() && ends_in_byte_level(steps->back());
}

Result<std::unique_ptr<PreTokenizer>> make_pre_tokenizer(const Component& component,
                                                         bool raw_bytes) {
  const std::string& type = component.type();
  if (type == "Sequence") {
    TKM_ASSIGN(auto parts, component.get_components("pretokenizers"));
    std::vector<std::unique_ptr<PreTokenizer>> steps;
    for (const Component& part : parts) {
      TKM_ASSIGN(auto step, make_pre_tokenizer(part, raw_bytes && &part == &parts.back()));
      steps.push_back(std::move(step));
    }
    return std::unique_ptr<PreTokenizer>(std::make_unique<Sequence>(std::move(steps)));
  }
  if (type == "ByteLevel") {
    TKM_ASSIGN(bool add_prefix_space, component.get_bool("add_prefix_space"));
    TKM_ASSIGN(bool use_regex, component.get_bool("use_regex", true));
    return std::unique_ptr<PreTokenizer>(
        std::make_unique<ByteLevel>(add_prefix_space, use_regex, raw_bytes));
  }
  if (type == "Metaspace") return make_metaspace(component);
  if (type == "Split") return make_split(component);
  TKM_ASSIGN(auto made, make_class_pre_tokenizer(component));
  if (!made) return component.unsupported_type("pre-tokenizer");
  return made;
}

}  // namespace tokamak::text
