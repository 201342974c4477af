#!/usr/bin/env bash
# make demo: from an empty directory to enforced mTLS between two services, with real processes on loopback.
#
#   demo.sh BIN [--keep]      BIN holds signet, signet-server, signet-agent and signet-proxy
#
# Three callers differ by kernel facts only: their user when this runs as root, else their executable. Nothing tells
# the agent who is who. State lives in a temporary folder; only processes started here are ended; exit status 0 only
# when every check held.
set -euo pipefail

BIN=$(cd "${1:?usage: demo.sh BIN [--keep]}" && pwd)
HERE=$(cd "$(dirname "$0")" && pwd)
KEEP=${2:-}
TRUST_DOMAIN=example.org
STATE=$(mktemp -d "${TMPDIR:-/tmp}/signet-demo.XXXXXX")
chmod 0755 "$STATE"
ROOT=$([ "$(id -u)" -eq 0 ] && echo yes || echo no)
PIDS=()
PASSED=0
FAILED=0
STARTED=$SECONDS

bold() { if [ -t 1 ]; then printf '\033[1m%s\033[0m\n' "$*"; else printf '%s\n' "$*"; fi; }
step() { printf '\n'; bold "[$((SECONDS - STARTED))s] $*"; }
say() { printf '      %s\n' "$*"; }
check() { # check TEXT COMMAND…: the command's success is the proof
  local text=$1
  shift
  if "$@"; then
    PASSED=$((PASSED + 1)); printf '   ok %s\n' "$text"
  else
    FAILED=$((FAILED + 1)); printf ' FAIL %s\n' "$text"
  fi
}

cleanup() {
  local pid
  trap - EXIT INT TERM
  for pid in "${PIDS[@]}"; do kill "$pid" 2> /dev/null || true; done
  for pid in "${PIDS[@]}"; do
    for _ in $(seq 50); do kill -0 "$pid" 2> /dev/null || break; sleep 0.1; done
    kill -9 "$pid" 2> /dev/null || true
  done
  if [ -n "$KEEP" ] || [ "$FAILED" -gt 0 ]; then
    echo "state and logs are kept in $STATE"
  else
    rm -rf "$STATE"
  fi
}
trap cleanup EXIT
trap 'FAILED=$((FAILED + 1)); echo; echo "interrupted"; exit 130' INT TERM

die() { echo "demo: $*" >&2; FAILED=$((FAILED + 1)); exit 1; }

wait_for() { # wait_for SECONDS COMMAND…
  local deadline=$((SECONDS + $1))
  shift
  until "$@" > /dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.05
  done
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

field() { # field NAME < JSON: one field of the object, or of the first one of a list
  python3 -c 'import json, sys; v = json.load(sys.stdin); v = v[0] if isinstance(v, list) else v; print(v[sys.argv[1]])' "$1"
}

# Runs a program as one of the demo's users (root only) or from an executable of its own.
declare -A USER_OF=([frontend]=42001 [backend]=42002 [intruder]=42003)
spawn() { # spawn NAME COMMAND…: in the background, output to a log; sets LAST
  local name=$1
  shift
  "$@" > "$STATE/$name.log" 2>&1 &
  LAST=$!
  PIDS+=("$LAST")
}
spawn_as() { # spawn_as WHO NAME PROGRAM ARGUMENTS…
  local who=$1 name=$2 program=$3
  shift 3
  if [ "$ROOT" = yes ]; then
    local id=${USER_OF[$who]}
    spawn "$name" setpriv --reuid "$id" --regid "$id" --clear-groups "$program" "$@"
  else
    cp "$program" "$STATE/$who-$(basename "$program")"
    spawn "$name" "$STATE/$who-$(basename "$program")" "$@"
  fi
}
# An agent without root's rights sees another process's executable only where that one allows it.
INSPECTABLE=()
[ "$ROOT" = yes ] || INSPECTABLE=(--inspectable)
selector_of() { # the kernel fact that tells this caller apart
  if [ "$ROOT" = yes ]; then echo "unix:uid:${USER_OF[$1]}"; else echo "unix:path:$STATE/$1-signet-proxy"; fi
}

signet() { "$BIN/signet" --socket "$STATE/server/admin.sock" "$@"; }

start_server() {
  spawn server "$BIN/signet-server" run --config "$STATE/server.yaml"
  SERVER=$LAST
  wait_for 15 signet status || { tail -n 20 "$STATE/server.log"; die "signet-server did not become ready"; }
}

write_configuration() {
  SERVER_PORT=$(free_port); IN_PORT=$(free_port); OUT_PORT=$(free_port); BAD_PORT=$(free_port); NGINX_PORT=$(free_port)
  IN_METRICS=$(free_port); AGENT_METRICS=$(free_port)
  mkdir -p "$STATE/server" "$STATE/agent" "$STATE/nginx"
  cat > "$STATE/server.yaml" << YAML
trust_domain: $TRUST_DOMAIN
data_dir: $STATE/server/data
listen: 127.0.0.1:$SERVER_PORT
admin_socket: $STATE/server/admin.sock
# Minutes become seconds, so that rotations can be watched: SVIDs are renewed each 5 s, the authority within 50 s.
default_x509_svid_ttl: 20s
agent_ttl: 2m
ca_ttl: 60s
log: {level: info}
YAML
  cat > "$STATE/agent.yaml" << YAML
trust_domain: $TRUST_DOMAIN
data_dir: $STATE/agent/data
server: 127.0.0.1:$SERVER_PORT
socket: $STATE/agent/api.sock
trust_bundle: $STATE/bundle.pem
join_token_file: $STATE/agent/token
attestors: {unix: {discover_path: true}}
metrics: 127.0.0.1:$AGENT_METRICS
YAML
  cat > "$STATE/backend-proxy.yaml" << YAML
workload_api: $STATE/agent/api.sock
metrics: 127.0.0.1:$IN_METRICS
inbound:
  - name: backend
    listen: 127.0.0.1:$IN_PORT
    forward: 127.0.0.1:$NGINX_PORT
    allow:
      - {name: the-frontend, id: spiffe://$TRUST_DOMAIN/frontend}
YAML
  local who port
  for who in frontend intruder; do
    port=$([ $who = frontend ] && echo "$OUT_PORT" || echo "$BAD_PORT")
    cat > "$STATE/$who-proxy.yaml" << YAML
workload_api: $STATE/agent/api.sock
outbound:
  - name: to-backend
    listen: 127.0.0.1:$port
    forward: 127.0.0.1:$IN_PORT
    expect:
      - {id: spiffe://$TRUST_DOMAIN/backend}
YAML
  done
  cat > "$STATE/nginx/nginx.conf" << CONF
daemon off;
pid $STATE/nginx/pid;
error_log stderr;
events { worker_connections 512; }
http {
  access_log off;
  client_body_temp_path $STATE/nginx/body; proxy_temp_path $STATE/nginx/proxy; fastcgi_temp_path $STATE/nginx/fastcgi;
  uwsgi_temp_path $STATE/nginx/uwsgi; scgi_temp_path $STATE/nginx/scgi;
  server { listen 127.0.0.1:$NGINX_PORT; location / { return 200 "hello from the backend\n"; } }
}
CONF
}

get() { curl -sS --max-time 5 "http://127.0.0.1:$1/" 2> "$STATE/curl.err"; }

# Load in the background, half of it on new connections: each a new mTLS handshake with the certificates of the moment.
start_load() {
  echo "0 0" > "$STATE/load"
  touch "$STATE/load.on"
  spawn load python3 "$HERE/load.py" "$OUT_PORT" "$STATE/load"
  LOAD=$LAST
}
load_count() { cut -d' ' -f1 "$STATE/load"; }
load_failures() { cut -d' ' -f2 "$STATE/load"; }
load_goes_on() { # since COUNT: more good answers arrived
  [ "$(load_count)" -gt "$1" ]
}

on_the_wire() { # what the backend's end shows in a handshake, asked by a client that is not ours
  timeout 5 openssl s_client -connect "127.0.0.1:$IN_PORT" -cert "$STATE/probe/svid.0.pem" -key "$STATE/probe/svid.0.key" \
    < /dev/null 2> /dev/null | openssl x509 -noout -serial -issuer -ext subjectAltName 2> /dev/null
}
wire_serial() { on_the_wire | sed -n 's/^serial=//p'; }
wire_issuer() { on_the_wire | sed -n 's/^issuer=//p'; }
wire_id() { on_the_wire | grep -o 'spiffe://[^, ]*' || true; }
serial_changed() { local now; now=$(wire_serial); [ -n "$now" ] && [ "$now" != "$1" ]; }
issuer_changed() { local now; now=$(wire_issuer); [ -n "$now" ] && [ "$now" != "$1" ]; }
not_served() { ! get "$OUT_PORT"; }
refused_by_backend() { grep -q 'spiffe://example.org/intruder' "$STATE/backend-proxy.log"; }

main() {
  bold "Signet demo: everything below is real, on loopback, in $STATE"
  [ "$ROOT" = yes ] && say "callers differ by user: ${USER_OF[frontend]} frontend, ${USER_OF[backend]} backend, ${USER_OF[intruder]} intruder" \
    || say "callers differ by executable (run as root to see separate users)"
  write_configuration

  step "An issuer starts on an empty directory"
  start_server
  signet authority show | sed 's/^/      /'
  check "the first authorities exist and are active" test "$(signet authority show -o json | grep -c '"state": "active"')" -ge 1
  signet bundle show --format pem > "$STATE/bundle.pem"

  step "A node agent attests with a join token"
  (umask 077; signet token create > "$STATE/agent/token")
  spawn agent "$BIN/signet-agent" run --config "$STATE/agent.yaml"
  AGENT=$LAST
  wait_for 15 test -S "$STATE/agent/api.sock" || { tail -n 20 "$STATE/agent.log"; die "signet-agent did not attest"; }
  local agent_id
  agent_id=$(signet agent list -o json | field id)
  say "$agent_id"
  sed "s#data_dir: .*#data_dir: $STATE/thief/data#; s#socket: .*#socket: $STATE/thief/api.sock#; /^metrics/d" \
    "$STATE/agent.yaml" > "$STATE/thief.yaml"
  check "the token is spent: another agent that found it is refused" \
    bash -c "! timeout 10 '$BIN/signet-agent' run --config '$STATE/thief.yaml' > '$STATE/thief.log' 2>&1"
  grep -m1 -i 'cannot be attested' "$STATE/thief.log" | cut -c1-150 | sed 's/^/      /' || true

  step "Three identities, granted to kernel facts"
  local who
  for who in frontend backend intruder; do
    signet entry create --spiffe-id "spiffe://$TRUST_DOMAIN/$who" --parent-id "$agent_id" \
      --selector "$(selector_of $who)" -o json > "$STATE/entry-$who.json"
    say "spiffe://$TRUST_DOMAIN/$who  <-  $(selector_of $who)"
  done

  step "Two services and their proxies; the backend is nginx, which knows nothing of certificates"
  spawn nginx nginx -c "$STATE/nginx/nginx.conf" -p "$STATE/nginx"
  spawn_as backend backend-proxy "$BIN/signet-proxy" run "${INSPECTABLE[@]}" --config "$STATE/backend-proxy.yaml"
  spawn_as frontend frontend-proxy "$BIN/signet-proxy" run "${INSPECTABLE[@]}" --config "$STATE/frontend-proxy.yaml"
  spawn_as intruder intruder-proxy "$BIN/signet-proxy" run "${INSPECTABLE[@]}" --config "$STATE/intruder-proxy.yaml"
  wait_for 15 get "$OUT_PORT" || { tail -n 20 "$STATE"/*-proxy.log; die "no answer through the proxies"; }
  check "curl -> frontend's proxy ==mTLS==> backend's proxy -> nginx: $(get "$OUT_PORT")" test "$(get "$OUT_PORT")" = "hello from the backend"
  signet x509 mint --spiffe-id "spiffe://$TRUST_DOMAIN/frontend" --ttl 10m --write "$STATE/probe" > /dev/null
  say "on the wire, asked with openssl: $(wire_id), serial $(wire_serial)"
  check "the backend's end shows spiffe://$TRUST_DOMAIN/backend in the handshake" test "$(wire_id)" = "spiffe://$TRUST_DOMAIN/backend"
  check "the backend's proxy saw spiffe://$TRUST_DOMAIN/frontend in the handshake" \
    wait_for 5 grep -q "spiffe://$TRUST_DOMAIN/frontend" "$STATE/backend-proxy.log"

  step "A caller with a valid identity that nobody allowed"
  check "the intruder gets no answer" bash -c "! curl -s --max-time 5 http://127.0.0.1:$BAD_PORT/ -o /dev/null"
  check "the backend's proxy says why" wait_for 5 refused_by_backend
  grep 'spiffe://example.org/intruder' "$STATE/backend-proxy.log" | head -n 1 | sed 's/^/      /'
  check "a caller without a certificate is refused in the handshake" \
    bash -c "! curl -sk --max-time 5 https://127.0.0.1:$IN_PORT/ -o /dev/null"

  step "Certificates rotate under load (SVIDs live 20 s here): 200 requests/s, half on new connections"
  start_load
  local serial issuer before i
  issuer=$(wire_issuer)
  for i in 1 2 3; do
    serial=$(wire_serial)
    check "rotation $i: a new SVID on the wire" wait_for 20 serial_changed "$serial"
  done
  say "$(load_count) requests answered, $(load_failures) failed"
  check "no request failed during the rotations" test "$(load_failures)" -eq 0

  step "kill -9 of the issuer, with traffic going on"
  kill -9 "$SERVER"
  before=$(load_count)
  check "requests go on while the issuer is dead" wait_for 5 load_goes_on $((before + 50))
  sleep 2
  start_server
  check "the issuer is back with its data: $(signet entry count) entries" test "$(signet entry count)" = 3
  serial=$(wire_serial)
  check "SVIDs rotate again" wait_for 25 serial_changed "$serial"
  check "no request failed meanwhile" test "$(load_failures)" -eq 0

  step "The signing authority itself rotates (it lives 60 s here): published, held by the agent, then used"
  check "leaves on the wire are signed by the next authority" wait_for 50 issuer_changed "$issuer"
  signet authority show | sed 's/^/      /'
  rm -f "$STATE/load.on"
  wait "$LOAD" 2> /dev/null || true
  sed 's/^/      /' "$STATE/load.log"
  say "$(load_count) requests answered in all, $(load_failures) failed"
  check "no request failed in the whole run" test "$(load_failures)" -eq 0
  check "the load was real: more than 2,000 requests" test "$(load_count)" -gt 2000

  step "An identity is revoked, and forgiven"
  signet revoke "spiffe://$TRUST_DOMAIN/frontend" --until 10m --reason "demo" | sed 's/^/      /'
  check "within two seconds nothing of the frontend's gets through" wait_for 2 not_served
  check "nor afterwards" not_served
  signet revoke remove "$(signet revoke list -o json | field id)" | sed 's/^/      /'
  check "forgiven, it is served again" wait_for 20 get "$OUT_PORT"

  step "Summary"
  echo "$PASSED passed, $FAILED failed"
  [ "$FAILED" -eq 0 ]
}

for tool in curl openssl python3 nginx; do
  PATH="$PATH:/usr/sbin:/sbin" command -v $tool > /dev/null || die "$tool is missing; run: make setup"
done
PATH="$PATH:/usr/sbin:/sbin"
main
