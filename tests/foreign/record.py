# SPDX-License-Identifier: Apache-2.0
"""Plugin of pytest: one JSON line a test into $FOREIGN_OUTCOMES, {"test", "outcome", "why"}; `run.py` judges them."""
import json
import os
import socket

real_getaddrinfo = socket.getaddrinfo


def getaddrinfo(host, *rest, **kwargs):
    """Nothing is fetched: only this machine has a name."""
    if host is None or host in ("localhost", "::1", "0.0.0.0") or str(host).startswith("127."):
        return real_getaddrinfo(host, *rest, **kwargs)
    raise OSError(f"would fetch from {host}")


socket.getaddrinfo = getaddrinfo


def write(test, outcome, why=""):
    with open(os.environ["FOREIGN_OUTCOMES"], "a", encoding="utf-8") as file:
        file.write(json.dumps({"test": test, "outcome": outcome, "why": why}) + "\n")


def last_line(report):
    """What went wrong, in a line: the message where it was raised."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else str(report.longrepr)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[0] if crash else lines[-1])[:300] if lines else ""


def pytest_collectreport(report):
    if report.failed:
        write(report.nodeid, "failed", last_line(report))


def pytest_runtest_logreport(report):
    if report.when == "call" or (report.when == "setup" and not report.passed):
        why = last_line(report) if report.failed else ""
        write(report.nodeid, report.outcome, why)
