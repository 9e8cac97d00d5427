#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains Storyteller, the small model that ships with Tokamak, from text to model card, on one GPU.

    python tools/storyteller/train.py --corpus ../shared/assets/corpus --out models/storyteller

The stories are few for a model of this size, so several teachers are trained first, each with its own seed, and the
model that ships learns from their mean prediction as well as from the text. Writes the tokenizer, the weights, the
training record with the loss curve, the evaluation, the golden logits and the model card.
"""

import argparse
import dataclasses
import json
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F

import card
import data
import evaluate
import export
import tokenizer as vocabulary
from model import Llama, LlamaConfig


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How one model is trained. The shares of the sources go linearly from the first to the second value."""
    tokens: int
    dropout: float
    weight_decay: float
    teacher_weight: float = 0.0
    learning_rate: float = 2e-3
    batch_rows: int = 64
    warmup_share: float = 0.04
    story_share: tuple[float, float] = (0.2, 0.85)
    fairy_tale_share: tuple[float, float] = (0.1, 0.05)
    validations: int = 20


# A teacher sees the text alone: without strong regularization it learns the stories by heart.
TEACHER_COUNT = 5
TEACHER_RECIPE = Recipe(tokens=80_000_000, dropout=0.2, weight_decay=1.5)
MODEL_RECIPE = Recipe(tokens=120_000_000, dropout=0.1, weight_decay=1.0, teacher_weight=0.85)


def row_counts(recipe: Recipe, progress: float) -> dict[str, int]:
    """How many rows of a batch come from each source at `progress` (0 to 1) of the training."""
    def rows(share):
        return round(recipe.batch_rows * (share[0] + (share[1] - share[0]) * progress))

    stories, fairy_tales = rows(recipe.story_share), rows(recipe.fairy_tale_share)
    return {"stories": stories, "fairy_tales": fairy_tales, "books": recipe.batch_rows - stories - fairy_tales}


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Linear warm-up, then linear decay to zero."""
    warmup = recipe.warmup_share
    return recipe.learning_rate * min(progress / warmup, (1 - progress) / (1 - warmup))


@torch.no_grad()
def validation_loss(model: Llama, tokens: np.ndarray, context: int, device: str, rows: int = 16) -> float:
    """Mean loss per token over full batches of the validation stories."""
    count = (len(tokens) - 1) // context // rows * rows
    inputs = torch.from_numpy(tokens[:count * context].astype(np.int64)).view(-1, rows, context).to(device)
    targets = torch.from_numpy(tokens[1:count * context + 1].astype(np.int64)).view(-1, rows, context).to(device)
    model.eval()
    losses = []
    for ids, target in zip(inputs, targets):
        with torch.autocast(device, dtype=torch.bfloat16):
            logits = model(ids)
        losses.append(F.cross_entropy(logits.float().flatten(0, 1), target.flatten()))
    model.train()
    return torch.stack(losses).mean().item()


def training_loss(model: Llama, teachers: list[Llama], teacher_weight: float, rows: torch.Tensor):
    """The loss to minimize, and the cross-entropy with the text alone.

    With teachers the first is a weighted mean of the cross-entropy with the text and with the teachers' mean
    prediction. Hinton et al., arXiv:1503.02531.
    """
    ids, targets = rows[:, :-1], rows[:, 1:].flatten()
    log_probabilities = F.log_softmax(model(ids).float().flatten(0, 1), dim=-1)
    text_loss = F.nll_loss(log_probabilities, targets)
    if not teachers:
        return text_loss, text_loss.detach()
    with torch.no_grad():
        prediction = sum(F.softmax(teacher(ids).float().flatten(0, 1), dim=-1) for teacher in teachers) / len(teachers)
    teacher_loss = -(prediction * log_probabilities).sum(-1).mean()
    return torch.lerp(text_loss, teacher_loss, teacher_weight), text_loss.detach()


def fit(recipe: Recipe, training: data.TrainingData, teachers: list[Llama], seed: int, device: str):
    """Trains one model. Returns it, its loss curve and how many epochs of each source it has begun."""
    torch.manual_seed(seed)
    config = LlamaConfig()
    context = config.max_position_embeddings
    sources = training.sources(context + 1, seed)
    model = Llama(config, recipe.dropout).to(device)
    optimizer = torch.optim.AdamW(
        [{"params": [p for p in model.parameters() if p.dim() == 2], "weight_decay": recipe.weight_decay},
         {"params": [p for p in model.parameters() if p.dim() == 1], "weight_decay": 0.0}],
        lr=recipe.learning_rate, betas=(0.9, 0.95), fused=True)
    loss_of = torch.compile(training_loss)
    steps = recipe.tokens // (recipe.batch_rows * context)
    points, recent, started = [], [], time.time()
    for step in range(steps):
        progress = step / steps
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, (step + 1) / steps)
        counts = row_counts(recipe, progress)
        rows = np.concatenate([sources[name].take(count) for name, count in counts.items()])
        rows = torch.from_numpy(rows.astype(np.int64)).to(device, non_blocking=True)
        with torch.autocast(device, dtype=torch.bfloat16):
            loss, text_loss = loss_of(model, teachers, recipe.teacher_weight, rows)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        recent.append(text_loss)
        if (step + 1) * recipe.validations // steps > step * recipe.validations // steps:
            validation = validation_loss(model, training.validation, context, device)
            points.append({
                "step": step + 1, "tokens": (step + 1) * recipe.batch_rows * context,
                "training": round(torch.stack(recent).mean().item(), 4), "validation": round(validation, 4)})
            recent = []
            print(f"  step {step + 1}/{steps}  training {points[-1]['training']:.4f}  validation {validation:.4f}  "
                  f"{time.time() - started:.0f} s", flush=True)
    return model.eval(), points, {name: source.epochs for name, source in sources.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=pathlib.Path, required=True,
                        help="folder with tinystories/, fairytaleqa/ and childrens_books/")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder to write the model into")
    parser.add_argument("--baseline", type=pathlib.Path,
                        help="checkpoint to compare with (default: weights/stories260K/hf beside the corpus)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda")
    arguments = parser.parse_args()

    baseline = arguments.baseline or arguments.corpus.parent / "weights" / "stories260K" / "hf"

    started = time.time()
    arguments.out.mkdir(parents=True, exist_ok=True)
    tokenizer = vocabulary.train_tokenizer(data.tokenizer_texts(arguments.corpus))
    vocabulary.save_tokenizer(tokenizer, arguments.out)
    training = data.load(arguments.corpus, tokenizer, arguments.seed)
    print(f"corpus tokenized after {time.time() - started:.0f} s", flush=True)

    teachers, teacher_curves = [], []
    for number in range(1, TEACHER_COUNT + 1):
        print(f"teacher {number}", flush=True)
        teacher, curve, _ = fit(TEACHER_RECIPE, training, [], arguments.seed + 10 * number, arguments.device)
        teachers.append(teacher)
        teacher_curves.append(curve)
    print("the model", flush=True)
    model, curve, epochs = fit(MODEL_RECIPE, training, teachers, arguments.seed, arguments.device)

    export.save_model(model, arguments.out)
    record = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "seed": arguments.seed,
        "teachers": {"count": TEACHER_COUNT, **dataclasses.asdict(TEACHER_RECIPE)},
        "model": dataclasses.asdict(MODEL_RECIPE),
        "epochs": epochs,
        "validation_bytes_per_token": round(training.validation_bytes / len(training.validation), 4),
        "device": torch.cuda.get_device_name() if arguments.device == "cuda" else arguments.device,
        "torch": torch.__version__,
        "training_seconds": round(time.time() - started),
        "curve": curve,
        "teacher_curves": teacher_curves,
    }
    (arguments.out / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    evaluate.evaluate(arguments.out, arguments.corpus, baseline, arguments.device)
    card.write(arguments.out)
    print(f"done after {time.time() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
