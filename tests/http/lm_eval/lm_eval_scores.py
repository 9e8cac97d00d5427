#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One task of lm-evaluation-harness against `tokamak serve` and against transformers, in float32: lm_eval_scores.py PROGRAM MODEL

Both must choose the same answers and give each choice the same log-likelihood; prints the scores. --no-reference leaves
transformers, and so torch, out.
"""
import argparse
import json
import lzma
import os
import pathlib
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent.parent
WORK = pathlib.Path("build/lm_eval")
TASK = "tokamak_openbookqa"
TOLERANCE = 0.02  # Of a log-likelihood, natural units: sums of up to some twenty float32 logprobs.

sys.path.insert(0, str(FOLDER.parent))
from served import Server  # noqa: E402


def unpack_questions():
    data = pathlib.Path(os.environ.get("TOKAMAK_TEST_DATA", ROOT.parent / "shared"))
    packed = data / "assets/evals/openbookqa/validation.jsonl.xz"
    if not packed.exists():
        print(f"SKIPPED: lm_eval: no {packed}", file=sys.stderr)
        sys.exit(77)
    WORK.mkdir(parents=True, exist_ok=True)
    (WORK / "openbookqa.jsonl").write_bytes(lzma.decompress(packed.read_bytes()))


def evaluate(name, backend, **arguments):
    """The harness's results and its samples, by question."""
    out = WORK / name
    command = [sys.executable, "-m", "lm_eval", "run", "--model", backend, "--model_args",
               ",".join(f"{key}={value}" for key, value in arguments.items()), "--tasks", TASK,
               "--include_path", str(FOLDER), "--output_path", str(out), "--log_samples", "--batch_size", "4",
               "--device", "cpu"]
    print("$", " ".join(command[1:]), flush=True)
    for old in out.rglob("*.json*"):
        old.unlink()
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    subprocess.run(command, check=True, env=os.environ | offline)
    (results,) = out.rglob("results_*.json")
    (samples,) = out.rglob("samples_*.jsonl")
    scores = json.loads(results.read_text(encoding="utf-8"))["results"][TASK]
    rows = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    by_question = {row["doc"]["id"]: [float(answer[0][0]) for answer in row["resps"]] for row in rows}
    return {key: scores[key + ",none"] for key in ("acc", "acc_norm")}, by_question


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("--no-reference", action="store_true")
    args = parser.parse_args()
    unpack_questions()
    server = Server(args.program, args.model, "--dtype", "float32")
    try:
        ours, our_sums = evaluate("tokamak", "local-completions", model=server.name, tokenizer=args.model,
                                  tokenizer_backend="huggingface", base_url=server.url + "/v1/completions",
                                  num_concurrent=8)
    finally:
        status = server.stop()
    assert status == 0, f"the server ended with {status}"
    print(f"tokamak serve: {ours} of {len(our_sums)} questions")
    if args.no_reference:
        return
    theirs, their_sums = evaluate("transformers", "hf", pretrained=args.model, dtype="float32")
    print(f"transformers:  {theirs} of {len(their_sums)} questions")
    assert our_sums.keys() == their_sums.keys()
    worst = max(abs(a - b) for question in our_sums
                for a, b in zip(our_sums[question], their_sums[question], strict=True))
    print(f"largest difference of a choice's log-likelihood: {worst:.2e}")
    assert worst <= TOLERANCE, f"more than {TOLERANCE}"
    assert ours == theirs


if __name__ == "__main__":
    main()
