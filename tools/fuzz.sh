#!/usr/bin/env bash
# make fuzz: builds the libFuzzer targets and runs each for FUZZ_SECONDS (default 30).
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-30}
mkdir -p build
cmake --preset fuzz > build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
mapfile -t targets < <(cd tests/fuzz && ls -- *_fuzz.cc | sed 's/\.cc$//')
cmake --build build/fuzz -j"$(nproc)" --target "${targets[@]}"
passed=0
failed=0
for target in "${targets[@]}"; do
  corpus=build/fuzz/corpus/$target
  mkdir -p "$corpus"
  seeds=()
  [ -d "tests/fuzz/corpus/$target" ] && seeds=("tests/fuzz/corpus/$target")
  echo "fuzz: $target for ${seconds}s"
  if "build/fuzz/fuzz/$target" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 \
      -artifact_prefix="build/fuzz/$target-" -print_final_stats=1 "$corpus" "${seeds[@]}" > "build/fuzz/$target.log" 2>&1; then
    grep -E 'number_of_executed_units|peak_rss' "build/fuzz/$target.log" | sed 's/^stat::/  /'
    passed=$((passed + 1))
  else
    tail -n 40 "build/fuzz/$target.log"
    failed=$((failed + 1))
  fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
