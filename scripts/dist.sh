#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Packs a program of the release preset with the shared libraries it needs (all but glibc), checks the folder and tries it in an
# empty root. The program finds lib/ through its own $ORIGIN/../lib, and the libraries find each other through the program's.
#   scripts/dist.sh [PROGRAM]          default build/release/bin/tokamak
set -euo pipefail
cd "$(dirname "$0")/.."
program=${1:-build/release/bin/tokamak}
build=$(dirname "$(dirname "$program")")
max_glibc=2.36
max_megabytes=60
glibc='^(linux-vdso\.so|ld-linux-x86-64\.so|lib(c|m|dl|rt|pthread|resolv|util|anl)\.so)'

version=$(sed -n 's/^CMAKE_PROJECT_VERSION:STATIC=//p' "$build/CMakeCache.txt")
name=tokamak-$version-linux-x86_64
folder=dist/$name
rm -rf "$folder"
mkdir -p "$folder/bin" "$folder/lib" "$folder/licences"

install -m 755 "$program" "$folder/bin/"
while read -r library arrow path _; do
  [[ $library =~ $glibc || $library =~ ^/ ]] && continue
  if [[ $arrow != '=>' || ! -f $path ]]; then
    echo "dist: $program needs $library, which is not on this machine" >&2
    exit 1
  fi
  install -m 644 "$(readlink -f "$path")" "$folder/lib/$library"
  libraries+=("$(readlink -f "$path")")
done < <(ldd "$program")
strip --strip-unneeded "$folder"/bin/* "$folder"/lib/*

# Terms: of the libraries copied, of the archives linked in, and of the libraries that are headers only.
mapfile -t archives < <(ninja -C "$build" -t commands "bin/$(basename "$program")" | tail -1 | grep -o '/usr/lib/[^ ]*\.a' | sort -u)
headers=(/usr/include/nlohmann/json.hpp /usr/include/CLI/CLI.hpp /usr/include/fmt/format.h /usr/include/hwy/highway.h
  /usr/include/boost/version.hpp)
for file in "${libraries[@]}" "${archives[@]}" "${headers[@]}"; do
  owner=$(dpkg-query -S "$file" 2>/dev/null || dpkg-query -S "${file/#\/usr\/lib/\/lib}" 2>/dev/null) || {
    echo "dist: no package owns $file, so its terms are unknown" >&2
    exit 1
  }
  package=${owner%%:*}
  cp -L "/usr/share/doc/$package/copyright" "$folder/licences/$package.txt"
done
cp LICENSE "$folder/"
cp deploy/dist/README.md "$folder/"

for file in "$folder"/bin/* "$folder"/lib/*; do
  newest=$(objdump -T "$file" | sed -n 's/.*(\?GLIBC_\([0-9][0-9.]*\).*/\1/p' | sort -V | tail -1)
  if [ "$(printf '%s\n' "$newest" $max_glibc | sort -V | tail -1)" != $max_glibc ]; then
    echo "dist: $file asks for GLIBC_$newest, the limit is $max_glibc" >&2
    exit 1
  fi
done
megabytes=$(($(du -s --apparent-size --block-size=1 "$folder" | cut -f1) / 1000000))
if [ $megabytes -ge $max_megabytes ]; then
  echo "dist: $folder has $megabytes MB, the limit is $max_megabytes MB" >&2
  exit 1
fi

scripts/try_dist.sh "$folder" "$(basename "$program")"
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-0}" -C dist -czf "dist/$name.tar.gz" "$name"
echo "dist/$name.tar.gz: $(($(stat -c %s "dist/$name.tar.gz") / 1000000)) MB packed, $megabytes MB unpacked, glibc <= $max_glibc," \
  "$(ls "$folder/lib" | wc -l) libraries beside the program"
