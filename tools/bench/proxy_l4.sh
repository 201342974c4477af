#!/usr/bin/env bash
# Our proxy beside nginx's stream module and HAProxy, all: mutual TLS in, plain TCP out, one thread
# on core 0; load generator and backend on core 1. Runs are interleaved, so that a noisy machine
# treats all alike; medians of the figures and of each round's ratio to the peers are printed. CPU is
# the process's own, so that other work on the machine disturbs it less than rates.
#
#   tools/bench/proxy_l4.sh [build/release/bin] [rounds] [seconds] [case…]
#
# Cases: keepalive new bulk bulk8 rate idle; all when none is given. HAProxy is left out when it is
# not installed; Envoy takes part when ENVOY names its binary. Needs Debian's nginx-light, libnginx-mod-stream, haproxy, openssl and python3.
set -euo pipefail
bin=$(cd "${1:-build/release/bin}" && pwd)
rounds=${2:-5}
seconds=${3:-3}
wanted=" ${*:4} "
work=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
cd "$work"

# --- a trust domain of P-256 keys
authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem \
    -days 30 -subj /O=bench -addext subjectAltName=URI:spiffe://bench.test \
    -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
}
leaf() {  # name
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.csr" \
    -subj "/O=bench" 2>/dev/null
  printf '%s\n' "subjectAltName=URI:spiffe://bench.test/$1" keyUsage=critical,digitalSignature \
    extendedKeyUsage=serverAuth,clientAuth basicConstraints=critical,CA:FALSE \
    authorityKeyIdentifier=keyid > "$1.ext"
  openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 10 \
    -extfile "$1.ext" -out "$1.pem" 2>/dev/null
  openssl pkcs8 -topk8 -nocrypt -in "$1.key" -outform DER -out "$1.der"
}
authority; leaf server; leaf client

# --- backend, agent's stand-in, both proxies
taskset -c 1 "$bin/bench_backend" > backend.addr & pids+=($!)
"$bin/bench_workload_api" --socket "$work/api.sock" --cert server.pem --key server.der \
  --bundle ca.pem > api.out & pids+=($!)
until [ -s backend.addr ] && [ -s api.out ]; do sleep 0.05; done
backend=$(cat backend.addr)

cat > proxy.yaml <<EOF
workload_api: $work/api.sock
threads: 1
metrics: 127.0.0.1:0
log: {level: info}           # with its access log, as nginx below
limits: {connections: 20000, per_peer: 20000}
inbound:
  - name: web
    listen: 127.0.0.1:0
    forward: $backend
    allow: [{id: spiffe://bench.test/client}]
EOF
taskset -c 0 "$bin/signet-proxy" run --config proxy.yaml 2> proxy.log & pids+=($!)
ours=$!
until grep -q 'signet-proxy: identity' proxy.log; do sleep 0.05; done
ours_at=$(grep -oP 'listener=web address=\K\S+' proxy.log)

nginx_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > nginx.conf <<EOF
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off; worker_processes 1; pid $work/nginx.pid; error_log $work/nginx.err;
worker_rlimit_nofile 20000;
events { worker_connections 16384; }
stream {
  log_format line '\$remote_addr \$ssl_client_s_dn \$status \$bytes_sent \$bytes_received \$session_time';
  access_log $work/nginx.log line;
  server {
    listen 127.0.0.1:$nginx_port ssl backlog=4096;
    ssl_certificate server.pem; ssl_certificate_key server.key;
    ssl_client_certificate ca.pem; ssl_verify_client on;
    ssl_protocols TLSv1.3; ssl_session_tickets off; ssl_session_cache off;
    ssl_ecdh_curve X25519; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    proxy_pass $backend;
    tcp_nodelay on;
  }
}
EOF
taskset -c 0 nginx -p "$work" -c "$work/nginx.conf" & pids+=($!)
until [ -s nginx.pid ] && pgrep -P "$(cat nginx.pid)" > /dev/null; do sleep 0.05; done
theirs=$(pgrep -P "$(cat nginx.pid)" | head -1)

haproxy=
if command -v haproxy > /dev/null; then
  haproxy_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  cat server.pem server.key > haproxy.pem
  cat > haproxy.cfg <<EOF
global
  nbthread 1
  maxconn 8000
  tune.ssl.cachesize 0
  log stdout format raw local0
defaults
  mode tcp
  log global
  option tcplog
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend web
  bind 127.0.0.1:$haproxy_port ssl crt haproxy.pem ca-file ca.pem verify required ssl-min-ver TLSv1.3 ciphersuites TLS_AES_128_GCM_SHA256 curves X25519 no-tls-tickets backlog 4096
  default_backend plain
backend plain
  server one $backend
EOF
  taskset -c 0 haproxy -db -f haproxy.cfg > haproxy.log 2>&1 & haproxy=$!
  pids+=("$haproxy")
  until python3 -c "import socket; socket.create_connection(('127.0.0.1', $haproxy_port))" 2> /dev/null; do
    kill -0 "$haproxy" || { cat haproxy.log >&2; exit 1; }
    sleep 0.05
  done
fi

envoy=
if [ -n "${ENVOY:-}" ]; then
  envoy_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  cat > envoy.yaml <<EOF
static_resources:
  listeners:
    - address: {socket_address: {address: 127.0.0.1, port_value: $envoy_port}}
      filter_chains:
        - transport_socket:
            name: tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
              require_client_certificate: true
              disable_stateless_session_resumption: true
              common_tls_context:
                tls_params: {tls_minimum_protocol_version: TLSv1_3, ecdh_curves: [X25519]}
                tls_certificates:
                  - {certificate_chain: {filename: $work/server.pem}, private_key: {filename: $work/server.key}}
                validation_context: {trusted_ca: {filename: $work/ca.pem}}
          filters:
            - name: rbac
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC
                stat_prefix: rbac
                rules:
                  policies:
                    client:
                      permissions: [{any: true}]
                      principals: [{authenticated: {principal_name: {exact: "spiffe://bench.test/client"}}}]
            - name: tcp
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
                stat_prefix: tcp
                cluster: plain
  clusters:
    - name: plain
      type: STATIC
      circuit_breakers: {thresholds: [{max_connections: 20000}]}
      load_assignment:
        cluster_name: plain
        endpoints:
          - lb_endpoints: [{endpoint: {address: {socket_address: {address: ${backend%:*}, port_value: ${backend##*:}}}}}]
EOF
  taskset -c 0 "$ENVOY" -c envoy.yaml --concurrency 1 --disable-hot-restart --log-level warning > envoy.log 2>&1 & envoy=$!
  pids+=("$envoy")
  until python3 -c "import socket; socket.create_connection(('127.0.0.1', $envoy_port))" 2> /dev/null; do
    kill -0 "$envoy" || { cat envoy.log >&2; exit 1; }
    sleep 0.05
  done
fi

# --- runs: each line "case who json"
load() {  # case who address pid options…
  local name=$1 who=$2 at=$3 pid=$4
  shift 4
  local answer
  answer=$(taskset -c 1 "$bin/bench_load" --target "$at" --cert client.pem --key client.der --ca ca.pem \
    --pid "$pid" --seconds "$seconds" --warmup 0.5 --json "$@")
  printf '%s\t%s\t%s\n' "$name" "$who" "$answer" >> results
}
both() {  # key name options…
  local key=$1 name=$2
  shift 2
  [[ $wanted == "  " || $wanted == *" $key "* ]] || return 0
  load "$name" ours "$ours_at" "$ours" "$@"
  load "$name" nginx "127.0.0.1:$nginx_port" "$theirs" "$@"
  [ -z "$haproxy" ] || load "$name" haproxy "127.0.0.1:$haproxy_port" "$haproxy" "$@"
  [ -z "$envoy" ] || load "$name" envoy "127.0.0.1:$envoy_port" "$envoy" "$@"
}
for _ in $(seq "$rounds"); do
  both keepalive "keep-alive, 16 connections" --connections 16
  both new "new mTLS connection + 1 request" --mode new --connections 8
  both bulk "bulk download, 1 connection" --mode bulk --connections 1
  both bulk8 "bulk download, 8 connections" --mode bulk --connections 8
  both rate "1,000 requests/s open loop, 8 connections" --connections 8 --rate 1000
done
both idle "1,000 idle connections" --mode idle --connections 1000

python3 - results <<'EOF'
import collections, json, statistics, sys
runs = collections.defaultdict(lambda: collections.defaultdict(list))
for line in open(sys.argv[1]):
    name, who, answer = line.rstrip("\n").split("\t")
    runs[name][who].append(json.loads(answer))
peers = [who for who in ("nginx", "haproxy", "envoy") if any(who in case for case in runs.values())]

def show(name, field, unit, aim):
    if name not in runs:
        return
    values = {who: [run[field] for run in answers] for who, answers in runs[name].items()}
    row = f"{name:42} {field:14}"
    for who in ("ours", *peers):
        row += f" {statistics.median(values[who]):9.2f}" if who in values else f" {'-':>9}"
    for who in peers:
        pairs = [a / b for a, b in zip(values["ours"], values.get(who, [])) if b]
        row += f" {statistics.median(pairs):8.2f}" if pairs else f" {'-':>8}"
    print(f"{row}  {unit}, {aim}")

header = "".join(f" {who:>9}" for who in ("ours", *peers)) + "".join(f" {'/' + who:>8}" for who in peers)
print(f"{'case':42} {'figure':14}{header}")
show("keep-alive, 16 connections", "cpu_us_per_op", "us", "aim <= 0.85 of nginx")
show("keep-alive, 16 connections", "ops_per_s", "/s", "higher is better")
show("new mTLS connection + 1 request", "cpu_us_per_op", "us", "aim <= 0.55 of nginx, 0.75 of envoy")
show("bulk download, 1 connection", "gb_per_cpu_s", "GB", "aim >= 1.4 of nginx, 1.05 of envoy")
show("bulk download, 8 connections", "gb_per_cpu_s", "GB", "aim >= 1.4 of nginx, 1.05 of envoy")
show("1,000 requests/s open loop, 8 connections", "p50_us", "us", "aim <= 0.75 of haproxy")
show("1,000 requests/s open loop, 8 connections", "p99_us", "us", "aim <= 0.75 of haproxy")
show("1,000 requests/s open loop, 8 connections", "cpu_us_per_op", "us", "lower is better")
show("1,000 idle connections", "kb_per_conn", "kB", "aim <= 18")
failures = sum(run["failures"] for case in runs.values() for who in case.values() for run in who)
print(f"failed operations in all runs: {failures}")
EOF
