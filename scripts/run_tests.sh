#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs the tests of a built preset in parallel, shows the output of what fails, and names what was skipped.
#   scripts/run_tests.sh PRESET [ctest arguments…]
# TOKAMAK_TEST_DATA is the folder of shared checkpoints and goldens (default ../shared); without it their tests are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
shift
build=build/$preset
data=${TOKAMAK_TEST_DATA:-../shared}
if [ -d "$data/goldens" ]; then
  TOKAMAK_TEST_DATA=$(cd "$data" && pwd)
  export TOKAMAK_TEST_DATA
else
  unset TOKAMAK_TEST_DATA
  echo "WARNING: no test data at $data/goldens: the tests that need checkpoints and goldens will be SKIPPED"
  echo "hint: set TOKAMAK_TEST_DATA to the folder that holds goldens/ and assets/"
fi

export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1:strict_string_checks=1:allocator_may_return_null=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1}
run=()
select=()
case $preset in
  tsan)
    # ThreadSanitizer needs its shadow where address randomisation may have put something else.
    if setarch "$(uname -m)" -R true 2>/dev/null; then run=(setarch "$(uname -m)" -R); fi
    select=(-LE slow) ;;
  asan-ubsan)
    # A third of each kernel's shapes: the release preset computes with all of them.
    export TOKAMAK_CONFORMANCE_SHARD=${TOKAMAK_CONFORMANCE_SHARD:-0/3}
    select=(-LE slow) ;;
esac

# The first failure must not hide the list of skips below.
status=0
"${run[@]}" ctest --test-dir "$build" --parallel "${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}" --output-on-failure \
  --no-tests=error --timeout 900 "${select[@]}" "$@" || status=$?

log=$build/Testing/Temporary/LastTest.log
skipped=$(sed -n 's/^\[  SKIPPED \] \([A-Za-z0-9_./]*\)$/\1/p' "$log" | sort -u)
if [ -n "$skipped" ]; then
  echo "SKIPPED $(wc -l <<<"$skipped") tests:"
  sed 's/^/  /' <<<"$skipped"
fi
ran=$(grep -c '^\[       OK \]' "$log" || true)
echo "$preset: $ran cases passed"
exit $status
