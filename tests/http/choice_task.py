# SPDX-License-Identifier: Apache-2.0
"""A multiple-choice task in the form of lm-evaluation-harness: the choice of the highest log-likelihood wins.

`python3 choice_task.py MODEL` (needs torch and transformers) writes what transformers gives to choice_scores.json.
"""
import json
import lzma
import os
import pathlib
import sys

FOLDER = pathlib.Path(__file__).resolve().parent
SCORES = FOLDER / "choice_scores.json"
NUM_QUESTIONS = 60


def task_file():
    data = pathlib.Path(os.environ.get("TOKAMAK_TEST_DATA", FOLDER.parent.parent.parent / "shared"))
    return data / "assets/evals/openbookqa/validation.jsonl.xz"


def questions():
    """(text before the choices, the choices, index of the right one)"""
    with lzma.open(task_file(), "rt", encoding="utf-8") as lines:
        rows = [json.loads(next(lines)) for _ in range(NUM_QUESTIONS)]
    for row in rows:
        choices = row["choices"]
        yield row["question_stem"], [" " + text for text in choices["text"]], choices["label"].index(row["answerKey"])


def accuracy(scores):
    """The share of questions whose best-scored choice is the right one."""
    right = [max(range(len(s)), key=s.__getitem__) == answer for s, (_, _, answer) in zip(scores, questions())]
    return sum(right) / len(right)


def main(model_folder):
    import torch
    import transformers
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval()
    scores = []
    for context, choices, _ in questions():
        skipped = len(tokenizer(context)["input_ids"])
        row = []
        for choice in choices:
            ids = tokenizer(context + choice)["input_ids"]
            with torch.no_grad():
                logprobs = torch.log_softmax(model(torch.tensor([ids])).logits[0], dim=-1)
            row.append(round(sum(float(logprobs[i - 1, ids[i]]) for i in range(skipped, len(ids))), 4))
        scores.append(row)
    out = {"task": "openbookqa", "transformers": transformers.__version__, "dtype": "float32",
           "accuracy": accuracy(scores), "loglikelihoods": scores}
    SCORES.write_text(json.dumps(out) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
