#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Drives `tokamak serve models/storyteller` with the clients that people use (tests/http/clients_test.py), from a virtual
# environment in build/http_venv that is made on first use. Exits 77, which CTest counts as skipped, if that cannot be made.
#   scripts/http_clients.sh PROGRAM
set -euo pipefail
cd "$(dirname "$0")/.."
program=$1
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
exec $venv/bin/python tests/http/clients_test.py "$program" models/storyteller
