#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the server tests of llama.cpp and of vLLM against the built program, and prints a table a suite: how many tests, by reason.

  LLAMA_CPP_SOURCE=…/llama.cpp VLLM_SOURCE=…/vllm tests/foreign/run.py [--program P] [--only SUITE] [-k EXPRESSION]

Fails if a test fails that <suite>.toml does not excuse, if one that it excuses passes, or if it names one that is not there.
"""
import argparse
import collections
import importlib.util
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tomllib

import served_model

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build" / "foreign"
# Suite, variable that names its source, where its tests are in it, the options of pytest that it needs.
SUITES = {
    "llama_cpp": ("LLAMA_CPP_SOURCE", "tools/server/tests", ["-m", "not slow"]),
    "vllm": ("VLLM_SOURCE", "tests/entrypoints/openai", ["-o", "consider_namespace_packages=true"]),
}


PASSES = "passes"
KINDS = ("by chance", "not built", "theirs")


class Reason:
    def __init__(self, kind, name, tests):
        self.may_pass = kind in (PASSES, "by chance")
        self.may_fail = kind != PASSES
        self.title = f"{kind}: {name}"
        self.patterns = {pattern: re.compile(re.escape(pattern).replace(r"\*", ".*")) for pattern in tests}
        self.unused = set(tests)

    def names(self, test):
        for pattern, regex in self.patterns.items():
            if regex.fullmatch(test):
                self.unused.discard(pattern)
                return True
        return False


def read_reasons(suite):
    """The reasons of a suite's table, and as the first one what passes although a pattern of another names it."""
    table = tomllib.loads((HERE / f"{suite}.toml").read_text())
    reasons = [Reason(PASSES, "", table["passes"])]
    return reasons + [Reason(kind, name, tests) for kind in KINDS for name, tests in table[kind].items()]


def missing(suites):
    """What has to be there before a test can run, a line each."""
    out = []
    for suite in suites:
        variable, folder, _ = SUITES[suite]
        path = os.environ.get(variable)
        if not path:
            out.append(f"{variable} is not set: the folder of {suite}'s source, which has {folder}")
        elif not (pathlib.Path(path) / folder).is_dir():
            out.append(f"{variable} is '{path}', which has no {folder}")
    packages = {name.strip() for name in (HERE / "requirements.txt").read_text().splitlines()}
    absent = sorted(name for name in packages if not importlib.util.find_spec(name.replace("-", "_")))
    if absent:
        out.append(f"{sys.executable} lacks {', '.join(absent)}: pip install -r {HERE.relative_to(ROOT)}/requirements.txt")
    return out


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run_suite(suite, flags):
    """Runs pytest on a suite; its outcomes by test."""
    variable, folder, options = SUITES[suite]
    tests = pathlib.Path(os.environ[variable]).resolve() / folder
    work = BUILD / suite
    work.mkdir(parents=True, exist_ok=True)
    outcomes = work / "outcomes.jsonl"
    outcomes.unlink(missing_ok=True)
    env = {
        **os.environ,
        variable: str(pathlib.Path(os.environ[variable]).resolve()),
        "FOREIGN_MODEL": str(served_model.make(flags.model, BUILD / "model")),
        "FOREIGN_OUTCOMES": str(outcomes),
        "FOREIGN_PROGRAM": str(pathlib.Path(flags.program).resolve()),
        "LLAMA_SERVER_BIN_PATH": str(HERE / "llama_server.py"),
        "PORT": str(free_port()),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(HERE),
        "TOKAMAK_CACHE_DIR": str(BUILD / "cache"),
    }
    command = [sys.executable, "-m", "pytest", str(tests), "--rootdir", str(tests), "--confcutdir", str(tests.parent)]
    command += ["-c", os.devnull, "-p", "no:cacheprovider", "-p", "record", "-p", f"{suite}_plugin"]
    command += ["-q", "--tb=short", "--timeout=180", "--disable-warnings", "--continue-on-collection-errors", *options]
    command += ["-k", flags.k] if flags.k else []
    with open(work / "log.txt", "w", encoding="utf-8") as log:
        subprocess.run(command, cwd=work, env=env, stdout=log, stderr=subprocess.STDOUT, check=False)
    if not outcomes.exists():
        sys.exit(f"{suite}: no test ran; see {work.relative_to(ROOT)}/log.txt")
    lines = map(json.loads, outcomes.read_text().splitlines())
    return {line["test"]: line for line in lines}


def judge(suite, outcomes, whole):
    """Prints the table of a suite; the faults, a line each."""
    reasons = read_reasons(suite)
    counts, faults = collections.Counter(), []
    for test, line in sorted(outcomes.items()):
        reason = next((reason for reason in reasons if reason.names(test)), None)
        if line["outcome"] == "skipped":
            counts["theirs: they skip it"] += 1
        elif line["outcome"] == "passed":
            counts[PASSES] += 1
            if reason and not reason.may_pass:
                faults.append(f"{test}: passes, but {suite}.toml excuses it ({reason.title})")
        elif reason and reason.may_fail:
            counts[reason.title] += 1
        else:
            counts["FAILS"] += 1
            faults.append(f"{test}: {line['why']}")
    if whole:
        faults += [f"{suite}.toml: '{pattern}' names no test" for reason in reasons for pattern in reason.unused]
    print(f"\n{suite}: {len(outcomes)} tests")
    order = sorted(counts, key=lambda title: (title != PASSES, title != "FAILS", -counts[title]))
    for title in order:
        print(f"  {counts[title]:4}  {title}")
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=ROOT / "build/release/bin/tokamak")
    parser.add_argument("--model", default=ROOT / "models/storyteller")
    parser.add_argument("--only", choices=SUITES)
    parser.add_argument("-k", help="as pytest's")
    parser.add_argument("--check", action="store_true", help="only say what is missing")
    flags = parser.parse_args()
    suites = [flags.only] if flags.only else list(SUITES)
    if lines := missing(suites):
        sys.exit("foreign tests cannot run:\n" + "\n".join(f"  {line}" for line in lines))
    if flags.check:
        return False
    faults = []
    for suite in suites:
        faults += judge(suite, run_suite(suite, flags), not flags.k)
    for fault in faults:
        print(f"FAULT {fault}")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
