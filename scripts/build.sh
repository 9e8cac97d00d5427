#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Configures a preset once and builds it. A target that does not exist in the tree yet is an error that says so.
#   scripts/build.sh PRESET [TARGET… | --configure-only]
set -eu
cd "$(dirname "$0")/.."
preset=$1
shift
if [ ! -f "build/$preset/build.ninja" ]; then
  cmake --preset "$preset"
fi
case ${1:-} in
  --configure-only) exit 0 ;;
  "") exec cmake --build "build/$preset" ;;
  *) exec cmake --build "build/$preset" --target "$@" ;;
esac
