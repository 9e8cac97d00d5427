#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Drives `tokamak serve models/storyteller` with the clients that people use (tests/http/clients_test.py), with what its own
# description of the API allows (tests/http/schema_test.py), and its page with headless Chromium (tests/http/page_test.py, screenshot in build/page.png), from a virtual environment in build/http_venv that is
# made on first use. Exits 77, which CTest counts as skipped, if that cannot be made; without Chromium (Debian's package chromium)
# the page alone is skipped, and that is said in the form in which GoogleTest says it, which run_tests.sh collects.
#   scripts/http_clients.sh PROGRAM
set -euo pipefail
cd "$(dirname "$0")/.."
program=$1
model=models/storyteller
venv=build/http_venv
requirements=tests/http/requirements.txt

if ! cmp -s $requirements $venv/made_from; then
  rm -rf $venv
  if ! { python3 -m venv $venv && $venv/bin/pip install --quiet --disable-pip-version-check -r $requirements; }; then
    echo "SKIPPED: http_clients: the packages of $requirements cannot be installed here" >&2
    exit 77
  fi
  cp $requirements $venv/made_from
fi

$venv/bin/python tests/http/clients_test.py "$program" $model
$venv/bin/python tests/http/schema_test.py "$program" $model

chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -n "$chromium" ]; then
  $venv/bin/python tests/http/page_test.py "$program" $model --chromium "$chromium"
else
  echo "page_test: no Chromium on the PATH" >&2
  echo "hint: apt-get install --no-install-recommends chromium" >&2
  echo "[  SKIPPED ] http_clients.page"
fi
