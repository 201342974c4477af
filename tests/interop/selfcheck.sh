#!/usr/bin/env bash
# Proves the harness itself: the checks of run.sh on the real peers alone, SPIRE's agent on SPIRE's
# server. What fails here says nothing about Signet.
#
#   selfcheck.sh [TEST...]      (default: all; build.sh must have run)
set -euo pipefail

# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=checks.sh
source "$interop_dir/checks.sh"

readonly node_id=spiffe://$trust_domain/node/one
readonly workload_id=spiffe://$trust_domain/workload/one

# A SPIRE server and a SPIRE agent on it, which also has the ID $node_id.
start_spire() {
  local token
  start_spire_server "$work/server"
  spire_cli "$spire_server_socket" bundle show >"$work/bundle.pem"
  token=$(spire_cli "$spire_server_socket" token generate -spiffeID "$node_id" -output json | jq -r .value)
  start_spire_agent "$work/agent" "$spire_server_port" "$work/bundle.pem" "$token"
}

new_entry() { # SPIFFE_ID SELECTOR
  spire_cli "$spire_server_socket" entry create -spiffeID "$1" -parentID "$node_id" -selector "$2" \
    -x509SVIDTTL "$svid_ttl" >/dev/null
}

test_identity() {
  start_spire
  pass "SPIRE agent attests to SPIRE server"
  new_entry "$workload_id" "$(own_uid_selector)"
  check_identity go-spiffe "$spire_agent_socket" "$workload_id"
}

test_rotation() {
  start_spire
  new_entry "$workload_id" "$(own_uid_selector)"
  check_rotation go-spiffe "$spire_agent_socket" "$workload_id" "$peers/workload-client"
  if py_spiffe_is_there; then
    check_rotation py-spiffe "$spire_agent_socket" "$workload_id" "$python" "$interop_dir/python/x509_source.py"
  else
    skip "py-spiffe is not there"
  fi
}

test_server_restart() {
  local serial
  start_spire
  new_entry "$workload_id" "$(own_uid_selector)"
  check_identity "before" "$spire_agent_socket" "$workload_id"
  stop_process "$spire_server_pid" KILL
  check_identity "while the server is away" "$spire_agent_socket" "$workload_id"
  serial=$(serial_of "$spire_agent_socket" "$workload_id")
  start_spire_server "$work/server"
  check "the SVID is renewed after the server is back" wait_for \
    "has_other_serial $spire_agent_socket $workload_id $serial" "$((svid_ttl + patience))"
}

test_command_line() {
  start_spire_server "$work/server"
  check_cli_entries "$spire_server_socket"
  check_cli_tokens "$spire_server_socket"
  check_cli_bundle "$spire_server_socket"
  check_cli_mint "$spire_server_socket"
}

test_command_line_agents() {
  start_spire
  check_cli_agents "$spire_server_socket" "$(only_agent_id "$spire_server_socket")"
}

test_command_line_local_authority() {
  start_spire_server "$work/server"
  check_cli_local_authority "$spire_server_socket"
}

# A client of one path and a server of another, each with its own identity.
test_mtls() {
  local server client stranger
  local server_id=spiffe://$trust_domain/server client_id=spiffe://$trust_domain/client
  local stranger_id=spiffe://$trust_domain/stranger envoy_id=spiffe://$trust_domain/envoy
  start_spire
  server=$(copy_program "$peers/workload-client" server)
  client=$(copy_program "$peers/workload-client" client)
  stranger=$(copy_program "$peers/workload-client" stranger)
  new_entry "$server_id" "unix:path:$server"
  new_entry "$client_id" "unix:path:$client"
  new_entry "$stranger_id" "unix:path:$stranger"
  start_listener listener "$server" -socket "unix://$spire_agent_socket" \
    -listen 127.0.0.1:0 -allow-id "$client_id" -allow-id "$envoy_id"

  check_echo "go-spiffe client and server" "$listener_address" \
    "$client" -socket "unix://$spire_agent_socket" -expect-id "$server_id"
  check_no_echo "a client that is not allowed is refused" "$listener_address" \
    "$stranger" -socket "unix://$spire_agent_socket" -expect-id "$server_id"
  check_no_echo "a server that is not expected is refused" "$listener_address" \
    "$client" -socket "unix://$spire_agent_socket" -expect-id "$stranger_id"

  mkdir -p "$work/svid"
  check "the client writes its SVID to files" "$client" -socket "unix://$spire_agent_socket" -once -write "$work/svid"
  check_openssl "$listener_address" "$work/svid" "$client_id"
  check_envoy_files "$listener_address" "$work/svid" "$server_id"
  if [[ -x $peers/envoy ]]; then
    new_entry "$envoy_id" "unix:path:$(readlink -f "$peers/envoy")"
  fi
  check_envoy_sds "$listener_address" "$spire_agent_socket" "$envoy_id" "$server_id"
}

readonly all_tests=(identity rotation server_restart command_line command_line_agents
  command_line_local_authority mtls)

need_peers spire-server spire-agent spire-cli workload-client
begin_run
run_tests "$@"
close_run
