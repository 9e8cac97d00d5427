// SPDX-License-Identifier: Apache-2.0
#include "tokamak/text/tokenizer_classes.h"

namespace tokamak::text {
namespace {

constexpr ClassToken kLlama[] = {
    {"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}};
constexpr ClassToken kGpt2[] = {
    {"bos_token", "<|endoftext|>"}, {"eos_token", "<|endoftext|>"}, {"unk_token", "<|endoftext|>"}};
constexpr ClassToken kGptNeoX[] = {{"bos_token", "<|endoftext|>"},
                                   {"eos_token", "<|endoftext|>"},
                                   {"unk_token", "<|endoftext|>"},
                                   {"pad_token", "<|padding|>"}};
constexpr ClassToken kQwen2[] = {
    {"eos_token", "<|endoftext|>"}, {"unk_token", "<|endoftext|>"}, {"pad_token", "<|endoftext|>"}};
constexpr ClassToken kGemma[] = {{"bos_token", "<bos>"},
                                 {"eos_token", "<eos>"},
                                 {"unk_token", "<unk>"},
                                 {"pad_token", "<pad>"},
                                 {"mask_token", "<mask>"}};
constexpr ClassToken kCohere[] = {{"bos_token", "<BOS_TOKEN>"},
                                  {"eos_token", "<|END_OF_TURN_TOKEN|>"},
                                  {"unk_token", "<UNK>"},
                                  {"sep_token", "<SEP>"},
                                  {"pad_token", "<PAD>"},
                                  {"cls_token", "<CLS>"},
                                  {"mask_token", "<MASK_TOKEN>"}};

struct Class {
  std::string_view name;
  std::span<const ClassToken> tokens;
};

constexpr Class kClasses[] = {
    {"LlamaTokenizer", kLlama},
    {"CodeLlamaTokenizer", kLlama},
    {"BaichuanTokenizer", kLlama},
    {"GPT2Tokenizer", kGpt2},
    {"GPTNeoXTokenizer", kGptNeoX},
    {"Qwen2Tokenizer", kQwen2},
    {"GemmaTokenizer", kGemma},
    {"CohereTokenizer", kCohere},
};

}  // namespace

std::span<const ClassToken> class_tokens(std::string_view tokenizer_class) {
  for (const Class& candidate : kClasses) {
    if (candidate.name == tokenizer_class) return candidate.tokens;
  }
  return {};
}

}  // namespace tokamak::text
