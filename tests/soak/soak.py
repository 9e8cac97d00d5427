#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Serves a model to many clients at once, some of which go away or send rubbish, and checks what must hold:

- no error that was not asked for;
- memory flat: what it never fell below in the last third of the time is at most 1 % more than in the third before (the KV
  pool is small enough to be touched as a whole in the first, in which every client must have had an answer); the file
  descriptors and threads of the start at the end;
- every request ended and every KV page returned;
- hostile clients cost at most 512 MB;
- a few good clients beside hostile ones (abuse.py) get all their answers, and the 99th percentile of the gaps between their
  tokens is at most four times that of the same clients alone, and 100 ms;
- a clean exit on SIGTERM.

    python3 tests/soak/soak.py [--seconds 600] [--abuse-seconds 60] [--clients 1000] [--model models/storyteller] [--json FILE]

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

from abuse import Abuse

GOOD_CLIENTS = 8  # Beside the hostile ones.
KV_TOKENS = 65536
ABUSE_BYTES = 512 << 20  # Four hostile clients with bodies of up to 8 MB each may cost so much.

def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, program, model, clients, log):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [program, "serve", model, "--port", str(self.port), "--max-queue", str(2 * clients),
                   "--kv-tokens", str(KV_TOKENS), "--quiet"]
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
    parser.add_argument("--abuse-seconds", type=float, help="seconds of abuse, and of calm before; default: a tenth of the time, "
                        "20 at least")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures here")
    args = parser.parse_args()
    args.abuse_seconds = args.abuse_seconds or max(20, args.seconds / 10)

    log_path = pathlib.Path("build/soak_server.log")
    log_path.parent.mkdir(exist_ok=True)
    with open(log_path, "w") as log:
        server = Server(args.program, args.model, args.clients, log)
        try:
            failures, figures = soak(server, args)
            if server.process.poll() is None:
                more_failures, more_figures = abuse(server, args)
                failures += more_failures
                figures |= more_figures
                failures += held_at_the_end(server)
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


def start_load(server, args, clients, seconds, *options):
    return subprocess.Popen(
        [args.program, "bench", "serve", "--url", server.url, "--concurrency", str(clients), "--requests", "0",
         "--duration", str(seconds), "--words", "--input-len", "200", "--output-len", "200", "--vary", "0.95", "--shared-prefix", "64",
         "--temperature", "0.8", "--timeout", "600", "--quiet", "--json", *options],
        stdout=subprocess.PIPE, text=True)


def held_at_the_end(server):
    """What the server still holds when nobody asks for anything any more."""
    deadline = time.monotonic() + 30
    held = ("num_requests_running", "num_requests_waiting", "kv_pages_used")
    while time.monotonic() < deadline and any(server.metric(name) for name in held):
        time.sleep(0.2)
    return [f"{name} is {server.metric(name)} at the end" for name in held if server.metric(name)]


def soak(server, args):
    server.wait_ready()
    before = {"descriptors": server.descriptors(), "threads": server.threads()}
    load = start_load(server, args, args.clients, args.seconds, "--disconnect-share", "0.05", "--malformed-share", "0.02")
    begin, resident, warm = time.monotonic(), [], None
    while load.poll() is None:
        if server.process.poll() is not None:
            load.kill()
            return [f"the server died with status {server.process.returncode}"], {}
        elapsed = time.monotonic() - begin
        if elapsed < args.seconds:
            resident.append((elapsed, server.resident_bytes()))
        if warm is None and elapsed >= args.seconds / 3:
            warm = server.metric("request_success_total")
        time.sleep(min(0.5, args.seconds / 60))
    report = json.loads(load.stdout.read())

    failures = [f"{count} x {kind}" for kind, count in report["errors"].items()]
    for name in ("completed", "disconnected", "refused"):
        if report[name] == 0:
            failures.append(f"no request was {name}: the load did not do its work")
    failures += held_at_the_end(server)

    floors = [min(bytes for at, bytes in resident if args.seconds * part / 3 <= at <= args.seconds * (part + 1) / 3)
              for part in (1, 2)]
    if warm < args.clients:
        failures.append(f"memory cannot be judged: a third of {args.seconds:.0f} s gave {warm:.0f} answers to {args.clients} "
                        "clients; more --seconds or fewer --clients are needed")
    growth = floors[1] / floors[0] - 1
    if growth > 0.01:
        failures.append(f"resident memory grew by {growth:.1%} from the second third of the time to the last (limit 1 %)")
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
        "resident MB, second third / last": f"{floors[0] / 1e6:.1f} / {floors[1] / 1e6:.1f}",
        "descriptors, threads at the end": f"{after['descriptors']}, {after['threads']}",
        "load": report,
    }
    return failures, figures


def abuse(server, args):
    """The same good clients in a calm and beside hostile ones."""
    calm = json.loads(start_load(server, args, GOOD_CLIENTS, args.abuse_seconds).communicate()[0])
    before = server.resident_bytes()
    with Abuse(server.port) as hostile:
        load = start_load(server, args, GOOD_CLIENTS, args.abuse_seconds)
        most = before
        while load.poll() is None:
            most = max(most, server.resident_bytes())
            time.sleep(0.1)
        beside = json.loads(load.stdout.read())
    failures = hostile.faults + [f"beside abuse: {count} x {kind}" for kind, count in beside["errors"].items()]
    idle = [name for name, count in hostile.counts.items() if count == 0]
    if idle:
        failures.append(f"attacks that were not played: {', '.join(idle)}")
    gaps = [report["itl_ms"]["p99"] for report in (calm, beside)]
    limit = 4 * gaps[0] + 100
    if gaps[1] > limit:
        failures.append(f"99 % of the gaps between tokens are below {gaps[0]:.1f} ms alone, {gaps[1]:.1f} ms beside hostile "
                        f"clients (limit {limit:.1f})")
    if most - before > ABUSE_BYTES:
        failures.append(f"resident memory rose by {(most - before) / 1e6:.0f} MB beside hostile clients (limit {ABUSE_BYTES / 1e6:.0f})")
    figures = {
        "attacks": sum(hostile.counts.values()),
        "answers alone / beside them": f"{calm['completed']} / {beside['completed']}",
        "ITL p99, ms": f"{gaps[0]:.1f} / {gaps[1]:.1f}",
        "resident MB before / at most": f"{before / 1e6:.1f} / {most / 1e6:.1f}",
    }
    return failures, figures


if __name__ == "__main__":
    main()
