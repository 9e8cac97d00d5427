#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a GGUF with random weights from a Llama config.json, for measuring llama.cpp on the shapes that we measure.

    python3 -m venv .venv && .venv/bin/pip install gguf numpy
    .venv/bin/python bench/peers/make_gguf.py CONFIG_JSON OUT.gguf --dtype bf16

Norm weights are 1 and stay f32, as llama.cpp's own converter has it; there is no vocabulary ("none").
"""

import argparse
import json
import pathlib

import gguf
import numpy as np

DTYPES = {
    "bf16": (gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
}


def tensor_shapes(config):
    """`{name: shape}` as llama.cpp names a Llama's tensors."""
    hidden, mlp, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or hidden // heads
    kv_rows = config.get("num_key_value_heads", heads) * head_dim
    shapes = {"token_embd.weight": (vocab, hidden), "output_norm.weight": (hidden,), "output.weight": (vocab, hidden)}
    for layer in range(config["num_hidden_layers"]):
        block = f"blk.{layer}."
        shapes |= {
            block + "attn_norm.weight": (hidden,),
            block + "attn_q.weight": (heads * head_dim, hidden),
            block + "attn_k.weight": (kv_rows, hidden),
            block + "attn_v.weight": (kv_rows, hidden),
            block + "attn_output.weight": (hidden, heads * head_dim),
            block + "ffn_norm.weight": (hidden,),
            block + "ffn_gate.weight": (mlp, hidden),
            block + "ffn_up.weight": (mlp, hidden),
            block + "ffn_down.weight": (hidden, mlp),
        }
    return shapes


class Weights:
    """One run of random values, which all matrices repeat: of several GB, drawing each value would take minutes."""

    COUNT = 1 << 24

    def __init__(self, dtype):
        self.kind = DTYPES[dtype][0]
        values = np.random.default_rng(0).standard_normal(self.COUNT, np.float32) * np.float32(0.02)
        self.encoded = gguf.quants.quantize(values, self.kind)

    def kind_of(self, shape):
        return gguf.GGMLQuantizationType.F32 if len(shape) == 1 else self.kind

    def make(self, shape):
        if len(shape) == 1:
            return np.ones(shape, np.float32)
        return np.resize(self.encoded, (shape[0], shape[1] * self.encoded.size // self.COUNT))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--dtype", choices=DTYPES, default="bf16")
    parser.add_argument("--context", type=int, default=4096, help="context length to declare")
    arguments = parser.parse_args()
    config = json.loads(arguments.config.read_text(encoding="utf-8"))
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads

    writer = gguf.GGUFWriter(arguments.out, "llama", use_temp_file=False)
    writer.add_name(f"random {arguments.config.parent.name}")
    writer.add_context_length(arguments.context)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads", heads))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config.get("rope_theta", 10000.0))
    writer.add_rope_dimension_count(head_dim)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(DTYPES[arguments.dtype][1])
    writer.add_tokenizer_model("none")

    weights, shapes = Weights(arguments.dtype), tensor_shapes(config)
    for name, shape in shapes.items():
        size = weights.make((1,) + shape[1:]).nbytes * shape[0] if len(shape) == 2 else 4 * shape[0]
        writer.add_tensor_info(name, shape, np.dtype(np.float32), size, raw_dtype=weights.kind_of(shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for shape in shapes.values():  # One at a time: together they may be more than the memory.
        writer.write_tensor_data(weights.make(shape))
    writer.close()


if __name__ == "__main__":
    main()
