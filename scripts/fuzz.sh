#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the fuzz targets and runs each for FUZZ_SECONDS (30), starting from tests/fuzz/corpus/<name>; one line a target.
# A crash, a leak, a timeout or more than 2 GB fails, and its input stays in build/fuzz/crashes/. The targets are part of the
# asan-ubsan preset, so that CI compiles the modules once for both.
#   scripts/fuzz.sh [TARGET…]          e.g. scripts/fuzz.sh safetensors_fuzz
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-30}
max_len=${FUZZ_MAX_LEN:-16384}

if ! command -v clang++ >/dev/null; then
  echo "fuzz: clang++ is missing" >&2
  echo "hint: scripts/install_deps.sh build sanitizers" >&2
  exit 1
fi
if [ ! -f tests/fuzz/CMakeLists.txt ]; then
  echo "fuzz: no fuzz targets in the tree yet (tests/fuzz/CMakeLists.txt)"
  exit 0
fi
bin=build/asan-ubsan/bin
scripts/build.sh asan-ubsan tests/fuzz/all

if [ $# = 0 ]; then
  shopt -s nullglob
  for program in $bin/*_fuzz; do set -- "$@" "$(basename "$program")"; done
fi
if [ $# = 0 ]; then
  echo "fuzz: $bin holds no *_fuzz program" >&2
  exit 1
fi

# One target for its time; prints its line, and the tail of its log if it failed.
fuzz_one() {
  local target=$1 name=${1%_fuzz}
  local work=build/fuzz/corpus/$name log=build/fuzz/logs/$name.log seeds=tests/fuzz/corpus/$name
  mkdir -p "$work" build/fuzz/logs build/fuzz/crashes
  local dictionary=()
  [ -f "tests/fuzz/$name.dict" ] && dictionary=(-dict="tests/fuzz/$name.dict")
  [ -d "$seeds" ] || seeds=
  local status=0
  "$bin/$target" -max_total_time="$seconds" -max_len="$max_len" -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 \
    -artifact_prefix="build/fuzz/crashes/$name-" "${dictionary[@]}" "$work" $seeds >"$log" 2>&1 || status=$?
  local runs coverage
  runs=$(sed -n 's/^stat::number_of_executed_units: //p' "$log")
  coverage=$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$log" | tail -1)
  if [ $status = 0 ]; then
    printf '%-28s ok      %9s runs  coverage %6s  %4s seeds\n' "$target" "${runs:-0}" "${coverage:-?}" \
      "$(find ${seeds:-/dev/null} -type f | wc -l)"
  else
    printf '%-28s FAILED  exit %s; input in build/fuzz/crashes/, log %s\n' "$target" "$status" "$log"
    tail -40 "$log"
  fi
  return $status
}

export -f fuzz_one
export seconds max_len bin
printf '%s\n' "$@" | xargs -n 1 -P "${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}" bash -c 'set -euo pipefail; fuzz_one "$0"'
