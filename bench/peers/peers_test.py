#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What llama.cpp's programs print, as recorded from them, becomes reports and a column of the table; programs here are scripts that
print it."""

import argparse
import json
import pathlib
import stat
import tempfile
import unittest

import compare
import llama_cpp

# Of llama-bench -o jsonl, fields that say nothing here left out.
PROMPTS = """\
{"build_number": 0, "n_batch": 2048, "n_prompt": 64, "n_gen": 0, "n_depth": 0, "avg_ns": 2934956, "stddev_ns": 37192, "avg_ts": 21807.870079, "samples_ns": [ 2961255, 2908657 ],"samples_ts": [ 21612.5, 22003.3 ]}
{"build_number": 0, "n_batch": 2048, "n_prompt": 128, "n_gen": 0, "n_depth": 0, "avg_ns": 4516003, "stddev_ns": 154867, "avg_ts": 28360.324231, "samples_ns": [ 4406495, 4625511 ],"samples_ts": [ 29048, 27672.6 ]}
"""
STEPS = """\
{"build_number": 0, "n_batch": 2048, "n_prompt": 0, "n_gen": 8, "n_depth": 64, "avg_ns": 1083666, "stddev_ns": 222006, "avg_ts": 7540.576775, "samples_ns": [ 1240645, 926688 ],"samples_ts": [ 6448.26, 8632.89 ]}
{"build_number": 0, "n_batch": 2048, "n_prompt": 0, "n_gen": 8, "n_depth": 128, "avg_ns": 1107762, "stddev_ns": 84163, "avg_ts": 7242.661880, "samples_ns": [ 1167266, 1048259 ],"samples_ts": [ 6853.62, 7631.7 ]}
"""
# Of llama-batched-bench --output-format jsonl.
BATCHED = """\
load: adding 1000 dummy tokens
{"n_kv_max": 2048, "n_batch": 2048, "pp": 64, "tg": 8, "pl": 4, "n_kv": 288, "t_pp": 0.010899, "speed_pp": 23488.394531, "t_tg": 0.005144, "speed_tg": 6220.839844, "t": 0.016043, "speed": 17951.753906}

llama_perf_context_print: n_eval = 8
"""


class Peers(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def program(self, name, text):
        path = self.folder / name
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    def options(self, **changes):
        (self.folder / "prompts").write_text(PROMPTS)
        (self.folder / "steps").write_text(STEPS)
        (self.folder / "batched").write_text(BATCHED)
        bench = self.program("llama-bench", f'case "$*" in *" -d "*) cat {self.folder}/steps;; *) cat {self.folder}/prompts;; esac\n')
        batched = self.program("llama-batched-bench", f"cat {self.folder}/batched\n")
        settings = dict(model="m.gguf", llama_bench=bench, llama_batched_bench=batched, batches=[1, 4], prompts=[64, 128], output_len=8)
        settings |= dict(gpu_layers=99, repeats=2, max_prompt_tokens=256, budget_seconds=20)
        return argparse.Namespace(**settings | changes)

    def measured(self, **changes):
        return {(line["batch"], line["input_len"]): line for line in llama_cpp.measure(self.options(**changes))}

    def test_a_prompt_and_a_generation_behind_it_are_one_case(self):
        case = self.measured()[(1, 128)]
        self.assertEqual(case["peer"], "llama.cpp")
        self.assertAlmostEqual(case["ttft_ms"], 4.516003)
        self.assertAlmostEqual(case["tpot_ms"], 1.107762 / 8)
        self.assertAlmostEqual(case["decode_tokens_per_second"], 8e9 / 1107762)

    def test_a_batch_is_measured_by_the_other_program(self):
        case = self.measured()[(4, 64)]
        self.assertAlmostEqual(case["ttft_ms"], 10.899)
        self.assertAlmostEqual(case["decode_tokens_per_second"], 6220.839844, delta=1)

    def test_what_was_not_measured_says_why(self):
        cases = self.measured()
        self.assertIn("4 x 128 tokens are more than", cases[(4, 128)]["skipped"])
        self.assertIn("no figure", self.measured(max_prompt_tokens=512)[(4, 128)]["skipped"])
        self.assertIn("LLAMA_BATCHED_BENCH", self.measured(llama_batched_bench="")[(4, 64)]["skipped"])
        broken = self.program("broken", "echo main: error: failed to load model >&2; exit 1\n")
        self.assertEqual(self.measured(llama_bench=broken)[(1, 64)]["skipped"], "broken ended with 1: main: error: failed to load model")
        slow = self.program("slow", "exec sleep 20\n")
        self.assertIn("used up", self.measured(llama_bench=slow, budget_seconds=0.2, batches=[1])[(1, 64)]["skipped"])
        self.assertIn("No such file", self.measured(llama_bench="/nowhere/llama-bench")[(1, 64)]["skipped"])

    def test_the_table_has_a_column_for_each_peer(self):
        ours = {"batch": 1, "input_len": 64, "ttft_ms": 1.0, "tpot_ms": 0.1, "decode_tokens_per_second": 10000.0}
        torch = ours | {"peer": "torch", "decode_tokens_per_second": 5000.0}
        (self.folder / "ours_1_64.json").write_text(json.dumps(ours))
        (self.folder / "peers.jsonl").write_text(json.dumps(torch) + "\n")
        lines = llama_cpp.measure(self.options())
        (self.folder / "peers_llama_cpp.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        table = compare.table(compare.read(self.folder)).splitlines()
        self.assertEqual(table[2], "| batch, prompt | tokamak | llama.cpp | torch | ours : best peer |")
        self.assertEqual(table[4], "| 1, 64 | 1.0 / 0.10 / 10000 | 2.9 / 0.14 / 7382 | 1.0 / 0.10 / 5000 | 1.35 |")
        self.assertEqual(table[-1], "- left out: 4 x 128, llama.cpp: 4 x 128 tokens are more than --max-prompt-tokens 256")


if __name__ == "__main__":
    unittest.main()
