// SPDX-License-Identifier: Apache-2.0
// Any tokens of any tokenizer, with any stops, through all that lies between a sampled token and
// the client: Answer (incremental detokenizer, stop texts), the queue that the client reads when it
// likes, the event on the wire. What comes out joined is what the definition gives for the whole
// text at once; no piece breaks a character, holds back more than it must or shows a stop.
//
// An input is four lines: settings (a byte each, see Settings), stop texts, pieces of the tokenizer
// (both separated by '|'), and the tokens, a byte each.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "tokamak/base/json.h"
#include "tokamak/executor/outputs.h"
#include "tokamak/executor/token_stream.h"
#include "tokamak/server/sse.h"
#include "tokamak/text/unicode.h"

namespace {

using namespace tokamak;
using executor::Answer;

void require(bool condition, int line = __builtin_LINE()) {
  if (condition) return;
  std::fprintf(stderr, "line %d does not hold\n", line);
  std::abort();
}

std::vector<std::string> split(std::string_view text, char separator, size_t most) {
  std::vector<std::string> parts;
  while (parts.size() + 1 < most) {
    const size_t end = text.find(separator);
    if (end == std::string_view::npos) break;
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  parts.emplace_back(text);
  return parts;
}

struct Settings {
  explicit Settings(std::string_view bytes) {
    auto byte = [&](size_t i) -> unsigned {
      return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0;
    };
    auto flag = [&](unsigned bit) { return (byte(0) >> bit & 1) != 0; };
    include_stops = flag(0);
    skip_special = !flag(1);
    ignore_eos = flag(2);
    stop_at_token_0 = flag(3);
    rules.repair_each_byte = flag(4);
    rules.looks_ahead = flag(5);
    rules.first_until_text = flag(6);
    rules.strip = " ";
    rules.strip_left = static_cast<int>(byte(1) & 3);
    rules.strip_right = static_cast<int>(byte(1) >> 2 & 3);
    min_tokens = byte(2) & 15;
    max_tokens = 1 + byte(3);
    prompt_tokens = byte(4) & 15;
    reads = byte(5);
  }
  bool include_stops, skip_special, ignore_eos, stop_at_token_0;
  text::JoinRules rules;
  int64_t min_tokens, max_tokens;
  size_t prompt_tokens;  // Of the tokens, the first so many.
  unsigned reads;        // After token i the client reads if bit i % 8 is set.
};

/// Its first token loses a space in front, its last a space behind; single bytes are byte tokens.
class Pieces : public text::Tokenizer {
 public:
  Pieces(std::vector<std::string> pieces, text::JoinRules rules)
      : pieces_(std::move(pieces)), rules_(std::move(rules)) {}
  Result<std::vector<text::TokenId>> encode(std::string_view,
                                            const text::EncodeOptions&) const override {
    return std::vector<text::TokenId>{};
  }
  int64_t vocab_size() const override { return static_cast<int64_t>(pieces_.size()); }
  std::string_view token(text::TokenId id) const override { return pieces_[id]; }
  std::optional<text::TokenId> token_id(std::string_view) const override { return {}; }
  bool is_special(text::TokenId id) const override { return id + 1 == vocab_size(); }
  std::optional<text::TokenId> bos_id() const override { return {}; }
  std::optional<text::TokenId> eos_id() const override { return {}; }
  text::TokenPiece piece(text::TokenId id, bool first, bool last) const override {
    std::string_view bytes = pieces_[id];
    if (rules_.repair_each_byte && bytes.size() == 1) return {std::string(bytes), true};
    if (first && bytes.starts_with(' ')) bytes.remove_prefix(1);
    if (rules_.looks_ahead && last && bytes.ends_with(' ')) bytes.remove_suffix(1);
    return {std::string(bytes), false};
  }
  const text::JoinRules& join_rules() const override { return rules_; }

 private:
  std::vector<std::string> pieces_;
  text::JoinRules rules_;
};

struct Case {
  explicit Case(const std::vector<std::string>& lines) : settings(lines[0]) {
    for (std::string& stop : split(lines[1], '|', 5)) {
      if (!stop.empty() && !text::find_invalid_utf8(stop)) stops.push_back(std::move(stop));
    }
    std::vector<std::string> pieces = split(lines[2], '|', 64);
    for (std::string& piece : pieces) {
      // A vocabulary with byte tokens is text otherwise.
      const bool is_text = piece.size() == 1 || !text::find_invalid_utf8(piece);
      if (settings.rules.repair_each_byte && !is_text) piece.clear();
    }
    tokenizer = std::make_shared<Pieces>(std::move(pieces), settings.rules);
    // One id more than there are: a model may have more rows of logits than its tokenizer tokens.
    for (unsigned char byte : lines[3]) {
      tokens.push_back(static_cast<int32_t>(byte % (tokenizer->vocab_size() + 1)));
    }
    const auto begin = tokens.begin();
    const auto end =
        begin + static_cast<ptrdiff_t>(std::min(settings.prompt_tokens, tokens.size()));
    prompt.assign(begin, end);
    tokens.erase(begin, end);
    if (!settings.ignore_eos) ends.push_back(static_cast<int32_t>(tokenizer->vocab_size() - 1));
    if (settings.stop_at_token_0) ends.push_back(0);
  }
  executor::Request request() const {
    executor::Request out;
    out.prompt = prompt;
    out.skip_special_tokens = settings.skip_special;
    out.sampling.min_tokens = settings.min_tokens;
    out.sampling.max_tokens = settings.max_tokens;
    out.sampling.ignore_eos = settings.ignore_eos;
    out.sampling.include_stop_str_in_output = settings.include_stops;
    out.sampling.stop = stops;
    if (settings.stop_at_token_0) out.sampling.stop_token_ids = {0};
    return out;
  }
  Settings settings;
  std::vector<std::string> stops;
  std::shared_ptr<const Pieces> tokenizer;
  std::vector<int32_t> prompt, tokens, ends;
};

/// The answer by definition: `whole` is the text that is certain with its last token, `text` what
/// the client gets.
struct Expected {
  std::string whole, text;
  size_t num_tokens = 0;
  bool ended = false;           // By one of its tokens.
  std::optional<size_t> stop;   // The stop text that ended it.
  std::vector<size_t> certain;  // Bytes of `whole` after each token.
};

/// The stop that is complete first behind byte `begin` of the text, the longest of those that end
/// at that byte: where it ends, and which it is.
std::optional<std::pair<size_t, size_t>> first_stop(const Case& c,
                                                    std::string_view text,
                                                    size_t begin) {
  for (size_t end = begin + 1; end <= text.size(); ++end) {
    std::optional<size_t> found;
    for (size_t i = 0; i < c.stops.size(); ++i) {
      if (!text.substr(0, end).ends_with(c.stops[i])) continue;
      if (!found || c.stops[i].size() > c.stops[*found].size()) found = i;
    }
    if (found) return std::pair{end, *found};
  }
  return {};
}

Expected expect(const Case& c) {
  Expected out;
  text::Detokenizer detokenizer(*c.tokenizer, c.settings.skip_special);
  const size_t context = std::min<size_t>(c.prompt.size(), 8);
  for (int32_t id : std::span(c.prompt).last(context)) {
    if (id < c.tokenizer->vocab_size()) detokenizer.push(id);
  }
  detokenizer.finish();
  for (int32_t token : c.tokens) {
    const auto count = static_cast<int64_t>(++out.num_tokens);
    const size_t begin = out.whole.size();
    const bool stopping = count > c.settings.min_tokens &&
                          std::find(c.ends.begin(), c.ends.end(), token) != c.ends.end();
    const bool has_text = token < c.tokenizer->vocab_size();
    if (has_text && (!stopping || c.settings.include_stops)) out.whole += detokenizer.push(token);
    out.ended = stopping || count >= c.settings.max_tokens;
    if (out.ended) out.whole += detokenizer.finish();
    out.certain.push_back(out.whole.size());
    if (count >= c.settings.min_tokens) {
      if (auto stop = first_stop(c, out.whole, begin)) {
        out.ended = true;
        out.stop = stop->second;
        const size_t cut = c.settings.include_stops ? 0 : c.stops[stop->second].size();
        out.text = out.whole.substr(0, stop->first - cut);
        return out;
      }
    }
    if (out.ended) break;
  }
  out.text = out.whole;
  if (out.ended) return out;
  // Ended from outside: what was held back comes, and no stop with it.
  out.text += detokenizer.finish();
  if (static_cast<int64_t>(out.num_tokens) < c.settings.min_tokens) return out;
  if (auto stop = first_stop(c, out.text, out.whole.size())) {
    out.text.resize(stop->first - (c.settings.include_stops ? 0 : c.stops[stop->second].size()));
  }
  return out;
}

/// The longest end of `text` that begins a stop and is not all of it.
size_t beginning(const Case& c, std::string_view text) {
  size_t most = 0;
  for (const std::string& stop : c.stops) {
    for (size_t length = 1; length < stop.size() && length <= text.size(); ++length) {
      if (text.ends_with(std::string_view(stop).substr(0, length))) most = std::max(most, length);
    }
  }
  return most;
}

/// What the client has read so far.
struct Client {
  void read(executor::ResponseQueue& queue) {
    auto response = queue.take(std::chrono::nanoseconds(0));
    if (!response) return;
    require(!text::find_invalid_utf8(response->text));
    std::string event, line;
    server::append_json_string(line, response->text);
    server::append_event(event, line);
    require(event.find('\n') == event.size() - 2);
    require(Json::parse(line).get<std::string>() == response->text);
    text += response->text;
    tokens.insert(tokens.end(), response->tokens.begin(), response->tokens.end());
    require(!finished);
    finished = response->finish.has_value();
  }
  std::string text;
  std::vector<int32_t> tokens;
  bool finished = false;
};

void check_end(const Case& c, const Expected& expected, const Answer::End& end) {
  if (expected.stop) {
    require(end.reason == executor::FinishReason::kStop);
    require(end.stop_reason == executor::StopReason(c.stops[*expected.stop]));
  } else if (end.reason == executor::FinishReason::kLength) {
    require(static_cast<int64_t>(expected.num_tokens) == c.settings.max_tokens);
  } else {
    const int32_t last = c.tokens[expected.num_tokens - 1];
    const bool eos = !c.settings.ignore_eos && last + 1 == c.tokenizer->vocab_size();
    require(end.stop_reason == (eos ? executor::StopReason{} : executor::StopReason{last}));
  }
}

/// Plays the tokens as the step loop does and checks each piece; what the client got of it.
Client play(const Case& c, const Expected& expected) {
  const std::vector<int64_t> eos = {c.tokenizer->vocab_size() - 1};
  Answer answer(c.request(), c.tokenizer, eos);
  executor::ResponseQueue queue;
  Client client;
  std::string given;
  std::optional<Answer::End> end;
  std::string piece;
  for (size_t i = 0; i < expected.num_tokens; ++i) {
    require(!end);
    piece.clear();
    end = answer.push(c.tokens[i], piece);
    given += piece;
    if (!end) {
      const std::string_view certain =
          std::string_view(expected.whole).substr(0, expected.certain[i]);
      const size_t held = c.settings.include_stops ? 0 : beginning(c, certain);
      require(given == certain.substr(0, certain.size() - held));
    }
    if (!end) queue.push(0, {c.tokens[i], piece, {}});
    if (c.settings.reads >> i % 8 & 1) client.read(queue);
  }
  require(end.has_value() == expected.ended);
  if (end) check_end(c, expected, *end);
  std::string rest;
  answer.finish(rest);
  std::optional<executor::NewToken> last;
  if (end) last = {c.tokens[expected.num_tokens - 1], piece, {}};
  queue.finish(0, rest, {}, std::move(last));
  client.read(queue);
  require(client.finished);
  return client;
}

/// Where nothing is stripped and no byte is wrong, the text is the pieces one after another.
void check_plain(const Case& c, const Expected& expected) {
  const Settings& s = c.settings;
  if (s.rules.looks_ahead || s.rules.strip_left + s.rules.strip_right > 0) return;
  if (!c.prompt.empty() || !c.ends.empty()) return;
  std::string bytes;
  for (size_t i = 0; i < expected.num_tokens; ++i) {
    const int32_t id = c.tokens[i];
    if (id >= c.tokenizer->vocab_size()) continue;
    if (s.skip_special && c.tokenizer->is_special(id)) continue;
    bytes += c.tokenizer->token(id);
  }
  if (bytes.starts_with(' ')) return;
  if (!text::find_invalid_utf8(bytes)) require(expected.whole == bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto lines = split({reinterpret_cast<const char*>(data), size}, '\n', 4);
  if (lines.size() < 4 || lines[3].size() > 4096) return 0;
  const Case c(lines);
  const Expected expected = expect(c);
  const Client client = play(c, expected);
  require(client.text == expected.text);
  require(client.tokens ==
          std::vector(c.tokens.begin(),
                      c.tokens.begin() + static_cast<ptrdiff_t>(expected.num_tokens)));
  if (!c.settings.include_stops && c.settings.min_tokens == 0) {
    for (const std::string& stop : c.stops) {
      require(client.text.find(stop) == std::string::npos);
    }
  }
  check_plain(c, expected);
  return 0;
}
