#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# clang-format, the layer check and clang-tidy. `fix` formats in place; `format` skips clang-tidy; `changed` runs it on the
# sources that differ from origin/main, `all` on every source. Needs a configured build/lint, the preset without
# precompiled headers: so each file also proves its own includes.
#   scripts/lint.sh fix|format|changed|all
set -euo pipefail
cd "$(dirname "$0")/.."
mode=$1
jobs=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}
mapfile -t sources < <(find tokamak tests bench python -type f \
  \( -name '*.h' -o -name '*.cpp' -o -name '*.cuh' -o -name '*.cu' \) 2>/dev/null | sort)

if [ "$mode" = fix ]; then
  clang-format -i "${sources[@]}"
  exit 0
fi
status=0
clang-format --dry-run -Werror "${sources[@]}" || { status=1; echo "hint: make fmt"; }
python3 tools/check_layers.py || status=1
[ "$mode" = format ] && exit $status

tidy=()
for source in "${sources[@]}"; do
  [[ $source == *.cpp && $source != *_fuzz.cpp ]] && tidy+=("$source")
done
if [ "$mode" = changed ]; then
  base=$(git merge-base HEAD origin/main 2>/dev/null || git rev-parse HEAD)
  mapfile -t changed < <({ git diff --name-only "$base"; git ls-files --others --exclude-standard; } | sort -u)
  mapfile -t tidy < <(comm -12 <(printf '%s\n' "${tidy[@]}" | sort) <(printf '%s\n' "${changed[@]}"))
fi
echo "clang-tidy: ${#tidy[@]} files"
# The database holds GCC's flags; clang need not know all of them.
printf '%s\0' "${tidy[@]}" | xargs -0 -r -n 1 -P "$jobs" clang-tidy -p build/lint --quiet \
  --extra-arg=-Wno-unknown-warning-option 2> >(grep -v 'warnings generated\|warnings treated\|Suppressed\|Use -header-filter' >&2 || true) || status=1
exit $status
