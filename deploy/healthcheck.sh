#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Is the server ready? Exit status 0 if /health says so. The image holds no curl, and bash speaks TCP.
#   healthcheck.sh [PORT]          default $TOKAMAK_HEALTH_PORT, else 8000
set -euo pipefail
port=${1:-${TOKAMAK_HEALTH_PORT:-8000}}
exec 3<>"/dev/tcp/127.0.0.1/$port"
printf 'GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
read -r -t 4 _ status _ <&3
[ "$status" = 200 ]
