#!/usr/bin/env bash
# make lint: format, layers, clang-tidy (version 19). Files whose content and includes were checked
# before are skipped by a stamp, so the second run costs seconds.
set -euo pipefail
cd "$(dirname "$0")/../.."
mapfile -t sources < <(git ls-files '*.cc' '*.h')

echo "lint: format of ${#sources[@]} files"
clang-format-19 --dry-run -Werror "${sources[@]}"

echo "lint: layers"
python3 tools/lint/layers.py
python3 tools/lint/layers.py --self-test

echo "lint: clang-tidy"
mkdir -p build
cmake --preset release > build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
cmake --build build/release --target signet_proto -j"$(nproc)" > build/proto.log 2>&1 || { cat build/proto.log; exit 1; }
stamps=build/lint-stamps
mkdir -p "$stamps"
config=$(sha256sum .clang-tidy | cut -d' ' -f1)
headers=$(git ls-files '*.h' '*.proto' | xargs sha256sum | sha256sum | cut -d' ' -f1)
export stamps config headers
check() {
  local file=$1 stamp
  stamp="$stamps/$(printf '%s %s %s %s' "$config" "$headers" "$file" "$(sha256sum < "$file")" | sha256sum | cut -d' ' -f1)"
  [ -e "$stamp" ] && return 0
  if clang-tidy-19 -p build/release --quiet --extra-arg=-Wno-unknown-warning-option "$file" > "$stamp.log" 2>&1; then
    rm -f "$stamp.log"
    touch "$stamp"
  else
    grep -E 'error|warning|note' "$stamp.log" || cat "$stamp.log"
    rm -f "$stamp.log"
    return 1
  fi
}
export -f check
git ls-files '*.cc' | grep -vE '^tests/|^tools/bench/' | xargs -P "$(nproc)" -I{} bash -c 'check {}' \
  || { echo "lint: clang-tidy found the faults above" >&2; exit 1; }
echo "lint: clean"
