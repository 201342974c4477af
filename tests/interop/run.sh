#!/usr/bin/env bash
# Signet among software that is not ours: SPIRE's agent on our server, our agent on SPIRE's server,
# SPIRE's command line on our admin socket, SPIFFE libraries and Envoy on our agent, and go-spiffe,
# openssl and Envoy at the two ends of our proxy.
#
#   run.sh [TEST...]            (default: all; build.sh must have run)
#
# SIGNET_BIN has the programs under test (default: build/release/bin). A test whose programs are
# not there is skipped; with SIGNET_INTEROP_STRICT=1 that is a failure.
#
# shellcheck disable=SC2016 # $names in filters are jq's
set -euo pipefail

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=checks.sh
source "$interop_dir/checks.sh"
# shellcheck source=federation.sh
source "$interop_dir/federation.sh"
# shellcheck source=node_proofs.sh
source "$interop_dir/node_proofs.sh"
# shellcheck source=nested.sh
source "$interop_dir/nested.sh"
# shellcheck source=envoy_rotation.sh
source "$interop_dir/envoy_rotation.sh"
# shellcheck source=envoy_federation.sh
source "$interop_dir/envoy_federation.sh"

signet_bin=${SIGNET_BIN:-$interop_dir/../../build/release/bin}
readonly signet_bin
readonly node_id=spiffe://$trust_domain/node/one
readonly workload_id=spiffe://$trust_domain/workload/one

# --- the programs under test: all that knows their options and files ------------------------

# True when the named programs are built; else the test counts as skipped.
have() {
  local name
  for name in "$@"; do
    if [[ ! -x $signet_bin/$name ]]; then
      skip "$name is not in $signet_bin"
      return 1
    fi
  done
}

# start_signet_server DIR: leaves signet_server_pid, signet_server_port, signet_server_socket.
# Started again with the same DIR it has the same configuration and data.
start_signet_server() {
  local dir=$1
  signet_server_socket=$dir/admin.sock
  if [[ ! -f $dir/server.yaml ]]; then
    mkdir -p "$dir/data"
    free_port >"$dir/port"
    cat >"$dir/server.yaml" <<EOF
trust_domain: $trust_domain
data_dir: $dir/data
listen: 127.0.0.1:$(<"$dir/port")
admin_socket: $signet_server_socket
ca_ttl: 24h
default_x509_svid_ttl: 1h
log: {level: info}
metrics: 127.0.0.1:$(free_port)
${signet_server_settings:-}
EOF
  fi
  signet_server_port=$(<"$dir/port")
  start signet-server "$signet_bin/signet-server" run --config "$dir/server.yaml"
  signet_server_pid=$started_pid
  # A socket left by a killed server is there and answers nobody.
  wait_started "$signet_server_pid" \
    "signet_ctl $signet_server_socket bundle show --format pem && port_is_open $signet_server_port" signet-server
}

# start_signet_agent DIR SERVER_PORT BUNDLE TOKEN: leaves signet_agent_pid, signet_agent_socket.
# With an empty TOKEN the agent goes on with the identity that it has in DIR.
start_signet_agent() {
  local dir=$1 port=$2 bundle=$3 token=$4
  mkdir -p "$dir/data"
  signet_agent_socket=$dir/agent.sock
  cat >"$dir/agent.yaml" <<EOF
trust_domain: $trust_domain
data_dir: $dir/data
server: 127.0.0.1:$port
socket: $signet_agent_socket
trust_bundle: $bundle
attestors: {unix: {discover_path: true}}
sync_interval: 5s
${signet_agent_more:-}
EOF
  if [[ -n $token ]]; then
    printf 'join_token: %s\n' "$token" >>"$dir/agent.yaml"
  fi
  start signet-agent "$signet_bin/signet-agent" run --config "$dir/agent.yaml"
  signet_agent_pid=$started_pid
  wait_started "$signet_agent_pid" "socket_is_open $signet_agent_socket" signet-agent
}

# signet_ctl ADMIN_SOCKET COMMAND...
signet_ctl() {
  local socket=$1
  shift
  "$signet_bin/signet" --socket "$socket" "$@"
}

new_token() { # [--spiffe-id ID]
  signet_ctl "$signet_server_socket" token create "$@" -o json | jq -r '.value // .token'
}

# new_entry SPIFFE_ID PARENT_ID SELECTOR, on our server, short-lived.
new_entry() {
  signet_ctl "$signet_server_socket" entry create --spiffe-id "$1" --parent-id "$2" \
    --selector "$3" --ttl "${svid_ttl}s"
}

# The two list items of a proxy's configuration: LISTEN FORWARD SPIFFE_ID...
inbound_item() { proxy_item allow "$@"; }
outbound_item() { proxy_item expect "$@"; }

proxy_item() { # KEY LISTEN FORWARD SPIFFE_ID...
  local key=$1 listen=$2 forward=$3 ids
  shift 3
  ids=$(printf '{id: "%s"}, ' "$@")
  printf '  - {name: "port-%s", listen: "%s", forward: "%s", %s: [%s]}\n' "${listen##*:}" "$listen" "$forward" "$key" \
    "${ids%, }"
}

# start_signet_proxy NAME PROGRAM WORKLOAD_API_SOCKET INBOUND_ITEMS OUTBOUND_ITEMS PORT...
# The ports are those it listens on.
start_signet_proxy() {
  local name=$1 program=$2 socket=$3 inbound=$4 outbound=$5 port
  shift 5
  {
    printf 'workload_api: %s\n' "$socket"
    [[ -z $inbound ]] || printf 'inbound:\n%s\n' "$inbound"
    [[ -z $outbound ]] || printf 'outbound:\n%s\n' "$outbound"
  } >"$work/$name.yaml"
  start "$name" "$program" run --config "$work/$name.yaml"
  for port in "$@"; do
    wait_started "$started_pid" "port_is_open $port" "$name"
  done
}

# Our server and our agent on it; $agent_id is the ID that the server gave the agent.
start_signet() {
  start_signet_server "$work/server"
  signet_ctl "$signet_server_socket" bundle show --format pem >"$work/bundle.pem"
  start_signet_agent "$work/agent" "$signet_server_port" "$work/bundle.pem" "$(new_token)"
  wait_for "only_agent_id $signet_server_socket" "$patience" || die "the server has no agent"
  agent_id=$(only_agent_id "$signet_server_socket")
}

# --- (a) SPIRE's agent on our server ----------------------------------------------------------

test_spire_agent() {
  local before serial
  have signet-server signet || return 0
  start_signet_server "$work/server"
  signet_ctl "$signet_server_socket" bundle show --format pem >"$work/bundle.pem"
  check "our bundle in PEM is a certificate" openssl x509 -in "$work/bundle.pem" -noout
  start_spire_agent "$work/agent" "$signet_server_port" "$work/bundle.pem" "$(new_token --spiffe-id "$node_id")"
  pass "SPIRE agent attests by join token"
  agent_id=$(only_agent_id "$signet_server_socket")
  check "signet agent list" signet_ctl "$signet_server_socket" agent list
  check_contains "... shows it" "$agent_id" "$(<"$work/last.out")"

  check "signet entry create" new_entry "$workload_id" "$agent_id" "$(own_uid_selector)"
  check "signet entry show" signet_ctl "$signet_server_socket" entry show
  check_contains "... shows the entry" "$workload_id" "$(<"$work/last.out")"
  check_identity "SPIRE agent" "$spire_agent_socket" "$workload_id"
  check "an entry under the token's SPIFFE ID" new_entry "$workload_id/alias" "$node_id" "$(own_uid_selector)"
  check "... reaches the agent too" wait_for \
    "[[ -n \$(serial_of $spire_agent_socket $workload_id/alias) ]]" "$patience"
  check_rotation "SPIRE agent" "$spire_agent_socket" "$workload_id" "$peers/workload-client"

  before=$(spire_cli "$signet_server_socket" entry show | sort)
  stop_process "$signet_server_pid" KILL
  check_identity "while our server is away" "$spire_agent_socket" "$workload_id"
  serial=$(serial_of "$spire_agent_socket" "$workload_id")
  start_signet_server "$work/server"
  pass "our server starts again after kill -9"
  check_equal "... with the same entries" "$before" "$(spire_cli "$signet_server_socket" entry show | sort)"
  check_equal "... the same bundle" "$(<"$work/bundle.pem")" \
    "$(signet_ctl "$signet_server_socket" bundle show --format pem)"
  check_equal "... the same agent" "$agent_id" "$(only_agent_id "$signet_server_socket")"
  check "... and the agent renews there" wait_for \
    "has_other_serial $spire_agent_socket $workload_id $serial" "$((svid_ttl + patience))"
}

# --- (b) our agent on SPIRE's server ----------------------------------------------------------

test_spire_server() {
  local token
  have signet-agent signet || return 0
  start_spire_server "$work/server"
  spire_cli "$spire_server_socket" bundle show >"$work/bundle.pem"
  token=$(spire_cli "$spire_server_socket" token generate -spiffeID "$node_id" -output json | jq -r .value)
  start_signet_agent "$work/agent" "$spire_server_port" "$work/bundle.pem" "$token"
  check "SPIRE server has one agent" wait_for "only_agent_id $spire_server_socket" "$patience"
  check "an entry on SPIRE server" spire_cli "$spire_server_socket" entry create -spiffeID "$workload_id" \
    -parentID "$node_id" -selector "$(own_uid_selector)" -x509SVIDTTL "$svid_ttl"
  check_identity "our agent" "$signet_agent_socket" "$workload_id"
  check "signet x509 fetch" "$signet_bin/signet" x509 fetch --agent-socket "$signet_agent_socket"
  check_contains "... shows the SVID" "$workload_id" "$(<"$work/last.out")"
  check_rotation "our agent" "$signet_agent_socket" "$workload_id" "$peers/workload-client"
  check_spire_server_authorities

  stop_process "$signet_agent_pid" KILL
  start_signet_agent "$work/agent" "$spire_server_port" "$work/bundle.pem" ""
  pass "our agent starts again after kill -9 without a token"
  check_identity "... and serves" "$signet_agent_socket" "$workload_id"
  check "... as the same agent" only_agent_id "$spire_server_socket"
}

# What SPIRE's server knows our agent by.
agent_serial() { spire_cli "$spire_server_socket" agent list -output json | jq -r '.agents[0].x509svid_serial_number'; }

# How many authorities the workload's bundle has.
bundle_size_is() { # COUNT
  local count
  count=$("$signet_bin/signet" x509 fetch --agent-socket "$signet_agent_socket" -o json |
    jq -r '.[0].bundle' | grep -c 'BEGIN CERTIFICATE')
  ((count == $1))
}

# SPIRE's server changes its authority, taints the old one and revokes it; our agent follows.
check_spire_server_authorities() {
  local first second serial node_serial
  first=$(spire_cli "$spire_server_socket" localauthority x509 show -output json | jq -r .active.authority_id)
  check "an authority prepared by SPIRE server" spire_cli "$spire_server_socket" localauthority x509 prepare
  check "... is in our agent's bundle" wait_for "bundle_size_is 2" "$patience"
  second=$(spire_cli "$spire_server_socket" localauthority x509 show -output json | jq -r .prepared.authority_id)
  check "... is activated" spire_cli "$spire_server_socket" localauthority x509 activate -authorityID "$second"
  serial=$(serial_of "$signet_agent_socket" "$workload_id")
  node_serial=$(agent_serial)
  check "the old one is tainted" spire_cli "$spire_server_socket" localauthority x509 taint -authorityID "$first"
  check "... and our agent mints the workload's SVID anew" wait_for \
    "has_other_serial $signet_agent_socket $workload_id $serial" "$patience"
  check "... and renews its own" wait_for '[[ $(agent_serial) != '"$node_serial"' ]]' "$patience"
  check "the old one is revoked" spire_cli "$spire_server_socket" localauthority x509 revoke -authorityID "$first"
  check "... and leaves our agent's bundle" wait_for "bundle_size_is 1" "$patience"
  check_identity "our agent after SPIRE server's rotation" "$signet_agent_socket" "$workload_id"
}

# --- (c) SPIRE's command line on our admin socket ---------------------------------------------

test_spire_cli() {
  have signet-server signet || return 0
  start_signet_server "$work/server"
  check_cli_entries "$signet_server_socket"
  check_cli_tokens "$signet_server_socket"
  check_cli_bundle "$signet_server_socket"
  check_cli_mint "$signet_server_socket"
}

# The token is made by SPIRE's command line too.
test_spire_cli_agents() {
  local token
  have signet-server signet || return 0
  start_signet_server "$work/server"
  spire_cli "$signet_server_socket" bundle show >"$work/bundle.pem"
  token=$(spire_cli "$signet_server_socket" token generate -output json | jq -r .value)
  start_spire_agent "$work/agent" "$signet_server_port" "$work/bundle.pem" "$token"
  pass "SPIRE agent attests by a token of SPIRE's command line"
  check_cli_agents "$signet_server_socket" "$(only_agent_id "$signet_server_socket")"
}

test_spire_cli_local_authority() {
  have signet-server signet || return 0
  start_signet_server "$work/server"
  check_cli_local_authority "$signet_server_socket"
}

# --- (d) SPIFFE libraries and Envoy on our agent ----------------------------------------------

test_libraries() {
  have signet-server signet-agent signet || return 0
  start_signet
  check "signet entry create" new_entry "$workload_id" "$agent_id" "$(own_uid_selector)"
  check_identity "our agent" "$signet_agent_socket" "$workload_id"
  check_rotation go-spiffe "$signet_agent_socket" "$workload_id" "$peers/workload-client"
  check_tokens go-spiffe "$peers/workload-client" -socket "unix://$signet_agent_socket" -jwt interop
  if py_spiffe_is_there; then
    check_rotation py-spiffe "$signet_agent_socket" "$workload_id" "$python" "$interop_dir/python/x509_source.py"
    check_tokens py-spiffe "$python" "$interop_dir/python/jwt_source.py" "unix://$signet_agent_socket" interop
  else
    skip "py-spiffe is not there"
  fi
}

# check_tokens WHAT COMMAND...: the library gets a token for this workload and finds it good.
check_tokens() {
  local what=$1
  shift
  "$@" >"$work/jwt.json" 2>"$work/jwt.err" || true
  check_json "$what gets and verifies a JWT-SVID" "$work/jwt.json" \
    '.spiffe_id == $id and .validated_id == $id and .audience == ["interop"] and .other_audience_refused' \
    --arg id "$workload_id"
}

# Envoy with our agent as its source of secrets, to a go-spiffe server on our agent.
test_sds() {
  local server server_id=spiffe://$trust_domain/server envoy_id=spiffe://$trust_domain/envoy
  have signet-server signet-agent signet || return 0
  if [[ ! -x $peers/envoy ]]; then
    skip "Envoy is not there"
    return 0
  fi
  start_signet
  server=$(copy_program "$peers/workload-client" server)
  new_entry "$server_id" "$agent_id" "unix:path:$server" >/dev/null
  new_entry "$envoy_id" "$agent_id" "unix:path:$(readlink -f "$peers/envoy")" >/dev/null
  start_listener listener "$server" -socket "unix://$signet_agent_socket" \
    -listen 127.0.0.1:0 -allow-id "$envoy_id"
  check_envoy_sds "$listener_address" "$signet_agent_socket" "$envoy_id" "$server_id"
}

# Two Envoys with our agent as the source of their secrets, mTLS between them in both roles, while
# their SVIDs rotate: one subscribes by StreamSecrets, the other by DeltaSecrets.
test_sds_rotation() {
  local client server client_entry server_entry
  local client_id=spiffe://$trust_domain/envoy/client server_id=spiffe://$trust_domain/envoy/server
  have signet-server signet-agent signet || return 0
  if [[ ! -x $peers/envoy ]]; then
    skip "Envoy is not there"
    return 0
  fi
  start_signet
  client=$(copy_program "$peers/envoy" envoy-client)
  server=$(copy_program "$peers/envoy" envoy-server)
  client_entry=$(new_entry_id "$client_id" "unix:path:$client")
  server_entry=$(new_entry_id "$server_id" "unix:path:$server")
  start_listener backend "$peers/workload-client" -plain -listen 127.0.0.1:0
  start_envoy_pair "$client" "$server" "$listener_address" "$signet_agent_socket"
  check_echo "an Envoy talks to an Envoy, both with secrets by SDS" "$envoy_address" "$peers/workload-client" -plain
  check_envoy_rotation 20 "$client_entry" "$server_entry"
  check_no_echo "an Envoy whose ID is not expected is refused" "$stranger_address" "$peers/workload-client" -plain
}

new_entry_id() { # SPIFFE_ID SELECTOR
  signet_ctl "$signet_server_socket" entry create --spiffe-id "$1" --parent-id "$agent_id" \
    --selector "$2" -o json | jq -r '.. | .id? // empty' | head -n 1
}

# --- (e) our proxy between others -------------------------------------------------------------

# Each program has a path of its own, and by that an identity of its own.
test_proxy_inbound() {
  local proxy client stranger port
  local proxy_id=spiffe://$trust_domain/proxy client_id=spiffe://$trust_domain/client
  local stranger_id=spiffe://$trust_domain/stranger
  have signet-server signet-agent signet signet-proxy || return 0
  start_signet
  proxy=$(copy_program "$signet_bin/signet-proxy" proxy)
  client=$(copy_program "$peers/workload-client" client)
  stranger=$(copy_program "$peers/workload-client" stranger)
  new_entry "$proxy_id" "$agent_id" "unix:path:$proxy" >/dev/null
  new_entry "$client_id" "$agent_id" "unix:path:$client" >/dev/null
  new_entry "$stranger_id" "$agent_id" "unix:path:$stranger" >/dev/null

  start_listener backend "$peers/workload-client" -plain -listen 127.0.0.1:0
  port=$(free_port)
  start_signet_proxy proxy "$proxy" "$signet_agent_socket" \
    "$(inbound_item "127.0.0.1:$port" "$listener_address" "$client_id")" "" "$port"

  check_echo "go-spiffe client through our inbound proxy" "127.0.0.1:$port" \
    "$client" -socket "unix://$signet_agent_socket" -expect-id "$proxy_id"
  check_json "... by TLS 1.3, to the proxy's identity" "$work/dial.json" \
    '.tls == "TLS 1.3" and .peer_id == $id' --arg id "$proxy_id"
  check_no_echo "a client whose ID is not allowed is refused" "127.0.0.1:$port" \
    "$stranger" -socket "unix://$signet_agent_socket" -expect-id "$proxy_id"
  check_no_echo "plain TCP is refused" "127.0.0.1:$port" "$peers/workload-client" -plain

  mkdir -p "$work/svid"
  check "the client writes its SVID to files" "$client" -socket "unix://$signet_agent_socket" -once -write "$work/svid"
  check_openssl "127.0.0.1:$port" "$work/svid" "$client_id"
  check_envoy_files "127.0.0.1:$port" "$work/svid" "$proxy_id"
  # The backend tells a connection's line when the connection is over.
  wait_for '[[ $(backend_lines) == "$(expected_backend_lines)" ]]' 5 || true
  check_equal "only those who were allowed reached the backend" "$(expected_backend_lines)" "$(backend_lines)"
}

backend_lines() { jq -r 'select(.message).message' "$work/backend.out" | sort; }

# What the backend of test_proxy_inbound must have been told, sorted.
expected_backend_lines() {
  {
    echo "line for go-spiffe client through our inbound proxy"
    echo "hello"
    if [[ -x $peers/envoy ]]; then
      echo "line for Envoy with SVID files completes mTLS"
    fi
  } | sort
}

test_proxy_outbound() {
  local proxy server right wrong
  local proxy_id=spiffe://$trust_domain/proxy server_id=spiffe://$trust_domain/server
  have signet-server signet-agent signet signet-proxy || return 0
  start_signet
  proxy=$(copy_program "$signet_bin/signet-proxy" proxy)
  server=$(copy_program "$peers/workload-client" server)
  new_entry "$proxy_id" "$agent_id" "unix:path:$proxy" >/dev/null
  new_entry "$server_id" "$agent_id" "unix:path:$server" >/dev/null

  start_listener listener "$server" -socket "unix://$signet_agent_socket" -listen 127.0.0.1:0 -allow-id "$proxy_id"
  right=$(free_port)
  wrong=$(free_port)
  start_signet_proxy proxy "$proxy" "$signet_agent_socket" "" "$(
    outbound_item "127.0.0.1:$right" "$listener_address" "$server_id"
    outbound_item "127.0.0.1:$wrong" "$listener_address" "$server_id/other"
  )" "$right" "$wrong"

  check_echo "our outbound proxy to a go-spiffe server" "127.0.0.1:$right" "$peers/workload-client" -plain
  check "the server saw the proxy's identity" wait_for \
    "grep -q '\"event\":\"served\",\"peer_id\":\"$proxy_id\"' $work/listener.out" "$patience"
  check_no_echo "our outbound proxy refuses a server whose ID it does not expect" "127.0.0.1:$wrong" \
    "$peers/workload-client" -plain
}

# --- what we sign, before other people's linters ----------------------------------------------

test_certificates() {
  local type folder
  have signet-server signet || return 0
  if [[ ! -x $peers/zlint && ! -x $cache/venv/bin/lint_pkix_cert ]]; then
    skip "neither zlint nor pkilint is in $cache: run build.sh"
    return 0
  fi
  for type in ec-p256 ec-p384 rsa-2048; do
    folder=$work/$type
    signet_server_settings="ca_key_type: $type" start_signet_server "$folder"
    signet_ctl "$signet_server_socket" bundle show --format pem >"$folder/root.pem"
    openssl s_client -connect "127.0.0.1:$signet_server_port" </dev/null 2>/dev/null \
      | openssl x509 >"$folder/server.pem"
    check "$type: an SVID with DNS names is minted" signet_ctl "$signet_server_socket" x509 mint \
      --spiffe-id "$workload_id" --dns-name a.example.org --dns-name b.example.org --write "$folder"
    check_lint "$type: the root" "$folder/root.pem"
    check_lint "$type: the server's SVID" "$folder/server.pem"
    check_lint "$type: a workload's SVID" "$folder/svid.0.pem"
    start_spire_agent "$folder/agent" "$signet_server_port" "$folder/root.pem" "$(new_token)"
    # SPIRE's agent keeps its SVID beside its state.
    wait_for "[[ -s $folder/agent/data/agent-data.json ]]" "$patience" || die "the agent keeps no SVID"
    jq -r '.svid[0]' "$folder/agent/data/agent-data.json" | base64 -d | openssl x509 >"$folder/agent.pem"
    check_lint "$type: an agent's SVID" "$folder/agent.pem"
    stop_process "$spire_agent_pid"
    stop_process "$signet_server_pid"
  done
}

# ----------------------------------------------------------------------------------------------

readonly all_tests=(spire_agent spire_agent_proofs spire_server spire_server_proofs spire_cli spire_cli_agents
  spire_cli_local_authority libraries sds sds_rotation sds_federation proxy_inbound proxy_outbound certificates
  federation_endpoint federation_client oidc_discovery nested_below_spire spire_below_signet)

if [[ ! -x $signet_bin/signet-server && ! -x $signet_bin/signet-agent ]]; then
  printf 'neither signet-server nor signet-agent is in %s: build them, or set SIGNET_BIN\n' "$signet_bin" >&2
  exit 77
fi
need_peers spire-server spire-agent spire-cli workload-client bundle-endpoint
begin_run
run_tests "$@"
close_run
