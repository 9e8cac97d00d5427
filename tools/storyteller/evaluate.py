#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures a trained Storyteller on the held-out stories and writes its references, all in float32 by `transformers`.

    python tools/storyteller/evaluate.py --model models/storyteller --corpus ../shared/assets/corpus \\
        --baseline ../shared/assets/weights/stories260K/hf

Writes into the model's folder
    golden.safetensors   logits of three prompts and their greedy continuations
    eval/heldout.txt     the held-out text: whole stories joined by <|endoftext|>
    eval/reference.json  its negative log-likelihood, token by token
    eval/summary.json    nats per byte of this model and of the baseline, and sampled texts
"""

import argparse
import json
import math
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from safetensors.numpy import save

import chat
import corpus

STRIDE = 512
GOLDEN_PROMPT_TOKENS = [5, 37, 150]
GOLDEN_NEW_TOKENS = 24
SAMPLE_PROMPTS = [
    "Once upon a time",
    [{"role": "user", "content": "Tell me a story about a brave little mouse."}],
    [{"role": "user", "content": "Tell me a story about a girl who finds a boat."}],
]


def load(folder: pathlib.Path, device: str):
    """The tokenizer and the model of a checkpoint, in float32 with attention written out."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return tokenizer, model.to(device).eval()


def windows(tokens: int, context: int, stride: int):
    """(begin, end, first scored token) of each window: every token but the text's first is scored exactly once."""
    scored = 1
    for begin in range(0, tokens, stride):
        end = min(begin + context, tokens)
        yield begin, end, scored
        scored = end
        if end == tokens:
            return


@torch.no_grad()
def token_nll(model, ids: list[int], context: int, stride: int) -> list[float]:
    """Negative log-likelihood in nats of ids[1:], by windows of `context` tokens that move on by `stride`."""
    result = []
    for begin, end, scored in windows(len(ids), context, stride):
        logits = model(torch.tensor([ids[begin:end]], device=model.device)).logits[0]
        predicted = logits[scored - 1 - begin:end - 1 - begin].double().cpu()
        result += F.cross_entropy(predicted, torch.tensor(ids[scored:end]), reduction="none").tolist()
    return result


def write_reference(model, tokenizer, text: str, path: pathlib.Path):
    """The strided negative log-likelihood of the held-out text taken as one sequence."""
    context = model.config.max_position_embeddings
    ids = tokenizer.encode(text, add_special_tokens=False)
    nll = token_nll(model, ids, context, STRIDE)
    total = math.fsum(nll)
    reference = {
        "text": "heldout.txt", "bytes": len(text.encode()), "tokens": len(ids), "scored_tokens": len(nll),
        "context": context, "stride": STRIDE, "dtype": "float32", "bos": False,
        "total_nll": total, "mean_nll": total / len(nll), "perplexity": math.exp(total / len(nll)),
        "nats_per_byte": total / len(text.encode()),
        "windows": [
            {"begin": begin, "end": end, "first_scored": scored, "nll": math.fsum(nll[scored - 1:end - 1])}
            for begin, end, scored in windows(len(ids), context, STRIDE)],
        "token_nll": [round(value, 6) for value in nll],
    }
    path.write_text(json.dumps(reference) + "\n")


def story_nats_per_byte(model, tokenizer, stories: list[str]) -> float:
    """Nats per byte of the stories, each alone after the beginning-of-text token, so that vocabularies compare."""
    context = model.config.max_position_embeddings
    total = 0.0
    for story in stories:
        ids = [tokenizer.bos_token_id] + tokenizer.encode(story, add_special_tokens=False)
        total += math.fsum(token_nll(model, ids, context, context // 2))
    return total / sum(len(story.encode()) for story in stories)


@torch.no_grad()
def write_goldens(model, tokenizer, stories: list[str], path: pathlib.Path):
    """For each prompt, taken from a held-out story: ids, logits at every position, greedy continuation."""
    tensors = {}
    long_stories = [ids for story in stories
                    if len(ids := tokenizer.encode(story, add_special_tokens=False)) > max(GOLDEN_PROMPT_TOKENS)]
    for number, (count, story) in enumerate(zip(GOLDEN_PROMPT_TOKENS, long_stories)):
        prompt = torch.tensor([story[:count]], device=model.device)
        ids = prompt
        for _ in range(GOLDEN_NEW_TOKENS):
            ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(-1)], dim=1)
        tensors[f"prompt{number}.input_ids"] = prompt[0].cpu().numpy().astype(np.int32)
        tensors[f"prompt{number}.logits"] = model(prompt).logits[0].cpu().numpy()
        tensors[f"prompt{number}.generated"] = ids[0, count:].cpu().numpy().astype(np.int32)
    path.write_bytes(save(tensors))


@torch.no_grad()
def sample(model, tokenizer, prompt, seed: int) -> dict:
    """One text at the temperature of generation_config.json."""
    if isinstance(prompt, str):
        text = prompt
    else:
        text = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
        assert text == chat.render(prompt) + chat.ASSISTANT, text
    ids = torch.tensor([tokenizer.encode(text, add_special_tokens=False)], device=model.device)
    torch.manual_seed(seed)
    generated = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=500, top_k=0)[0, ids.shape[1]:]
    return {"prompt": prompt, "seed": seed, "text": tokenizer.decode(generated, skip_special_tokens=True)}


def evaluate(folder: pathlib.Path, corpus_folder: pathlib.Path, baseline: pathlib.Path, device: str):
    """Writes all references of the model in `folder`."""
    tokenizer, model = load(folder, device)
    stories, _ = corpus.validation_stories(corpus_folder)
    text = corpus.SEPARATOR.join(stories)
    (folder / "eval").mkdir(exist_ok=True)
    (folder / "eval" / "heldout.txt").write_text(text, encoding="utf-8", newline="")
    write_reference(model, tokenizer, text, folder / "eval" / "reference.json")
    write_goldens(model, tokenizer, stories, folder / "golden.safetensors")
    summary = {
        "stories": len(stories),
        "bytes": sum(len(story.encode()) for story in stories),
        "nats_per_byte": story_nats_per_byte(model, tokenizer, stories),
        "samples": [sample(model, tokenizer, prompt, seed) for seed, prompt in enumerate(SAMPLE_PROMPTS)],
    }
    baseline_tokenizer, baseline_model = load(baseline, device)
    summary["baseline"] = {
        "parameters": sum(parameter.numel() for parameter in baseline_model.parameters()),
        "nats_per_byte": story_nats_per_byte(baseline_model, baseline_tokenizer, stories),
    }
    (folder / "eval" / "summary.json").write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    print({name: value for name, value in summary.items() if name != "samples"})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, required=True, help="folder of the trained model")
    parser.add_argument("--corpus", type=pathlib.Path, required=True, help="folder with tinystories/")
    parser.add_argument("--baseline", type=pathlib.Path, required=True, help="checkpoint to compare with")
    parser.add_argument("--device", default="cuda")
    arguments = parser.parse_args()
    evaluate(arguments.model, arguments.corpus, arguments.baseline, arguments.device)


if __name__ == "__main__":
    main()
