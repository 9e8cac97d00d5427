// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/added_tokens.h"

#include "tokamak/text/unicode.h"

namespace tokamak::text {
namespace {

bool ends_in_word(std::string_view text) {
  if (text.empty()) return false;
  return is_class(decode_utf8(text.data() + previous_utf8(text, text.size())).value, kWord);
}

bool starts_with_word(std::string_view text) {
  return !text.empty() && is_class(decode_utf8(text.data()).value, kWord);
}

size_t without_trailing_space(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    size_t last = previous_utf8(text, end);
    if (!is_class(decode_utf8(text.data() + last).value, kSpace)) break;
    end = last;
  }
  return end;
}

size_t leading_space(std::string_view text) {
  size_t size = 0;
  while (size < text.size()) {
    CodePoint c = decode_utf8(text.data() + size);
    if (!is_class(c.value, kSpace)) break;
    size += c.size;
  }
  return size;
}

}  // namespace

Result<void> AddedTokens::add(std::vector<AddedToken> tokens,
                              const Normalizer* normalizer,
                              TokenTable& names) {
  // Ids are counted as the library counts: after the vocabulary's number of tokens, or after the
  // largest added id if that is beyond.
  int64_t next = std::max<int64_t>(model_tokens_, largest_ + 1);
  for (AddedToken& token : tokens) {
    if (token.content.empty()) continue;
    auto id = names.find(token.content);
    if (!id) {
      if (next >= kMaxTokens) {
        return base::corrupt(fmt::format("added_tokens: more than {} tokens", kMaxTokens));
      }
      id = static_cast<TokenId>(next++);
      names.set(token.content, *id);
    }
    std::string form = token.content;
    if (token.normalized && normalizer) TKM_RETURN_IF_ERROR(normalizer->apply(form));
    largest_ = std::max(largest_, *id);
    entries_.insert_or_assign(*id, Entry{std::move(token), std::move(form)});
  }
  build_tries();
  return {};
}

void AddedTokens::build_tries() {
  for (bool normalized : {false, true}) {
    std::vector<ByteTrie::Entry> forms;
    for (const auto& [id, entry] : entries_) {
      if (entry.token.normalized == normalized) forms.push_back({entry.form, id});
    }
    tries_[normalized] = ByteTrie(std::move(forms));
  }
}

void AddedTokens::split(std::string_view text,
                        bool normalized,
                        bool special_as_text,
                        FunctionRef<void(Part)> emit) const {
  const ByteTrie& trie = tries_[normalized];
  size_t done = 0;  // Everything before it is emitted.
  for (size_t pos = 0; pos < text.size();) {
    if (!trie.starts(static_cast<unsigned char>(text[pos]))) {
      ++pos;
      continue;
    }
    ByteTrie::Prefix found = trie.longest_prefix(text.substr(pos));
    if (found.size == 0) {
      ++pos;
      continue;
    }
    size_t begin = pos, end = pos + found.size;
    // What is not accepted is passed over whole; matches do not overlap.
    pos = end;
    const AddedToken& token = find(found.value)->token;
    if (special_as_text && token.special) continue;
    if (token.single_word &&
        (ends_in_word(text.substr(0, begin)) || starts_with_word(text.substr(end)))) {
      continue;
    }
    if (token.lstrip) begin = std::max(without_trailing_space(text.substr(0, begin)), done);
    if (token.rstrip) end += leading_space(text.substr(end));
    // A token whose text an earlier one has swallowed is gone.
    if (begin > end) continue;
    if (done < begin) emit({text.substr(done, begin - done)});
    if (begin < end) emit({text.substr(begin, end - begin), found.value});
    done = end;
  }
  if (done < text.size()) emit({text.substr(done)});
}

}  // namespace tokamak::text
