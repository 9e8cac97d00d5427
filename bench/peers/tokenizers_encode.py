#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Encoding speed of our tokenizers beside Hugging Face `tokenizers`, one thread each, same text.

    pip install tokenizers
    bench/peers/tokenizers_encode.py --bench build/release/bin/text_bench

Prints one line a tokenizer: MB/s (CPU time) of ours, of the peer, and the ratio. The two take turns,
so that what else the machine does hits both.
"""
import argparse
import json
import lzma
import os
import pathlib
import subprocess
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import tokenizers  # noqa: E402  (after the environment is set)

DEFAULT = ["llama3", "qwen3", "deepseek-r1", "falcon", "llama2"]


def read(path: pathlib.Path) -> bytes:
    if path.exists():
        return path.read_bytes()
    return lzma.open(str(path) + ".xz").read()


def measure_peer(file: str, text: str, rounds: int) -> float:
    tokenizer = tokenizers.Tokenizer.from_file(file)
    size = len(text.encode())
    best = 0.0
    for _ in range(rounds):
        start = time.process_time()
        tokenizer.encode_batch_fast([text])  # Without offsets, which ours does not compute either.
        best = max(best, size / 1e6 / (time.process_time() - start))
    return best


def measure_ours(bench: str, name: str, rounds: int) -> float:
    command = [bench, f"--benchmark_filter=^encode/{name}/tokenizer.json$",
               f"--benchmark_repetitions={rounds}", "--benchmark_format=json"]
    runs = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["benchmarks"]
    return max(run["MB/s"] for run in runs if run.get("run_type") == "iteration")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("names", nargs="*", default=DEFAULT)
    arguments.add_argument("--bench", required=True, help="the text_bench program")
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    assets = pathlib.Path(os.environ.get("TOKAMAK_TEST_DATA", "../shared")) / "assets"
    text = read(assets / "corpus/war_and_peace/war-and-peace.txt").decode()
    print(f"{'tokenizer':16} {'ours MB/s':>10} {'tokenizers ' + tokenizers.__version__:>18} {'x':>6}")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.names:
            file = pathlib.Path(folder) / f"{name}.json"
            file.write_bytes(read(assets / "tokenizers" / name / "tokenizer.json"))
            ours = measure_ours(options.bench, name, options.rounds)
            peer = measure_peer(str(file), text, options.rounds)
            print(f"{name:16} {ours:10.1f} {peer:18.1f} {ours / peer:6.1f}")


if __name__ == "__main__":
    main()
