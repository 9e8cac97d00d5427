#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Gets NVRTC, the compiler of the cuda target's kernels, from PyPI into a virtual environment, so that a machine without a GPU
# can compile all kernels. Prints the library's path:
#   export TOKAMAK_NVRTC=$(scripts/install_nvrtc.sh)      FOLDER: where, default build/nvrtc
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(realpath -m "${1:-build/nvrtc}")
if [ ! -x "$folder/bin/python" ]; then
  python3 -m venv "$folder" >&2
fi
"$folder/bin/pip" install --quiet --disable-pip-version-check 'nvidia-cuda-nvrtc>=13.0,<14' >&2
library=$(find "$folder" -name 'libnvrtc.so.1[23]' | sort | tail -1)
if [ -z "$library" ]; then
  echo "install_nvrtc: the package holds no libnvrtc.so" >&2
  exit 1
fi
echo "$library"
