# SPDX-License-Identifier: Apache-2.0
"""Trains the byte-level BPE vocabulary and writes it in the form that `transformers` loads."""

import json
import pathlib

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

import chat

VOCAB_SIZE = 8192
CONTEXT = 1024


def train_tokenizer(texts: list[str]) -> tokenizers.Tokenizer:
    """A byte-level BPE tokenizer of VOCAB_SIZE tokens, the special ones first. It adds no token to what it encodes."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE, special_tokens=chat.SPECIAL_TOKENS, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def save_tokenizer(tokenizer: tokenizers.Tokenizer, folder: pathlib.Path):
    """Writes tokenizer.json and tokenizer_config.json with the chat template."""
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": chat.END_OF_TEXT,
        "eos_token": chat.END_OF_TEXT,
        "pad_token": chat.END_OF_TEXT,
        "additional_special_tokens": [chat.USER, chat.ASSISTANT, chat.END],
        "add_bos_token": False,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": CONTEXT,
        "chat_template": chat.TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
