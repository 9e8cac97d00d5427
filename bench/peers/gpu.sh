#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Ours, the peers of bench/peers/torch_llama.py and llama.cpp in one run on one machine: prints a table, leaves the reports in
# OUTPUT_FOLDER.
# Random weights and tokens, greedy, end tokens ignored; nothing is fetched. About 4 minutes on an H200 for an 8B model.
#   bench/peers/gpu.sh CONFIG_FOLDER OUTPUT_FOLDER
# TOKAMAK: our program (default build/release/bin/tokamak). PYTHON: one with torch and transformers (default python3).
# BATCHES, PROMPTS, OUTPUT_LEN: default 1,8,16,64; 128,1024,8000; 32. MAX_PROMPT_TOKENS: batch x prompt above it is left out
# (default 131072). TARGET: default cuda; cpu runs everything there. PEER_FLAGS: more arguments of torch_llama.py.
# LLAMA_BENCH: llama.cpp's llama-bench, which then runs too; LLAMA_BATCHED_BENCH: its llama-batched-bench, for more than one sequence.
# They want a GGUF of the same shapes, which is made in OUTPUT_FOLDER unless it is there (PYTHON needs gguf and numpy), or LLAMA_GGUF.
set -euo pipefail
if [ $# != 2 ] || [ ! -f "$1/config.json" ]; then
  echo "usage: $0 CONFIG_FOLDER OUTPUT_FOLDER   (CONFIG_FOLDER holds a config.json)" >&2
  exit 2
fi
here=$(dirname "$(realpath "$0")")
config=$1 output=$2 target=${TARGET:-cuda}
tokamak=${TOKAMAK:-$here/../../build/release/bin/tokamak} python=${PYTHON:-python3}
batches=${BATCHES:-1,8,16,64} prompts=${PROMPTS:-128,1024,8000} length=${OUTPUT_LEN:-32} limit=${MAX_PROMPT_TOKENS:-131072}
mkdir -p "$output"
rm -f "$output"/ours_*.json "$output"/peers*.jsonl
"$tokamak" build "$config" --output "$output/engine" --target "$target" --dtype bfloat16 --dummy-weights --quiet
for batch in ${batches//,/ }; do
  for prompt in ${prompts//,/ }; do
    [ $((batch * prompt)) -le "$limit" ] || continue
    "$tokamak" bench latency "$output/engine" --target "$target" --batch "$batch" --input-len "$prompt" --output-len "$length" \
      --max-step-tokens 2048 --repeats 2 --json --quiet >"$output/ours_${batch}_$prompt.json" ||
      echo "gpu.sh: batch $batch, prompt $prompt failed, see above" >&2
  done
done
device=$([ "$target" = cpu ] && echo cpu || echo cuda)
"$python" "$here/torch_llama.py" "$config" --output "$output/peers.jsonl" --batches "$batches" --prompts "$prompts" \
  --output-len "$length" --max-prompt-tokens "$limit" --device "$device" ${PEER_FLAGS:-} >/dev/null ||
  echo "gpu.sh: torch_llama.py failed, see above" >&2
if [ -n "${LLAMA_BENCH:-}" ]; then
  gguf=${LLAMA_GGUF:-$output/$(sha256sum <"$config/config.json" | cut -c 1-12).gguf}
  { [ -f "$gguf" ] || { "$python" "$here/make_gguf.py" "$config/config.json" "$gguf.part" --context 131072 && mv "$gguf.part" "$gguf"; }; } &&
    "$python" "$here/llama_cpp.py" "$gguf" --output "$output/peers_llama_cpp.jsonl" --llama-bench "$LLAMA_BENCH" \
      --llama-batched-bench "${LLAMA_BATCHED_BENCH:-}" --batches "$batches" --prompts "$prompts" --output-len "$length" \
      --max-prompt-tokens "$limit" --gpu-layers "$([ "$target" = cpu ] && echo 0 || echo 99)" ||
    echo "gpu.sh: llama.cpp failed, see above" >&2
fi
"$python" "$here/compare.py" "$output"
