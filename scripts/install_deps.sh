#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what the build needs from the distribution (Debian 12). Asks dpkg first: with everything in place it is done in
# a moment and needs no rights. Groups: build (default), lint, sanitizers, page (the browser that tests the page); `all` is
# every group.
#   scripts/install_deps.sh [build|lint|sanitizers|page|all]…
set -eu

build="g++ cmake ninja-build make ccache mold pkg-config python3 python3-venv xz-utils
  libfmt-dev libspdlog-dev nlohmann-json3-dev libcli11-dev libhwy-dev libpcre2-dev libicu-dev libxxhash-dev
  libboost-dev libssl-dev prometheus-cpp-dev
  libgtest-dev libgmock-dev libbenchmark-dev"
lint="clang-format clang-tidy"
sanitizers="clang libclang-rt-14-dev"
page="chromium"

wanted=
for group in "${@:-build}"; do
  case $group in
    build) wanted="$wanted $build" ;;
    lint) wanted="$wanted $lint" ;;
    sanitizers) wanted="$wanted $sanitizers" ;;
    page) wanted="$wanted $page" ;;
    all) wanted="$wanted $build $lint $sanitizers $page" ;;
    *) echo "install_deps: no group '$group' (has build, lint, sanitizers, page, all)" >&2; exit 2 ;;
  esac
done

if [ "${TOKAMAK_SKIP_DEPS:-0}" = 1 ]; then
  exit 0
fi

system=unknown
if [ -r /etc/os-release ]; then
  system=$(. /etc/os-release && echo "${ID:-unknown} ${VERSION_ID:-}")
fi
if [ "$system" != "debian 12" ]; then
  cat >&2 <<TEXT
install_deps: this system is '$system'; packages are installed on Debian 12 only.
hint: install these yourself, then repeat the command with TOKAMAK_SKIP_DEPS=1:
  GCC 12 or later (C++20), CMake 3.25, Ninja, pkg-config, Python 3.9; ccache and mold if you like
  libraries with their headers (versions we build with): fmt 9.1, spdlog 1.10, nlohmann-json 3.11, CLI11 2.1, Highway 1.0.3,
  PCRE2 10.42, ICU 72, xxHash 0.8, Boost 1.74 (Asio, Beast), OpenSSL 3.0,
  prometheus-cpp 1.0, GoogleTest 1.12, Google Benchmark 1.7
  for \`make lint\`: clang-format 14 and clang-tidy 14; for \`make asan fuzz\`: clang 14 with its sanitizer run-time libraries
TEXT
  exit 1
fi

missing=
for package in $wanted; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing="$missing $package"
done
if [ -z "$missing" ]; then
  exit 0
fi

as_root=
if [ "$(id -u)" != 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "install_deps: missing packages, and neither root nor sudo is at hand to install them" >&2
    echo "hint: as root, run: apt-get install --no-install-recommends$missing" >&2
    exit 1
  fi
  as_root="sudo"
fi

echo "install_deps: installing$missing"
apt() {
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -qq "$@"
}
# A fresh machine may have no package lists, an old one stale ones: fetch them only if the first try fails.
# shellcheck disable=SC2086
if ! apt install -y --no-install-recommends $missing >/dev/null 2>&1; then
  apt update
  apt install -y --no-install-recommends $missing >/dev/null
fi
