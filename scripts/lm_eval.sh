#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A multiple-choice task of lm-evaluation-harness against `tokamak serve` and against transformers: both must choose alike
# (tests/http/lm_eval). Makes the virtual environment build/lm_eval_venv on first use, some gigabytes with torch.
#   scripts/lm_eval.sh [PROGRAM [MODEL [--no-reference]]]     default build/release/bin/tokamak models/storyteller
# LM_EVAL_PYTHON is a Python that has the packages of tests/http/lm_eval/requirements.txt already.
set -euo pipefail
cd "$(dirname "$0")/.."
program=${1:-build/release/bin/tokamak}
model=${2:-models/storyteller}
shift $(($# < 2 ? $# : 2))
venv=build/lm_eval_venv
requirements=tests/http/lm_eval/requirements.txt

if [ -z "${LM_EVAL_PYTHON:-}" ]; then
  LM_EVAL_PYTHON=$venv/bin/python
  if ! cmp -s $requirements $venv/made_from; then
    rm -rf $venv
    python3 -m venv $venv
    $venv/bin/pip install --quiet --disable-pip-version-check -r $requirements
    cp $requirements $venv/made_from
  fi
fi
exec "$LM_EVAL_PYTHON" tests/http/lm_eval/lm_eval_scores.py "$program" "$model" "$@"
