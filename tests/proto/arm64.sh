#!/usr/bin/env bash
# Whether arm64 makes the bytes that this machine makes: tests/proto/same_bytes.py here, here with generic processor features,
# and in an arm64 Debian under qemu-user. Needs root, Debian's packages and PyPI, 700 MB, and 5 to 20 minutes, nearly all of them
# Numba compiling under emulation. The folder (first argument) is kept and used again.
set -euo pipefail
exec </dev/null
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
folder=${1:?usage: tests/proto/arm64.sh FOLDER}
python=$repository/.venv/bin/python
check=$repository/tests/proto/same_bytes.py
mkdir -p "$folder"
command -v qemu-aarch64-static >/dev/null && command -v debootstrap >/dev/null ||
  { apt-get update -q && apt-get install -y -q qemu-user-static debootstrap; }
if [ ! -e "$folder/debian/usr/bin/python3" ]; then
  # unpacked, never configured: nothing of it is run but its Python
  debootstrap --foreign --arch=arm64 --variant=minbase --include=python3,libstdc++6 bookworm "$folder/debian"
  for package in "$folder"/debian/var/cache/apt/archives/*.deb; do dpkg-deb -x "$package" "$folder/debian"; done
fi
version=$(basename "$(readlink -f "$folder/debian/usr/bin/python3")" | sed "s/python//")
if [ ! -d "$folder/packages" ]; then
  mapfile -t wanted < <("$python" -m pip freeze | grep -iE '^(numpy|numba|llvmlite|protobuf)==')
  "$python" -m pip download -q --no-deps --only-binary=:all: --python-version "$version" --dest "$folder/wheels" \
    --platform manylinux2014_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux_2_28_aarch64 "${wanted[@]}"
  for wheel in "$folder"/wheels/*.whl; do "$python" -m zipfile -e "$wheel" "$folder/packages"; done
fi
here=$("$python" "$check")
printf '%s\n' "$here"
generic=$(NUMBA_CPU_NAME=generic NUMBA_CPU_FEATURES='' "$python" "$check")
printf '%s (generic features)\n' "$generic"
there=$(NUMBA_CACHE_DIR=$folder/cache qemu-aarch64-static -L "$folder/debian" "$folder/debian/usr/bin/python3" "$check" "$folder/packages")
printf '%s\n' "$there"
[ "${here%% *}" = "${generic%% *}" ] && [ "${here%% *}" = "${there%% *}" ] || { echo "arm64.sh: the bytes differ" >&2; exit 1; }
echo "arm64.sh: the same bytes"
