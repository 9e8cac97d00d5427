#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The peer of our CPU figures: builds llama-bench from a llama.cpp source folder (Release, this machine's instructions) and runs it.
# Fetches nothing. Prompt processing of 512 and 2048 tokens, decoding of 128 after an empty context and after 2048 tokens.
#   LLAMA_CPP_DIR=~/llama.cpp bench/peers/llama_cpp.sh MODEL.gguf [llama-bench arguments…]
# LLAMA_CPP_BUILD: where to build (default $LLAMA_CPP_DIR/build-peer). THREADS: default 2. REPEATS: default 3. OUTPUT: md, json, jsonl.
set -euo pipefail
if [ $# = 0 ] || [ -z "${LLAMA_CPP_DIR:-}" ]; then
  echo "usage: LLAMA_CPP_DIR=<llama.cpp sources> $0 MODEL.gguf [llama-bench arguments…]" >&2
  echo "hint: bench/peers/make_gguf.py writes a model with random weights from a config.json" >&2
  exit 2
fi
model=$1
shift
build=${LLAMA_CPP_BUILD:-$LLAMA_CPP_DIR/build-peer}
if [ ! -x "$build/bin/llama-bench" ]; then
  cmake -S "$LLAMA_CPP_DIR" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DGGML_OPENMP=ON -DLLAMA_CURL=OFF \
    -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DBUILD_SHARED_LIBS=OFF
  cmake --build "$build" --target llama-bench -j "${JOBS:-$(nproc)}"
fi
bench=("$build/bin/llama-bench" -m "$model" -t "${THREADS:-2}" -r "${REPEATS:-3}" -o "${OUTPUT:-md}" "$@")
"${bench[@]}" -p 512,2048 -n 128
"${bench[@]}" -p 0 -n 128 -d 2048
