#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""llama.cpp on the shapes of bench/peers/gpu.sh, as lines of JSON beside those of torch_llama.py.

    bench/peers/llama_cpp.py MODEL.gguf --output peers_llama_cpp.jsonl --llama-bench PROGRAM [--llama-batched-bench PROGRAM]

One sequence: llama-bench; TTFT is its prompt test, TPOT its generation at the depth of the prompt. Several: llama-batched-bench, whose
sequences begin together. Both leave out sampling. Where a program is not given or fails, the case says so under "skipped".
"""

import argparse
import json
import pathlib
import subprocess

NAME = "llama.cpp"


def lines_of(text):
    """The objects among the lines: the programs log in between."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def report(batch, input_len, output_len, first_seconds, step_seconds):
    return {
        "ttft_ms": first_seconds * 1e3,
        "tpot_ms": step_seconds * 1e3,
        "prefill_tokens_per_second": batch * input_len / first_seconds,
        "decode_tokens_per_second": batch / step_seconds,
        "batch": batch,
        "input_len": input_len,
        "output_len": output_len,
    }


def single_reports(text):
    """`{(1, input_len): report}` of llama-bench's lines: prompts without generation, generations at a depth."""
    prompts = {line["n_prompt"]: line["avg_ns"] for line in lines_of(text) if line["n_gen"] == 0}
    steps = {line["n_depth"]: line for line in lines_of(text) if line["n_prompt"] == 0}
    return {
        (1, n): report(1, n, steps[n]["n_gen"], prompts[n] / 1e9, steps[n]["avg_ns"] / 1e9 / steps[n]["n_gen"])
        for n in prompts.keys() & steps.keys()
    }


def batched_reports(text):
    """`{(batch, input_len): report}` of llama-batched-bench's lines."""
    return {
        (line["pl"], line["pp"]): report(line["pl"], line["pp"], line["tg"], line["t_pp"], line["t_tg"] / line["tg"]) for line in lines_of(text)
    }


def run(command, seconds):
    """What it printed, and why that is not all."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", timeout=seconds)
    except subprocess.TimeoutExpired as expired:
        return (expired.stdout or b"").decode(errors="replace"), f"--budget-seconds {seconds:g} are used up"
    except OSError as error:
        return "", str(error)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return done.stdout, f"{pathlib.Path(command[0]).name} ended with {done.returncode}: {last}"
    return done.stdout, "the program gave no figure"


def measure_single(options, prompts):
    bench = [options.llama_bench, "-m", options.model, "-ngl", str(options.gpu_layers), "-fa", "1", "-b", "2048", "-ub", "2048"]
    bench += ["-r", str(options.repeats), "-o", "jsonl"]
    lengths = ",".join(map(str, prompts))
    first, why = run(bench + ["-p", lengths, "-n", "0"], options.budget_seconds)
    second, why_not = run(bench + ["-p", "0", "-n", str(options.output_len), "-d", lengths], options.budget_seconds)
    return single_reports(first + second), why_not if lines_of(first) else why


def measure_batches(options, batches, cases):
    """Its cache is as long as the largest case: larger ones it leaves out by itself."""
    if not options.llama_batched_bench:
        return {}, "llama-bench runs one sequence; LLAMA_BATCHED_BENCH is not given"
    length = max(batch * (n + options.output_len) for batch, n in cases)
    command = [options.llama_batched_bench, "-m", options.model, "-ngl", str(options.gpu_layers), "-b", "2048", "-ub", "2048"]
    command += ["-c", str(length), "-npp", ",".join(str(n) for n in sorted({n for _, n in cases}))]
    command += ["-ntg", str(options.output_len), "-npl", ",".join(map(str, batches)), "--output-format", "jsonl"]
    text, why = run(command, options.budget_seconds)
    return batched_reports(text), why


def measure(options):
    """A report for each case, in order."""
    cases = [(batch, n) for batch in options.batches for n in options.prompts]
    wanted = [case for case in cases if case[0] * case[1] <= options.max_prompt_tokens]
    found, reasons = {}, {}
    for several in (False, True):
        these = [case for case in wanted if (case[0] > 1) == several]
        if not these:
            continue
        if several:
            reports, why = measure_batches(options, sorted({batch for batch, _ in these}), these)
        else:
            reports, why = measure_single(options, [n for _, n in these])
        found |= reports
        reasons |= {case: why for case in these}
    for batch, n in cases:
        limit = f"{batch} x {n} tokens are more than --max-prompt-tokens {options.max_prompt_tokens}"
        left_out = {"skipped": reasons.get((batch, n), limit), "batch": batch, "input_len": n, "output_len": options.output_len}
        yield {"peer": NAME} | (found[(batch, n)] if (batch, n) in found and (batch, n) in reasons else left_out)


def main():
    numbers = lambda text: [int(part) for part in text.split(",")]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a GGUF, as make_gguf.py writes it")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="file that the lines of JSON go to")
    parser.add_argument("--llama-bench", required=True)
    parser.add_argument("--llama-batched-bench", default="")
    parser.add_argument("--batches", type=numbers, default=[1, 8, 16, 64])
    parser.add_argument("--prompts", type=numbers, default=[128, 1024, 8000])
    parser.add_argument("--output-len", type=int, default=32)
    parser.add_argument("--gpu-layers", type=int, default=99)
    parser.add_argument("--repeats", type=int, default=3, help="of llama-bench, which takes their mean")
    parser.add_argument("--max-prompt-tokens", type=int, default=131072, help="larger cases are left out")
    parser.add_argument("--budget-seconds", type=float, default=120, help="of each of the three runs")
    options = parser.parse_args()
    with options.output.open("w") as output:
        for line in measure(options):
            output.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
