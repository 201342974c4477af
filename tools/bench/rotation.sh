#!/usr/bin/env bash
# Certificates rotate under load: issuer, agent, two proxies and a backend, all real and on loopback. An open loop of
# requests goes client -> frontend's proxy ==mTLS==> backend's proxy -> backend, while both proxies get a new SVID
# with a new key every half second. Exit status 0 only when no request failed and both proxies applied at least the
# asked number of new SVIDs while the load ran.
#
#   tools/bench/rotation.sh [build/release/bin] [rotations] [seconds] [requests a second]
#
# Load: most requests on 64 connections that live 2 s each, 100/s on a connection of their own. A request counts from
# the time it was due; one without an answer within 10 s has failed. Needs Debian's curl and python3.
set -euo pipefail

BIN=$(cd "${1:-build/release/bin}" && pwd)
ROTATIONS=${2:-100}
DURATION=${3:-60}
RATE=${4:-2000}
NEW_RATE=100
INTERVAL_MS=500
TRUST_DOMAIN=rotation.test
STATE=$(mktemp -d "${TMPDIR:-/tmp}/signet-rotation.XXXXXX")
PIDS=()
FAILED=yes

cleanup() {
  local pid
  trap - EXIT INT TERM
  for pid in "${PIDS[@]}"; do kill "$pid" 2> /dev/null || true; done
  for pid in "${PIDS[@]}"; do
    for _ in $(seq 50); do kill -0 "$pid" 2> /dev/null || break; sleep 0.1; done
    kill -9 "$pid" 2> /dev/null || true
  done
  if [ "$FAILED" = yes ]; then echo "state and logs are kept in $STATE"; else rm -rf "$STATE"; fi
}
trap cleanup EXIT
trap 'echo "interrupted"; exit 130' INT TERM

die() { echo "rotation: $*" >&2; exit 1; }
wait_for() { # wait_for SECONDS COMMAND…
  local deadline=$((SECONDS + $1))
  shift
  until "$@" > /dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.05
  done
}
free_ports() { # as many as asked for, all different
  python3 -c 'import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*[each.getsockname()[1] for each in held])' "$1"
}
field() { # field NAME < JSON: one field of the object, or of the first one of a list
  python3 -c 'import json, sys; v = json.load(sys.stdin); v = v[0] if isinstance(v, list) else v; print(v[sys.argv[1]])' "$1"
}
spawn() { # spawn NAME COMMAND…: in the background; sets LAST
  local name=$1
  shift
  "$@" > "$STATE/$name.out" 2> "$STATE/$name.log" &
  LAST=$!
  PIDS+=("$LAST")
}
signet() { "$BIN/signet" --socket "$STATE/server/admin.sock" "$@"; }
metric() { # metric PORT NAME: the sum of the samples whose names begin so
  local text
  text=$(curl -sS --max-time 5 "http://127.0.0.1:$1/metrics") || die "a proxy's metrics are not answered"
  awk -v name="$2" 'index($1, name) == 1 { sum += $2 } END { print sum + 0 }' <<< "$text"
}
applied() { metric "$1" 'signet_proxy_identity_updates_total{result="applied"}'; }

write_configuration() {
  read -r SERVER_PORT IN_PORT OUT_PORT IN_METRICS OUT_METRICS <<< "$(free_ports 5)"
  mkdir -p "$STATE/server" "$STATE/agent"
  cat > "$STATE/server.yaml" << YAML
trust_domain: $TRUST_DOMAIN
data_dir: $STATE/server/data
listen: 127.0.0.1:$SERVER_PORT
admin_socket: $STATE/server/admin.sock
YAML
  cat > "$STATE/agent.yaml" << YAML
trust_domain: $TRUST_DOMAIN
data_dir: $STATE/agent/data
server: 127.0.0.1:$SERVER_PORT
socket: $STATE/agent/api.sock
trust_bundle: $STATE/bundle.pem
join_token_file: $STATE/agent/token
attestors: {unix: {discover_path: true}}
YAML
  cat > "$STATE/backend.yaml" << YAML
workload_api: $STATE/agent/api.sock
metrics: 127.0.0.1:$IN_METRICS
inbound:
  - name: backend
    listen: 127.0.0.1:$IN_PORT
    forward: $BACKEND
    allow: [{id: spiffe://$TRUST_DOMAIN/frontend}]
YAML
  cat > "$STATE/frontend.yaml" << YAML
workload_api: $STATE/agent/api.sock
metrics: 127.0.0.1:$OUT_METRICS
outbound:
  - name: to-backend
    listen: 127.0.0.1:$OUT_PORT
    forward: 127.0.0.1:$IN_PORT
    expect: [{id: spiffe://$TRUST_DOMAIN/backend}]
YAML
}

start_everything() {
  spawn bench_backend "$BIN/bench_backend"
  wait_for 10 test -s "$STATE/bench_backend.out" || die "bench_backend does not listen"
  BACKEND=$(cat "$STATE/bench_backend.out")
  write_configuration
  spawn server "$BIN/signet-server" run --config "$STATE/server.yaml"
  wait_for 15 signet status || die "signet-server does not serve: $(tail -n 5 "$STATE/server.log")"
  signet bundle show --format pem > "$STATE/bundle.pem"
  (umask 077; signet token create > "$STATE/agent/token")
  spawn agent "$BIN/signet-agent" run --config "$STATE/agent.yaml"
  wait_for 15 test -S "$STATE/agent/api.sock" || die "signet-agent does not serve: $(tail -n 5 "$STATE/agent.log")"
  local agent_id who
  agent_id=$(signet agent list -o json | field id)
  for who in frontend backend; do  # told apart by their executables
    cp "$BIN/signet-proxy" "$STATE/$who-proxy"
    signet entry create --spiffe-id "spiffe://$TRUST_DOMAIN/$who" --parent-id "$agent_id" \
      --selector "unix:path:$STATE/$who-proxy" -o json | field id > "$STATE/$who.entry"
    spawn "$who" "$STATE/$who-proxy" run --config "$STATE/$who.yaml"
  done
  wait_for 15 curl -sS --max-time 2 -o /dev/null "http://127.0.0.1:$OUT_PORT/" || die "no answer through the proxies"
}

now_ms() { echo $(($(date +%s%N) / 1000000)); }
# Both entries change, so both proxies get a new SVID, until the load ends; sets SEEN_IN and SEEN_OUT to what each
# proxy had applied when the load was last seen running.
rotate_under_load() {
  local in_before out_before who i=0 due left
  in_before=$(applied "$IN_METRICS"); out_before=$(applied "$OUT_METRICS")
  SEEN_IN=0; SEEN_OUT=0
  due=$(now_ms)
  while kill -0 "$KEEP" 2> /dev/null && kill -0 "$NEW" 2> /dev/null; do
    SEEN_IN=$(($(applied "$IN_METRICS") - in_before)); SEEN_OUT=$(($(applied "$OUT_METRICS") - out_before))
    i=$((i + 1))
    for who in frontend backend; do
      signet entry update --id "$(cat "$STATE/$who.entry")" --hint "$i" > /dev/null
    done
    due=$((due + INTERVAL_MS))
    left=$((due - $(now_ms)))
    [ "$left" -le 0 ] || sleep "$(printf '%d.%03d' $((left / 1000)) $((left % 1000)))"
  done
  CHANGES=$i
}

start_everything
echo "$RATE requests/s for $DURATION s through two proxies, a new SVID at both every $INTERVAL_MS ms"
LOAD=("$BIN/bench_load" --target "127.0.0.1:$OUT_PORT" --warmup 0 --seconds "$DURATION" --json)
spawn keep "${LOAD[@]}" --connections 64 --renew 2 --rate $((RATE - NEW_RATE))
KEEP=$LAST
spawn new "${LOAD[@]}" --connections 32 --mode new --rate "$NEW_RATE"
NEW=$LAST
rotate_under_load
wait "$KEEP" || die "bench_load: $(cat "$STATE/keep.log")"
wait "$NEW" || die "bench_load: $(cat "$STATE/new.log")"
HANDSHAKES=$(metric "$IN_METRICS" 'signet_proxy_handshakes_total')

python3 - "$STATE" "$SEEN_OUT" "$SEEN_IN" "$HANDSHAKES" "$CHANGES" "$ROTATIONS" "$DURATION" "$RATE" << 'PY' && FAILED=no
import json, sys
state, seen_out, seen_in, handshakes, changes, wanted, seconds, rate = sys.argv[1], *map(int, sys.argv[2:])
runs = {what: json.load(open(f"{state}/{name}.out"))
        for name, what in (("keep", "kept connections"), ("new", "new connections"))}
answered = sum(run["operations"] for run in runs.values())
failed = sum(run["failures"] for run in runs.values())
print(f"rotations     frontend's proxy {seen_out}, backend's proxy {seen_in} (new SVIDs applied while the load ran; {changes} changes of each entry)")
print(f"handshakes    {handshakes} over mutual TLS at the backend's proxy")
print(f"answered      {answered} of {answered + failed} requests that fell due")
print(f"failed        {failed}", *[run["reasons"] for run in runs.values() if run["reasons"]])
for what, run in runs.items():
    print(f"latency       {what:16}: p50 {run['p50_us'] / 1000:.2f} ms, p99 {run['p99_us'] / 1000:.2f} ms, max {run['max_us'] / 1000:.2f} ms")
problems = []
if failed: problems.append(f"{failed} requests failed")
if min(seen_in, seen_out) < wanted: problems.append(f"fewer than {wanted} rotations")
if answered + failed < seconds * rate * 0.99: problems.append("the load was not offered in full")
print("FAIL: " + "; ".join(problems) if problems else "ok")
sys.exit(bool(problems))
PY
[ "$FAILED" = no ]
