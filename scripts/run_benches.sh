#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs every micro-benchmark program of a folder; results also as build/bench/results/<program>.json.
#   scripts/run_benches.sh BIN_FOLDER [Google Benchmark arguments…]
set -eu
cd "$(dirname "$0")/.."
folder=$1
shift
found=0
mkdir -p build/bench/results
for program in "$folder"/*_bench; do
  [ -x "$program" ] || continue
  found=1
  "$program" --benchmark_out="build/bench/results/$(basename "$program").json" --benchmark_out_format=json "$@"
done
if [ $found = 0 ]; then
  echo "run_benches: no *_bench program in $folder: no module has a benchmark yet"
fi
