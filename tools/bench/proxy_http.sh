#!/usr/bin/env bash
# Our proxy speaking HTTP beside nginx's HTTP proxy, both: mutual TLS in, HTTP/1.1 keep-alive to a
# plain backend, identity told to it, access decided; one thread on core 0, load generator and backend
# on core 1. Runs are interleaved, so that a noisy machine treats both alike; medians, minima and the
# ratio ours/nginx are printed.
#
#   tools/bench/proxy_http.sh [build/release/bin] [rounds] [seconds]
#
# Needs Debian's nginx-light, openssl and python3.
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

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem \
  -days 30 -subj /O=bench -addext subjectAltName=URI:spiffe://bench.test \
  -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
for name in server client; do
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $name.key -out $name.csr \
    -subj "/O=bench" 2>/dev/null
  printf '%s\n' "subjectAltName=URI:spiffe://bench.test/$name" keyUsage=critical,digitalSignature \
    extendedKeyUsage=serverAuth,clientAuth basicConstraints=critical,CA:FALSE \
    authorityKeyIdentifier=keyid > $name.ext
  openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 10 \
    -extfile $name.ext -out $name.pem 2>/dev/null
  openssl pkcs8 -topk8 -nocrypt -in $name.key -outform DER -out $name.der
done

taskset -c 1 "$bin/bench_backend" > backend.addr & pids+=($!)
"$bin/bench_workload_api" --socket "$work/api.sock" --cert server.pem --key server.der \
  --bundle ca.pem > api.out & pids+=($!)
until [ -s backend.addr ] && [ -s api.out ]; do sleep 0.05; done
backend=$(cat backend.addr)

cat > proxy.yaml <<YAML
workload_api: $work/api.sock
threads: 1
metrics: 127.0.0.1:0
limits: {connections: 20000, per_peer: 20000}
inbound:
  - name: web
    listen: 127.0.0.1:0
    forward: $backend
    protocol: http
    allow: [{id: spiffe://bench.test/client, methods: [GET], paths: ['/*']}]
YAML
taskset -c 0 "$bin/signet-proxy" run --config proxy.yaml 2> proxy.log & pids+=($!)
ours=$!
until grep -q 'signet-proxy: identity' proxy.log; do sleep 0.05; done
ours_at=$(grep -oP 'listener=web address=\K\S+' proxy.log)

nginx_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > nginx.conf <<CONF
daemon off; worker_processes 1; pid $work/nginx.pid; error_log $work/nginx.err;
worker_rlimit_nofile 20000;
events { worker_connections 16384; }
http {
  access_log off;
  upstream backend { server $backend; keepalive 64; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:$nginx_port ssl backlog=4096;
    ssl_certificate server.pem; ssl_certificate_key server.key;
    ssl_client_certificate ca.pem; ssl_verify_client on;
    ssl_protocols TLSv1.3; ssl_session_tickets off; ssl_session_cache off;
    ssl_ecdh_curve X25519; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    keepalive_requests 100000000;
    location / {
      limit_except GET { deny all; }
      proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header X-Forwarded-Client-Cert \$ssl_client_fingerprint;
      proxy_set_header Host \$http_host;
    }
  }
}
CONF
taskset -c 0 nginx -p "$work" -c "$work/nginx.conf" & pids+=($!)
until [ -s nginx.pid ] && pgrep -P "$(cat nginx.pid)" > /dev/null; do sleep 0.05; done
theirs=$(pgrep -P "$(cat nginx.pid)" | head -1)

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
  both "HTTP/1.1 keep-alive, 16 connections" --connections 16
  both "new mTLS connection + 1 request" --mode new --connections 8
  both "bulk download, 8 connections" --mode bulk --connections 8
done

python3 - results <<'PY'
import collections, json, statistics, sys
runs = collections.defaultdict(lambda: collections.defaultdict(list))
for line in open(sys.argv[1]):
    name, who, answer = line.rstrip("\n").split("\t")
    runs[name][who].append(json.loads(answer))
def show(name, field, unit, better):
    ours, nginx = ([run[field] for run in runs[name][who]] for who in ("ours", "nginx"))
    a, b = statistics.median(ours), statistics.median(nginx)
    print(f"{name:38} {field:14} {a:10.2f} {b:10.2f} {unit:6} ratio of medians {a / b if b else 0:5.2f}, "
          f"of minima {min(ours) / min(nginx) if min(nginx) else 0:5.2f} ({better})")
print(f"{'case':38} {'figure':14} {'ours':>10} {'nginx':>10}")
show("HTTP/1.1 keep-alive, 16 connections", "cpu_us_per_op", "us", "lower is better")
show("HTTP/1.1 keep-alive, 16 connections", "ops_per_s", "/s", "higher is better")
show("new mTLS connection + 1 request", "cpu_us_per_op", "us", "lower is better")
show("bulk download, 8 connections", "gb_per_cpu_s", "GB", "higher is better")
print("failed operations in all runs:",
      sum(run["failures"] for case in runs.values() for who in case.values() for run in who))
PY
