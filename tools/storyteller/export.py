# SPDX-License-Identifier: Apache-2.0
"""Writes the trained model in Hugging Face form: config.json, generation_config.json and model.safetensors."""

import json
import pathlib

import torch
from safetensors.torch import save

from model import Llama, LlamaConfig

END_OF_TEXT_ID, END_ID = 0, 3


def save_model(model: Llama, folder: pathlib.Path):
    """The weights are stored in bfloat16; the output projection is tied to the embedding table and not stored."""
    weights = {name: tensor.to(torch.bfloat16).contiguous().cpu() for name, tensor in model.state_dict().items()}
    (folder / "model.safetensors").write_bytes(save(weights, metadata={"format": "pt"}))
    (folder / "config.json").write_text(json.dumps(LlamaConfig().to_json(), indent=2) + "\n")
    generation = {
        "bos_token_id": END_OF_TEXT_ID,
        "eos_token_id": [END_OF_TEXT_ID, END_ID],
        "pad_token_id": END_OF_TEXT_ID,
        "do_sample": True,
        "temperature": 0.8,
    }
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
