#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Serves a model to many clients at once, some of which go away or send rubbish, and checks what must hold:

- no error that was not asked for;
- memory flat (within 2 %) once the warm-up is over, the file descriptors and threads of the start at the end; the first
  minutes touch the KV pool for the first time, so memory is judged from 180 seconds on;
- every request ended and every KV page returned;
- a clean exit on SIGTERM.

    python3 tests/soak/soak.py [--seconds 600] [--clients 1000] [--model models/storyteller] [--json FILE]

Needs nothing but Python and the program. Exit status 1 if a promise was broken; each is printed with its figures.
"""

import argparse
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, program, model, clients, log):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [program, "serve", model, "--port", str(self.port), "--max-queue", str(2 * clients), "--quiet"]
        self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        self.proc = pathlib.Path(f"/proc/{self.process.pid}")

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return answer.read().decode()

    def wait_ready(self, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                sys.exit(f"soak: the server ended with status {self.process.returncode} before it was ready")
            try:
                self.get("/health")
                return
            except OSError:
                time.sleep(0.1)
        sys.exit(f"soak: the server was not ready after {seconds} s")

    def metric(self, name):
        found = re.findall(rf"^tokamak:{name}(?:{{.*}})? (\S+)$", self.get("/metrics"), re.M)
        if not found:
            sys.exit(f"soak: /metrics has no tokamak:{name}")
        return sum(map(float, found))

    def resident_bytes(self):
        return int(re.search(r"^VmRSS:\s+(\d+) kB", (self.proc / "status").read_text(), re.M)[1]) * 1024

    def descriptors(self):
        return len(os.listdir(self.proc / "fd"))

    def threads(self):
        return len(os.listdir(self.proc / "task"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/release/bin/tokamak")
    parser.add_argument("--model", default="models/storyteller")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--warm-up", type=float, help="seconds; default: 60, or a third of the time if that is less")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures here")
    args = parser.parse_args()
    warm_up = args.warm_up or min(60, args.seconds / 3)

    log_path = pathlib.Path("build/soak_server.log")
    log_path.parent.mkdir(exist_ok=True)
    with open(log_path, "w") as log:
        server = Server(args.program, args.model, args.clients, log)
        try:
            failures, figures = soak(server, args, warm_up)
        finally:
            if server.process.poll() is None:
                server.process.send_signal(signal.SIGTERM)
            try:
                status = server.process.wait(60)
            except subprocess.TimeoutExpired:
                server.process.kill()
                status = "none within 60 s"
    if status != 0:
        failures.append(f"exit status after SIGTERM: {status}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")
    for name, value in figures.items():
        if name != "load":
            print(f"{name:32} {value}")
    for failure in failures:
        print("FAILED:", failure)
    if failures:
        print(f"the server's log: {log_path}")
    sys.exit(1 if failures else 0)


def soak(server, args, warm_up):
    server.wait_ready()
    before = {"descriptors": server.descriptors(), "threads": server.threads()}
    load = subprocess.Popen(
        [args.program, "bench", "serve", "--url", server.url, "--concurrency", str(args.clients), "--requests", "0",
         "--duration", str(args.seconds), "--input-len", "200", "--output-len", "200", "--vary", "0.95",
         "--shared-prefix", "64", "--temperature", "0.8", "--disconnect-share", "0.05", "--malformed-share", "0.02",
         "--timeout", "600", "--quiet", "--json"],
        stdout=subprocess.PIPE, text=True)
    begin, resident = time.monotonic(), []
    while load.poll() is None:
        if server.process.poll() is not None:
            load.kill()
            return [f"the server died with status {server.process.returncode}"], {}
        elapsed = time.monotonic() - begin
        if elapsed < args.seconds:
            resident.append((elapsed, server.resident_bytes()))
        time.sleep(min(1, args.seconds / 60))
    report = json.loads(load.stdout.read())

    failures = [f"{count} x {kind}" for kind, count in report["errors"].items()]
    for name in ("completed", "disconnected", "refused"):
        if report[name] == 0:
            failures.append(f"no request was {name}: the load did not do its work")
    deadline = time.monotonic() + 30
    held = ("num_requests_running", "num_requests_waiting", "kv_pages_used")
    while time.monotonic() < deadline and any(server.metric(name) for name in held):
        time.sleep(0.2)
    failures += [f"{name} is {server.metric(name)} at the end" for name in held if server.metric(name)]

    settled = [bytes for at, bytes in resident if at >= warm_up]
    growth = max(settled) / settled[0] - 1
    if growth > 0.02 and args.seconds >= 180:
        failures.append(f"resident memory grew by {growth:.1%} after {warm_up:.0f} s (limit 2 %)")
    time.sleep(1)
    after = {"descriptors": server.descriptors(), "threads": server.threads()}
    for name, count in after.items():
        if count > before[name] + 2:
            failures.append(f"{name}: {before[name]} before, {count} after")
    figures = {
        "seconds": round(report["seconds"], 1),
        "clients": args.clients,
        "answers": report["completed"],
        "clients that went away": report["disconnected"],
        "malformed requests refused": report["refused"],
        "output tokens/s": round(report["output_tokens_per_second"], 1),
        "TTFT p50 / p99, ms": f"{report['ttft_ms']['p50']:.0f} / {report['ttft_ms']['p99']:.0f}",
        "TPOT p50 / p99, ms": f"{report['tpot_ms']['p50']:.1f} / {report['tpot_ms']['p99']:.1f}",
        "resident MB after the warm-up": round(settled[0] / 1e6, 1),
        "resident MB at most after it": round(max(settled) / 1e6, 1),
        "descriptors, threads at the end": f"{after['descriptors']}, {after['threads']}",
        "load": report,
    }
    return failures, figures


if __name__ == "__main__":
    main()
