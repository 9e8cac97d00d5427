#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the commands of the user's guide: all `sh` blocks of a page of docs/guide in one bash, in an empty folder, with the
model that ships as $MODEL and a free port in place of 8000. Also checks that links of the guide lead somewhere and that every flag which it
names is one of the program's.

    python3 tests/guide/guide_test.py [PAGE...]

TOKAMAK: the program (default build/release/bin/tokamak).
"""

import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guide"
PROGRAM = pathlib.Path(os.environ.get("TOKAMAK", ROOT / "build/release/bin/tokamak")).resolve()
VERBS = [["run"], ["serve"], ["build"], ["verify"], ["eval", "perplexity"], ["bench", "latency"], ["bench", "throughput"],
         ["bench", "kernels"], ["bench", "serve"], ["inspect"], ["doctor"]]
# Flags of other programs that pages name.
FOREIGN = {"from_tensorrt_llm.md", "from_vllm.md", "containers.md"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def blocks(text):
    return re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S)


def run(page, folder):
    script = "set -euo pipefail\n" + "\n".join(blocks(page.read_text()))
    script = script.replace("8000", str(free_port()))
    # `kill %1; wait %1` of a server that drains returns its status.
    tools = pathlib.Path(folder) / "tools"
    tools.mkdir()
    (tools / "tokamak").symlink_to(PROGRAM)
    work = pathlib.Path(folder) / "work"
    work.mkdir()
    environment = dict(os.environ, MODEL=str(ROOT / "models/storyteller"), PATH=f"{tools}:{os.environ['PATH']}",
                       TOKAMAK_CACHE_DIR=str(pathlib.Path(folder) / "cache"))
    environment.pop("TOKAMAK_API_KEY", None)
    process = subprocess.Popen(["bash", "-m", "-c", script], cwd=work, env=environment, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True, text=True)
    try:
        output, _ = process.communicate(timeout=300)
        status = process.returncode
    except subprocess.TimeoutExpired:
        process.kill()
        output, status = process.communicate()[0], "none within 300 s"
    finally:
        subprocess.run(["pkill", "-KILL", "-s", str(process.pid)], check=False)
    return [] if status == 0 else [f"status {status}:\n{script}\n--- its output\n{output}"]


def flags_of_program():
    flags = set()
    for verb in VERBS:
        text = subprocess.run([PROGRAM, *verb, "--help"], capture_output=True, text=True, check=True).stdout
        flags |= set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text))
    return flags


def check_text(page, flags):
    text = page.read_text()
    faults = [f"no such file: {link}" for link in re.findall(r"\]\(([^)#:]+)\)", text) if not (GUIDE / link).exists()]
    # Of the second column only, where the first has the names of another product.
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    if page.name in FOREIGN:
        prose = "\n".join(line.split("|", 2)[2] for line in prose.splitlines() if line.startswith("|"))
    for flag in set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", prose)) - flags:
        faults.append(f"{flag} is no flag of the program")
    return faults


def main():
    pages = [GUIDE / name for name in sys.argv[1:]] or sorted(GUIDE.glob("*.md"))
    flags = flags_of_program()
    failed = False
    for page in pages:
        with tempfile.TemporaryDirectory(prefix="tokamak_guide_") as folder:
            faults = check_text(page, flags) + (run(page, folder) if blocks(page.read_text()) else [])
        print(f"{'FAILED' if faults else 'ok':8}{page.name}", flush=True)
        for fault in faults:
            failed = True
            print("  " + fault.replace("\n", "\n  "))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
