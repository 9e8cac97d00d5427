#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Our figures beside the peers' of one run, as a table of Markdown.

    python3 bench/peers/compare.py FOLDER     (as bench/peers/gpu.sh fills it: ours_*.json, peers*.jsonl)
"""

import json
import pathlib
import sys

OURS = "tokamak"


def read(folder):
    """`{(batch, input_len): {who: report}}`"""
    reports = [json.loads(path.read_text()) | {"peer": OURS} for path in sorted(folder.glob("ours_*.json")) if path.stat().st_size]
    for peers in sorted(folder.glob("peers*.jsonl")):
        reports += [json.loads(line) for line in peers.read_text().splitlines()]
    cases = {}
    for report in reports:
        cases.setdefault((report["batch"], report["input_len"]), {})[report["peer"]] = report
    return cases


def cell(report):
    if report is None:
        return "none"
    if "skipped" in report:
        return "left out"
    return f"{report['ttft_ms']:.1f} / {report['tpot_ms']:.2f} / {report['decode_tokens_per_second']:.0f}"


def ratio(ours, others):
    """Of our decode speed to the best peer's."""
    speeds = [report["decode_tokens_per_second"] for report in others if report and "skipped" not in report]
    if ours is None or not speeds:
        return ""
    return f"{ours['decode_tokens_per_second'] / max(speeds):.2f}"


def table(cases):
    names = [OURS] + sorted({name for case in cases.values() for name in case} - {OURS})
    lines = ["TTFT, ms / TPOT, ms / tokens/s of decoding", ""]
    lines.append("| batch, prompt | " + " | ".join(names) + " | ours : best peer |")
    lines.append("|---" * (len(names) + 2) + "|")
    for (batch, prompt), case in sorted(cases.items()):
        cells = [cell(case.get(name)) for name in names]
        best = ratio(case.get(OURS), [case.get(name) for name in names[1:]])
        lines.append(f"| {batch}, {prompt} | " + " | ".join(cells) + f" | {best} |")
    skipped = sorted({f"{c[0]} x {c[1]}, {r['peer']}: {r['skipped']}" for c, case in cases.items() for r in case.values() if "skipped" in r})
    return "\n".join(lines + [""] * bool(skipped) + [f"- left out: {line}" for line in skipped])


if __name__ == "__main__":
    if len(sys.argv) != 2 or not pathlib.Path(sys.argv[1]).is_dir():
        sys.exit(__doc__)
    print(table(read(pathlib.Path(sys.argv[1]))))
