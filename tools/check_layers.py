#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the sources against the layers of docs/architecture.md and a few static rules.

The table in docs/architecture.md is the law. Checked against it: the module graph of CMakeLists.txt and every
#include under tokamak/ and python/src. Code under tests/ and bench/ spans modules and may include any of them.
Prints `file:line: rule` for each violation and exits 1 if there is one; warnings do not fail.
"""

import argparse
import pathlib
import re
import sys
from typing import NamedTuple

SOURCE_SUFFIXES = {".h", ".cpp", ".cuh", ".cu"}
HEADER_SUFFIXES = {".h", ".cuh"}
SPDX_SUFFIXES = SOURCE_SUFFIXES | {".py", ".sh", ".cmake"}
FOLDERS = ["tokamak", "python/src", "tests", "bench", "tools", "scripts", "cmake"]
CUDA_FOLDERS = ("tokamak/device/cuda/", "tokamak/kernels/cuda/")
MAX_LINES = 600

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
CUDA_HEADER = re.compile(
    r"^(cuda(_\w+)?\.h(pp)?|cuda\w*_api\.h|driver_types\.h|nvrtc\.h|cublas\w*\.h|cudnn\w*\.h|nccl\w*\.h|nvml\.h|mma\.h"
    r"|vector_types\.h|device_launch_parameters\.h|cooperative_groups(\.h|/.*)|(cuda|cub|thrust|cute|cutlass|nv)/.*)$")
BANNED = [
    (re.compile(r"\b(__builtin_)?alloca\s*\("), "alloca: the size of a stack frame must not depend on input"),
    (re.compile(r"\bstd::w?(regex|smatch|cmatch)\b|#\s*include\s*<regex>"),
     "std::regex recurses without bound; use PCRE2 (tokamak/text/regex.h)"),
]
VAGUE_NAME = re.compile(r"(^|_)(utils?|helpers?|common|manager|misc|v[0-9]|new)(_|$)")


class Finding(NamedTuple):
    path: str
    line: int
    rule: str
    fatal: bool = True

    def __str__(self):
        return f"{self.path}:{self.line}: {'' if self.fatal else 'warning: '}{self.rule}"


class Module(NamedTuple):
    layer: int
    direct: tuple
    allowed: frozenset  # everything it may include, itself too


def parse_table(text):
    """`{module: Module}` from the fenced block after the `layers:` marker of docs/architecture.md."""
    block = re.search(r"<!-- layers:.*?-->\s*```\n(.*?)```", text, re.S)
    if not block:
        raise ValueError("docs/architecture.md has no layer table")
    direct, layers = {}, {}
    for row in block.group(1).strip().splitlines():
        number, rest = row.split(None, 1)
        for name, brackets in re.findall(r"(\w+)(?:\s*\(([^)]*)\))?", rest):
            direct[name], layers[name] = tuple((brackets or "").split()), int(number)
    allowed = {}

    def closure(name):
        if name not in allowed:
            if name not in direct:
                raise ValueError(f"docs/architecture.md: the layer table names no module '{name}'")
            allowed[name] = frozenset({name}.union(*(closure(below) for below in direct[name])))
        return allowed[name]

    for name, below in direct.items():
        for other in below:
            if layers.get(other, -1) >= layers[name]:
                raise ValueError(f"docs/architecture.md: {name} (layer {layers[name]}) may not rest on {other}")
    return {name: Module(layers[name], direct[name], closure(name)) for name in direct}


def without_comments(text):
    """The text with comments and the inside of string literals blanked; line breaks stay."""
    pattern = r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\''

    def blank(match):
        token = match.group(0)
        if token.startswith('"'):
            before = text[text.rfind("\n", 0, match.start()) + 1:match.start()]
            if re.match(r"\s*#\s*include\s*$", before):
                return token
        # 1'000'000 is a number, not a character.
        if token.startswith("'") and text[match.start() - 1].isalnum():
            return token
        return re.sub(r"[^\n]", " ", token)

    return re.sub(pattern, blank, text, flags=re.S)


def module_of(path):
    parts = path.split("/")
    if parts[0] == "tokamak" and len(parts) > 2:
        return parts[1]
    return "python" if path.startswith("python/src/") else None


def check_include(path, line, opening, header, modules):
    if CUDA_HEADER.match(header) and not path.startswith(CUDA_FOLDERS):
        yield Finding(path, line, f"CUDA header {header}: only {' and '.join(CUDA_FOLDERS)} may name it")
    spans_modules = path.startswith(("tests/", "bench/"))
    if not header.startswith("tokamak/"):
        if opening == '"' and not spans_modules and not path.startswith(CUDA_FOLDERS):
            yield Finding(path, line, f'"{header}": our headers are included as "tokamak/<module>/<file>"')
        return
    if opening != '"':
        yield Finding(path, line, f'<{header}>: our headers are included with quotes')
    module, target = module_of(path), module_of(header)
    if module is None or spans_modules:
        return
    if target not in modules:
        yield Finding(path, line, f"{header}: no module '{target}' in docs/architecture.md")
    elif target not in modules[module].allowed:
        names = " ".join(sorted(modules[module].allowed - {module})) or "nothing"
        yield Finding(
            path, line, f"{module} (layer {modules[module].layer}) may not include {target} "
            f"(layer {modules[target].layer}); it may include: {names}")


def check_source(path, text, modules):
    lines = without_comments(text).split("\n")
    module = module_of(path)
    if module is not None and module not in modules:
        yield Finding(path, 1, f"no module '{module}' in docs/architecture.md")
        return
    if VAGUE_NAME.search(pathlib.PurePosixPath(path).stem):
        yield Finding(path, 1, "the file's name says convenience or version; name the concept")
    for number, line in enumerate(lines, 1):
        include = INCLUDE.match(line)
        if include:
            yield from check_include(path, number, include.group(1), include.group(2), modules)
        for pattern, rule in BANNED:
            if pattern.search(line):
                yield Finding(path, number, rule)
    # Highway compiles x-inl.h once for each instruction set, under a toggled guard of its own.
    per_target = path.endswith("-inl.h") and "HWY_TARGET_TOGGLE" in text
    if pathlib.PurePosixPath(path).suffix in HEADER_SUFFIXES and "#pragma once" not in text and not per_target:
        yield Finding(path, 1, "a header without #pragma once")
    if len(lines) > MAX_LINES:
        yield Finding(path, len(lines), f"{len(lines)} lines; a file is about 350, look for a seam", fatal=False)


def check_cmake(text, modules):
    """The MODULES of tokamak_module(…) and tokamak_program(…) must be the brackets of the table."""
    seen = set()
    for match in re.finditer(r"^tokamak_(module|program)\(([^)]*)\)", text, re.M):
        words = match.group(2).split()
        name = words[1] if match.group(1) == "program" else words[0]
        line = text.count("\n", 0, match.start()) + 1
        listed = words[words.index("MODULES") + 1:] if "MODULES" in words else []
        listed = tuple(listed[:listed.index("LINK")] if "LINK" in listed else listed)
        seen.add(name)
        if name not in modules:
            yield Finding("CMakeLists.txt", line, f"no module '{name}' in docs/architecture.md")
        elif set(listed) != set(modules[name].direct):
            yield Finding(
                "CMakeLists.txt", line,
                f"{name} links ({' '.join(listed)}), docs/architecture.md says ({' '.join(modules[name].direct)})")
    for name in modules.keys() - seen - {"python"}:
        yield Finding("CMakeLists.txt", 1, f"module '{name}' of docs/architecture.md is not built")


def source_files(root):
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.is_file() and (path.suffix in SPDX_SUFFIXES or path.name == "CMakeLists.txt"):
                yield path, name


def check_tree(root):
    """All findings of the tree at `root`."""
    try:
        modules = parse_table((root / "docs/architecture.md").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return [Finding("docs/architecture.md", 1, str(error))]
    findings = list(check_cmake((root / "CMakeLists.txt").read_text(encoding="utf-8"), modules))
    for path, name in source_files(root):
        text = path.read_text(encoding="utf-8")
        if "SPDX-License-Identifier: Apache-2.0" not in "\n".join(text.split("\n", 3)[:3]):
            findings.append(Finding(name, 1, "no SPDX-License-Identifier line at the top"))
        if path.suffix in SOURCE_SUFFIXES:
            findings += check_source(name, text, modules)
    return findings


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    findings = check_tree(parser.parse_args().root)
    for finding in findings:
        print(finding)
    fatal = sum(finding.fatal for finding in findings)
    print(f"layers: {fatal} violations, {len(findings) - fatal} warnings")
    return 1 if fatal else 0


if __name__ == "__main__":
    sys.exit(main())
