#!/usr/bin/env bash
# Our proxy beside nginx's stream module, both: mutual TLS in, plain TCP out, one thread on core 0;
# load generator and backend on core 1. Runs are interleaved, so that a noisy machine treats both
# alike; medians and the ratio ours/nginx are printed.
#
#   tools/bench/proxy_l4.sh [build/release/bin] [rounds] [seconds]
#
# Needs Debian's nginx-light, libnginx-mod-stream, openssl and python3.
set -euo pipefail
bin=$(cd "${1:-build/release/bin}" && pwd)
rounds=${2:-5}
seconds=${3:-3}
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

# --- runs: each line "case who json"
load() {  # case who address pid options…
  local name=$1 who=$2 at=$3 pid=$4
  shift 4
  local answer
  answer=$(taskset -c 1 "$bin/bench_load" --target "$at" --cert client.pem --key client.der --ca ca.pem \
    --pid "$pid" --seconds "$seconds" --warmup 0.5 --json "$@")
  printf '%s\t%s\t%s\n' "$name" "$who" "$answer" >> results
}
both() {
  local name=$1
  shift
  load "$name" ours "$ours_at" "$ours" "$@"
  load "$name" nginx "127.0.0.1:$nginx_port" "$theirs" "$@"
}
for _ in $(seq "$rounds"); do
  both "keep-alive, 16 connections" --connections 16
  both "new mTLS connection + 1 request" --mode new --connections 8
  both "bulk download, 1 connection" --mode bulk --connections 1
  both "bulk download, 8 connections" --mode bulk --connections 8
  both "1,000 requests/s open loop, 8 connections" --connections 8 --rate 1000
done
both "1,000 idle connections" --mode idle --connections 1000

python3 - results <<'EOF'
import collections, json, statistics, sys
runs = collections.defaultdict(lambda: collections.defaultdict(list))
for line in open(sys.argv[1]):
    name, who, answer = line.rstrip("\n").split("\t")
    runs[name][who].append(json.loads(answer))
def show(name, field, unit, better):
    ours, nginx = ([run[field] for run in runs[name][who]] for who in ("ours", "nginx"))
    a, b = statistics.median(ours), statistics.median(nginx)
    print(f"{name:45} {field:14} {a:10.2f} {b:10.2f} {unit:6} "
          f"ratio of medians {a / b if b else 0:5.2f}, of minima {min(ours) / min(nginx) if min(nginx) else 0:5.2f} ({better})")
print(f"{'case':45} {'figure':14} {'ours':>10} {'nginx':>10}")
show("keep-alive, 16 connections", "cpu_us_per_op", "us", "lower is better")
show("keep-alive, 16 connections", "ops_per_s", "/s", "higher is better")
show("new mTLS connection + 1 request", "cpu_us_per_op", "us", "lower is better")
show("bulk download, 1 connection", "gb_per_cpu_s", "GB", "higher is better")
show("bulk download, 8 connections", "gb_per_cpu_s", "GB", "higher is better")
show("1,000 requests/s open loop, 8 connections", "p50_us", "us", "lower is better")
show("1,000 requests/s open loop, 8 connections", "p99_us", "us", "lower is better")
show("1,000 requests/s open loop, 8 connections", "cpu_us_per_op", "us", "lower is better")
show("1,000 idle connections", "kb_per_conn", "kB", "lower is better")
failures = sum(run["failures"] for case in runs.values() for who in case.values() for run in who)
print(f"failed operations in all runs: {failures}")
EOF
