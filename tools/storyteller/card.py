# SPDX-License-Identifier: Apache-2.0
"""Writes the model card: card.md with the measured numbers filled in, and the loss curve as a picture."""

import json
import math
import pathlib
import string

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def plot_curve(record: dict, path: pathlib.Path):
    """Loss per token against tokens seen, of the model and its teachers."""
    figure, axes = plt.subplots(figsize=(8, 4.5), dpi=110)
    for number, curve in enumerate(record["teacher_curves"]):
        axes.plot([point["tokens"] / 1e6 for point in curve], [point["validation"] for point in curve],
                  color="#b0b0b0", linewidth=1, label="teachers, validation stories" if number == 0 else None)
    tokens = [point["tokens"] / 1e6 for point in record["curve"]]
    axes.plot(tokens, [point["training"] for point in record["curve"]], color="#e08a2c",
              label="model, training mix (stories, tales, books)")
    axes.plot(tokens, [point["validation"] for point in record["curve"]], color="#2c6fbb",
              label="model, validation stories")
    axes.set(xlabel="million tokens", ylabel="nats per token", ylim=(1, 5), title="Storyteller: loss during training")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


def sample_markdown(sample: dict) -> str:
    """One sample as a quotation under its prompt."""
    prompt = sample["prompt"]
    if isinstance(prompt, str):
        heading, text = f"Completion of “{prompt}”", prompt + sample["text"]
    else:
        heading, text = f"Chat, “{prompt[-1]['content']}”", sample["text"]
    quoted = "\n".join(f"> {line}\n>" for line in text.strip().splitlines())
    return f"{heading} (seed {sample['seed']}):\n\n{quoted.removesuffix(chr(10) + '>')}\n"


def write(folder: pathlib.Path):
    """Writes loss_curve.png and README.md from training.json and eval/."""
    record = json.loads((folder / "training.json").read_text())
    reference = json.loads((folder / "eval" / "reference.json").read_text())
    summary = json.loads((folder / "eval" / "summary.json").read_text())
    plot_curve(record, folder / "loss_curve.png")
    baseline = summary["baseline"]
    template = string.Template((pathlib.Path(__file__).parent / "card.md").read_text())
    recipe = record["model"]
    (folder / "README.md").write_text(template.substitute(
        parameters=f"{record['parameters'] / 1e6:.2f}",
        weights_mb=f"{(folder / 'model.safetensors').stat().st_size / 1e6:.1f}",
        device=record["device"], minutes=f"{record['training_seconds'] / 60:.1f}", seed=record["seed"],
        teachers=record["teachers"]["count"], teacher_tokens=f"{record['teachers']['tokens'] / 1e6:.0f}",
        tokens=f"{recipe['tokens'] / 1e6:.0f}", batch_tokens=f"{recipe['batch_rows'] * 1024:,}",
        teacher_dropout=record["teachers"]["dropout"], teacher_weight_decay=record["teachers"]["weight_decay"],
        dropout=recipe["dropout"], weight_decay=recipe["weight_decay"], learning_rate=recipe["learning_rate"],
        warmup=f"{recipe['warmup_share']:.0%}", teacher_weight=recipe["teacher_weight"],
        first_story_share=f"{recipe['story_share'][0]:.0%}", last_story_share=f"{recipe['story_share'][1]:.0%}",
        story_epochs=record["epochs"]["stories"], tale_epochs=record["epochs"]["fairy_tales"],
        book_epochs=record["epochs"]["books"],
        stories=summary["stories"], bytes=f"{summary['bytes']:,}",
        nats_per_byte=f"{summary['nats_per_byte']:.4f}", byte_perplexity=f"{math.exp(summary['nats_per_byte']):.4f}",
        bits_per_byte=f"{summary['nats_per_byte'] / math.log(2):.4f}",
        baseline_parameters=f"{baseline['parameters'] / 1e6:.2f}",
        baseline_nats_per_byte=f"{baseline['nats_per_byte']:.4f}",
        baseline_byte_perplexity=f"{math.exp(baseline['nats_per_byte']):.4f}",
        baseline_bits_per_byte=f"{baseline['nats_per_byte'] / math.log(2):.4f}",
        text_bytes=f"{reference['bytes']:,}", text_tokens=f"{reference['tokens']:,}",
        scored_tokens=f"{reference['scored_tokens']:,}", total_nll=f"{reference['total_nll']:.2f}",
        mean_nll=f"{reference['mean_nll']:.6f}", perplexity=f"{reference['perplexity']:.4f}",
        text_nats_per_byte=f"{reference['nats_per_byte']:.4f}",
        samples="\n".join(sample_markdown(sample) for sample in summary["samples"]),
    ))
