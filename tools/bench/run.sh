#!/usr/bin/env bash
# make bench: every load generator in turn, about five minutes. Peers (nginx) run beside us in the same run; read ratios.
set -euo pipefail
cd "$(dirname "$0")/../.."
BIN=$(cd "${1:-build/release/bin}" && pwd)
tools/setup.sh bench
section() { printf '\n== %s\n' "$1"; }
section "Issuing, in process: floor (verify + sign) and a request's way to a certificate"
"$BIN/bench_issue"
section "Verifying: every chain of x509-limbo, at most 10 ms each"
"$BIN/bench_verify"
section "Issuing, through gRPC and mTLS with the journal on (beside SPIRE's server when SIGNET_SPIRE_SERVER names one)"
"$BIN/bench_mint"
section "Entry created -> SVID on the workload's open stream"
"$BIN/bench_propagation" --rounds 100 --others 100 --streams 100
section "An agent on its node: memory, first answers, crowds, rotation, restart"
"$BIN/bench_agent"
section "A compromised authority replaced: 10,000 SVIDs on two agents, 200 connections/s meanwhile"
"$BIN/bench_rotation"
section "Registry of 100,000 entries over SQLite"
"$BIN/bench_registry"
section "Entries over real connections: creating, starting with them, agents that poll"
"$BIN/bench_entries" --entries 30000
section "One hostile agent beside twenty well-behaved ones"
"$BIN/bench_overload"
section "Handshakes and records, both ends in one process"
"$BIN/bench_handshake" --seconds 2
section "100 rotations under 2,000 requests/s"
tools/bench/rotation.sh "$BIN"
section "Proxy beside nginx, one core each"
tools/bench/proxy_l4.sh "$BIN" 3 2
