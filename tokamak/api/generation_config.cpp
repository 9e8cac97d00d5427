// SPDX-License-Identifier: Apache-2.0
#include "tokamak/api/generation_config.h"

#include <algorithm>
#include <limits>

#include "tokamak/base/json.h"

namespace tokamak::api {
namespace {

/// Settings that answers depend on and that are not read, with the values at which they change
/// nothing. null is one of every setting.
struct Unread {
  std::string_view name;
  std::vector<Json> harmless;
};

const std::vector<Unread>& unread_settings() {
  static const std::vector<Unread> kUnread = {
      {"num_beams", {1}},
      {"typical_p", {1}},
      {"top_h", {}},
      {"epsilon_cutoff", {0}},
      {"eta_cutoff", {0}},
      {"penalty_alpha", {0}},
      {"encoder_repetition_penalty", {1}},
      {"no_repeat_ngram_size", {0}},
      {"encoder_no_repeat_ngram_size", {0}},
      {"min_length", {0}},
      {"guidance_scale", {1}},
      {"num_return_sequences", {1}},
      {"token_healing", {false}},
      {"forced_bos_token_id", {}},
      {"forced_eos_token_id", {}},
      {"forced_decoder_ids", {}},
      {"force_words_ids", {}},
      {"constraints", {}},
      {"sequence_bias", {}},
      {"exponential_decay_length_penalty", {}},
      {"watermarking_config", {}},
      {"max_time", {}},
      {"dola_layers", {}},
  };
  return kUnread;
}

/// Settings that change no answer here: of beams (num_beams is named if there are several), of
/// drafts that are checked, of caches, of what is returned, of padding.
constexpr std::string_view kWithoutEffect[] = {"_from_model_config",
                                               "transformers_version",
                                               "early_stopping",
                                               "length_penalty",
                                               "num_beam_groups",
                                               "diversity_penalty",
                                               "low_memory",
                                               "renormalize_logits",
                                               "remove_invalid_values",
                                               "use_cache",
                                               "use_mtp",
                                               "cache_implementation",
                                               "cache_config",
                                               "max_cache_len",
                                               "return_legacy_cache",
                                               "output_attentions",
                                               "output_hidden_states",
                                               "output_scores",
                                               "output_logits",
                                               "return_dict_in_generate",
                                               "pad_token_id",
                                               "bos_token_id",
                                               "decoder_start_token_id",
                                               "is_assistant",
                                               "num_assistant_tokens",
                                               "num_assistant_tokens_schedule",
                                               "assistant_confidence_threshold",
                                               "assistant_early_exit",
                                               "assistant_lookbehind",
                                               "assistant_ensemble_weight",
                                               "target_lookbehind",
                                               "speculation_type",
                                               "prompt_lookup_num_tokens",
                                               "max_matching_ngram_size",
                                               "compile_config",
                                               "disable_compile",
                                               "continuous_batching_config",
                                               "prefill_chunk_size",
                                               "generation_kwargs",
                                               // Read below, or where the model is.
                                               "eos_token_id",
                                               "do_sample",
                                               "temperature",
                                               "top_k",
                                               "top_p",
                                               "min_p",
                                               "repetition_penalty",
                                               "max_new_tokens",
                                               "max_length",
                                               "min_new_tokens",
                                               "stop_strings",
                                               "bad_words_ids",
                                               "suppress_tokens",
                                               "begin_suppress_tokens"};

std::string shown(std::string_view name, const Json& value) {
  constexpr size_t kMost = 60;
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > kMost) text = text.substr(0, kMost - 3) + "...";
  return fmt::format("{} = {}", name, text);
}

class Reader {
 public:
  Reader(const Json& config, const GenerationLimits& limits) : config_(config), limits_(limits) {}

  Result<GenerationDefaults> read() {
    TKM_RETURN_IF_ERROR(read_numbers());
    TKM_RETURN_IF_ERROR(read_lengths());
    TKM_ASSIGN(out_.eos_ids, ids("eos_token_id"));
    TKM_RETURN_IF_ERROR(read_stops());
    TKM_RETURN_IF_ERROR(read_suppressed("suppress_tokens", out_.suppressed_ids));
    TKM_RETURN_IF_ERROR(read_suppressed("begin_suppress_tokens", out_.begin_suppressed_ids));
    TKM_RETURN_IF_ERROR(read_bad_words());
    runtime::SamplingParams any_length = out_.sampling;
    any_length.max_tokens = std::numeric_limits<int64_t>::max();
    TKM_RETURN_IF_ERROR(any_length.validate(limits_.vocab_size));
    note_unread();
    return std::move(out_);
  }

 private:
  bool in_vocab(int64_t id) const { return id >= 0 && id < limits_.vocab_size; }

  Result<void> read_numbers() {
    runtime::SamplingParams& params = out_.sampling;
    auto take = [&](std::string_view key, float& to) -> Result<void> {
      TKM_ASSIGN(double value, base::get_number(config_, key, to));
      to = static_cast<float>(value);
      return {};
    };
    TKM_RETURN_IF_ERROR(take("temperature", params.temperature));
    TKM_RETURN_IF_ERROR(take("top_p", params.top_p));
    TKM_RETURN_IF_ERROR(take("min_p", params.min_p));
    TKM_RETURN_IF_ERROR(take("repetition_penalty", params.repetition_penalty));
    TKM_ASSIGN(params.top_k, base::get_int(config_, "top_k", params.top_k));
    // A request that sets a temperature samples, by the rest of what is said here.
    TKM_ASSIGN(bool samples, base::get_bool(config_, "do_sample", true));
    if (!samples) params.temperature = 0;
    return {};
  }

  Result<void> read_lengths() {
    TKM_ASSIGN(out_.sampling.min_tokens, base::get_int(config_, "min_new_tokens", 0));
    if (base::find(config_, "max_new_tokens")) {
      TKM_ASSIGN(out_.max_new_tokens, base::get_int(config_, "max_new_tokens"));
      if (*out_.max_new_tokens < 1) {
        return base::invalid(
            fmt::format("max_new_tokens is {}, must be at least 1", *out_.max_new_tokens));
      }
      return {};
    }
    // Counts the prompt; 20 stands in old files for "nothing is said".
    TKM_ASSIGN(int64_t max_length, base::get_int(config_, "max_length", 20));
    if (max_length != 20 && max_length < limits_.max_positions)
      not_honoured("max_length", *base::find(config_, "max_length"));
    return {};
  }

  /// One id or a list of ids.
  Result<std::vector<int64_t>> ids(std::string_view key) const {
    const Json* value = base::find(config_, key);
    if (!value) return std::vector<int64_t>();
    if (value->is_array()) return base::get_ints(config_, key);
    TKM_ASSIGN(int64_t id, base::get_int(config_, key));
    return std::vector<int64_t>{id};
  }

  Result<void> read_stops() {
    const Json* value = base::find(config_, "stop_strings");
    if (!value) return {};
    std::vector<std::string> stops;
    for (const Json& stop : value->is_array() ? *value : Json::array({*value})) {
      if (!stop.is_string()) return base::invalid("stop_strings must be a text or a list of texts");
      if (stop != "") stops.push_back(stop.get<std::string>());
    }
    if (!limits_.has_text && !stops.empty())
      not_honoured("stop_strings", *value);
    else
      out_.sampling.stop = std::move(stops);
    return {};
  }

  /// Ids that the model does not have cannot come up.
  Result<void> read_suppressed(std::string_view key, std::vector<int32_t>& out) {
    TKM_ASSIGN(auto all, ids(key));
    for (int64_t id : all) {
      if (in_vocab(id)) out.push_back(static_cast<int32_t>(id));
    }
    return {};
  }

  /// A word of one token is a suppressed one; of those that end answers none is bad, as in
  /// transformers.
  Result<void> read_bad_words() {
    const Json* value = base::find(config_, "bad_words_ids");
    if (!value) return {};
    auto wrong = [] { return base::invalid("bad_words_ids must be a list of lists of token ids"); };
    if (!value->is_array()) return wrong();
    std::vector<std::vector<int32_t>> words;
    for (const Json& word : *value) {
      if (!word.is_array() || word.empty()) return wrong();
      std::vector<int32_t> tokens;
      for (const Json& id : word) {
        if (!id.is_number_integer()) return wrong();
        if (in_vocab(id.get<int64_t>())) tokens.push_back(id.get<int32_t>());
      }
      const auto& ends = out_.eos_ids;
      if (tokens.size() != word.size()) continue;
      if (tokens.size() > 1)
        words.push_back(std::move(tokens));
      else if (std::find(ends.begin(), ends.end(), tokens[0]) == ends.end())
        out_.suppressed_ids.push_back(tokens[0]);
    }
    const bool too_long = std::any_of(words.begin(), words.end(), [](const auto& word) {
      return std::ssize(word) > runtime::kMostBadWordTokens;
    });
    if (too_long || std::ssize(words) > runtime::kMostBadWords)
      not_honoured("bad_words_ids", *value);
    else
      out_.sampling.bad_words = std::move(words);
    return {};
  }

  void not_honoured(std::string_view name, const Json& value) {
    out_.not_honoured.push_back(shown(name, value));
  }

  void note_unread() {
    for (const auto& [name, value] : config_.items()) {
      if (value.is_null()) continue;
      if (std::find(std::begin(kWithoutEffect), std::end(kWithoutEffect), name) !=
          std::end(kWithoutEffect))
        continue;
      const auto& unread = unread_settings();
      auto known = std::find_if(unread.begin(), unread.end(), [&name = name](const Unread& one) {
        return one.name == name;
      });
      const bool harmless =
          known != unread.end() &&
          std::find(known->harmless.begin(), known->harmless.end(), value) != known->harmless.end();
      if (!harmless) not_honoured(name, value);
    }
  }

  const Json& config_;
  const GenerationLimits& limits_;
  GenerationDefaults out_;
};

}  // namespace

Result<GenerationDefaults> read_generation_config(const Json& config,
                                                  const GenerationLimits& limits) {
  if (!config.is_object()) return base::invalid("must be an object");
  return Reader(config, limits).read();
}

}  // namespace tokamak::api
