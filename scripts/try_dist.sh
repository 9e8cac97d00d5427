#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs a packed program where nothing else is: an empty environment, and a root that holds only this machine's glibc, /proc, the
# packed folder and (if it is in the tree) the model that ships.
#   scripts/try_dist.sh FOLDER [PROGRAM]
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1
program=${2:-tokamak}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

mkdir -p "$root"/{lib64,proc,tmp,cache} "$root/lib/x86_64-linux-gnu"
cp -L /lib64/ld-linux-x86-64.so.2 "$root/lib64/"
for library in libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 libresolv.so.2; do
  cp -L "/lib/x86_64-linux-gnu/$library" "$root/lib/x86_64-linux-gnu/"
done
cp -r "$folder" "$root/packed"

# Another root and its /proc take the rights of a namespace. Where they are refused, what the loader resolves is the check.
enter=(unshare --mount --pid --fork "--mount-proc=$root/proc")
if [ "$(id -u)" != 0 ]; then enter+=(--user --map-root-user); fi
if ! "${enter[@]}" true 2>/dev/null; then
  outside=$(env -i ldd "$folder/bin/$program" | grep -v "$(realpath "$folder")/\|linux-vdso\|/ld-linux\|/lib[cm]\.so" || true)
  [ -z "$outside" ] || { echo "try_dist: resolved outside the folder: $outside" >&2; exit 1; }
  env -i "$folder/bin/$program" --help >/dev/null
  echo "try_dist: no right to change the root here; the loader resolves everything inside the folder, $program --help runs"
  exit 0
fi
chrooted() { "${enter[@]}" env -i TOKAMAK_CACHE_DIR=/cache HOME=/tmp "$(command -v chroot)" "$root" "$@"; }

chrooted "/packed/bin/$program" --help >/dev/null
echo "try_dist: $program --help runs in an empty root"
[ "$program" = tokamak ] || exit 0
chrooted /packed/bin/tokamak --version
if [ -f models/storyteller/config.json ]; then
  cp -r models/storyteller "$root/model"
  chrooted /packed/bin/tokamak run /model --prompt "Once upon a time" --max-tokens 8
  echo
  echo "try_dist: the model that ships runs in an empty root"
fi
