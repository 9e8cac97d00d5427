// SPDX-License-Identifier: Apache-2.0
#include "tokamak/models/harmless_keys.h"

#include <algorithm>
#include <span>

namespace tokamak::models {
namespace {

struct HarmlessKey {
  std::string_view key;
  std::string_view value = {};  ///< The only harmless one, as JSON; empty: any.
};

// Where the file comes from, which program wrote it, what it is called.
constexpr HarmlessKey kOrigin[] = {
    {"_commit_hash"},
    {"_from_model_config"},
    {"_name_or_path"},
    {"architectures"},
    {"auto_map"},
    {"base_model"},
    {"model_name"},
    {"model_type"},
    {"name_or_path"},
    {"transformers_version"},
};

// Which code another program is to run, or in what form it exports the model: the formulas are the
// same.
constexpr HarmlessKey kImplementation[] = {
    {"_attn_implementation"},
    {"_attn_implementation_autoset"},
    {"_attn_implementation_internal"},
    {"_experts_implementation"},
    {"_flash_attn_2_enabled"},
    {"attention_softmax_in_fp32"},
    {"attn_implementation"},
    {"cache_implementation"},
    {"chunk_size_feed_forward"},
    {"dtype"},
    {"gradient_checkpointing"},
    {"is_llama_config"},  // That biases and pairs of rotary elements are Llama's.
    {"output_past"},
    {"pretraining_tp"},
    {"reorder_and_upcast_attn"},
    {"scale_attention_softmax_in_fp32"},
    {"tf_legacy_loss"},
    {"torch_dtype"},
    {"torchscript"},
    {"transformers.js_config"},
    {"use_bfloat16"},
    {"use_cache"},
    {"use_flash_attention"},
    {"use_flash_attn"},
};

// What only training reads.
constexpr HarmlessKey kTraining[] = {
    {"attention_dropout"},
    {"attention_probs_dropout_prob"},
    {"attn_pdrop"},
    {"dropout"},
    {"embd_pdrop"},
    {"embedding_dropout"},
    {"hidden_dropout"},
    {"hidden_dropout_prob"},
    {"init_method"},
    {"initializer_range"},
    {"layerdrop"},
    {"loss_type"},
    {"neftune_noise_alpha"},
    {"resid_pdrop"},
    {"residual_dropout"},
    {"z_loss_weight"},
};

// Heads for other tasks, and what a call returns beside the logits.
constexpr HarmlessKey kOtherTasks[] = {
    {"_num_labels"},
    {"classifier_dropout"},
    {"classifier_dropout_prob"},
    {"finetuning_task"},
    {"id2label"},
    {"is_decoder"},
    {"label2id"},
    {"num_labels"},
    {"output_attentions"},
    {"output_hidden_states"},
    {"output_scores"},
    {"problem_type"},
    {"return_dict"},
    {"return_dict_in_generate"},
    {"task_specific_params"},
    {"use_return_dict"},
};

// The tokenizer's business, read elsewhere or not at all.
constexpr HarmlessKey kTokens[] = {
    {"bos_token_id"},
    {"cls_token_id"},
    {"decoder_start_token_id"},
    {"eos_token_id"},
    {"mask_token_id"},
    {"pad_token_id"},
    {"prefix"},
    {"sep_token_id"},
    {"tokenizer_class"},
    {"unk_token_id"},
};

// Settings of generation that older programs left here. They have moved to generation_config.json;
// the ones with a value would ask for something else at another one.
constexpr HarmlessKey kGeneration[] = {
    {"diversity_penalty", "0"},
    {"do_sample"},
    {"early_stopping"},
    {"encoder_no_repeat_ngram_size", "0"},
    {"encoder_repetition_penalty", "1"},
    {"epsilon_cutoff", "0"},
    {"eta_cutoff", "0"},
    {"length_penalty"},
    {"max_length"},
    {"max_new_tokens"},
    {"min_length"},
    {"no_repeat_ngram_size", "0"},
    {"num_beam_groups", "1"},
    {"num_beams"},
    {"num_return_sequences", "1"},
    {"repetition_penalty"},
    {"temperature"},
    {"top_k"},
    {"top_p"},
    {"typical_p", "1"},
};

// Lengths of training or of the tokenizer, and what limits another key that is read where it
// counts.
constexpr HarmlessKey kLengths[] = {
    {"max_seq_len"},
    {"max_seq_length"},
    {"max_sequence_length"},
    {"max_window_layers"},  // Without use_sliding_window.
    {"model_max_length"},
    {"original_max_position_embeddings"},  // Without a scaling that reads it.
    {"seq_length"},
    {"tokenizer_model_max_length"},
};

// Features that are off at this value.
constexpr HarmlessKey kOff[] = {
    {"full_attn_mod", "1"},       // Of every n-th layer attends to all.
    {"interpolate_factor", "1"},  // Positions are divided by it.
    {"is_causal", "true"},
    {"num_nextn_predict_layers", "0"},
};

constexpr std::span<const HarmlessKey> kTables[] = {
    kOrigin, kImplementation, kTraining, kOtherTasks, kTokens, kGeneration, kLengths, kOff};

}  // namespace

bool is_harmless(std::string_view key, const Json& value) {
  if (value.is_null() || value == Json(false)) return true;
  if (value.is_structured() && value.empty()) return true;
  // Marks of a trainer: its version, and that it mended the checkpoint.
  if (key.starts_with("unsloth_")) return true;
  if (key == "layer_types" && value.is_array())
    return std::ranges::all_of(value, [](const Json& type) { return type == "full_attention"; });
  for (std::span<const HarmlessKey> table : kTables) {
    auto row = std::ranges::find(table, key, &HarmlessKey::key);
    if (row != table.end()) return row->value.empty() || value == Json::parse(row->value);
  }
  return false;
}

}  // namespace tokamak::models
