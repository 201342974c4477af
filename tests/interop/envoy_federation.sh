# shellcheck shell=bash
# Envoys of two trust domains with mTLS between them, each with secrets from the agent of its own
# domain, and a third domain that only one side trusts. Sourced by run.sh behind envoy_rotation.sh.
#
#   workload-client -> Envoy (example.org) -> mTLS -> Envoy (other.test) -> workload-client
#                      Envoy (third.test)  -> mTLS -/
#
# shellcheck disable=SC2154 # variables of lib.sh and run.sh

# Of each trust domain that was started: admin socket, bundle endpoint, agent's socket and ID.
declare -A domain_admin domain_endpoint domain_agent domain_node

# A server that publishes its bundle by https_spiffe, and an agent on it.
start_domain() { # NAME
  local dir=$work/$1
  domain_endpoint[$1]=$(free_port)
  trust_domain=$1 signet_server_settings="federation:
  allowed_networks: [127.0.0.0/8]
  bundle_endpoint: {listen: '127.0.0.1:${domain_endpoint[$1]}', profile: https_spiffe}" \
    start_signet_server "$dir/server"
  domain_admin[$1]=$signet_server_socket
  signet_ctl "$signet_server_socket" bundle show --format pem >"$dir/bundle.pem"
  trust_domain=$1 start_signet_agent "$dir/agent" "$signet_server_port" "$dir/bundle.pem" "$(new_token)"
  domain_agent[$1]=$signet_agent_socket
  wait_for "only_agent_id $signet_server_socket" "$patience" || die "the server of $1 has no agent"
  domain_node[$1]=$(only_agent_id "$signet_server_socket")
}

# The first trusts the second, not the other way round.
federate() { # DOMAIN OTHER
  signet_ctl "${domain_admin[$2]}" bundle show --format spiffe >"$work/$2.json"
  signet_ctl "${domain_admin[$1]}" federation create --trust-domain "$2" --profile https_spiffe \
    --url "https://127.0.0.1:${domain_endpoint[$2]}/" --endpoint-spiffe-id "spiffe://$2/spire/server" \
    --bundle "$work/$2.json" >/dev/null
}

# Prints the entry's ID.
federated_entry() { # DOMAIN PATH PROGRAM OTHER
  signet_ctl "${domain_admin[$1]}" entry create --spiffe-id "spiffe://$1$2" --parent-id "${domain_node[$1]}" \
    --selector "unix:path:$3" --federates-with "$4" -o json | jq -r '.. | .id? // empty' | head -n 1
}

# An Envoy that takes plain TCP and speaks mTLS to UPSTREAM, which must be PEER_ID.
start_envoy_client() { # NAME DOMAIN PROGRAM PORT UPSTREAM PEER_ID
  write_envoy "$1" "$4" "$5" "" \
    "$(envoy_tls_socket UpstreamTlsContext "$(envoy_secrets GRPC "$6")" "")" "${domain_agent[$2]}"
  start_one_envoy "$1" "$3" "$4"
}

# An Envoy that takes mTLS of whoever its bundles vouch for.
start_envoy_server() { # NAME DOMAIN PROGRAM PORT BACKEND
  write_envoy "$1" "$4" "$5" "$(envoy_tls_socket DownstreamTlsContext \
    "$(envoy_secrets DELTA_GRPC "" | jq -c 'del(.combined_validation_context.default_validation_context.match_typed_subject_alt_names)')" \
    '"require_client_certificate": true,')" "" "${domain_agent[$2]}"
  start_one_envoy "$1" "$3" "$4"
}

# How often an Envoy took new secrets for its upstream.
envoy_updates() { # NAME
  curl -s --max-time 5 "http://127.0.0.1:$(<"$work/$1.admin")/stats?filter=ssl_context_update_by_sds" |
    awk '/upstream/ { sum += $2 } END { print sum + 0 }'
}

# The federated domain signs by a new authority, as its operator does it: published first, fetched
# by who trusts it, then used.
rotate_federated_authority() { # ENTRY
  local admin=${domain_admin[other.test]} next before trusting
  before=$(envoy_updates envoy-client)
  spire_cli "$admin" localauthority x509 prepare >/dev/null || return 1
  next=$(spire_cli "$admin" localauthority x509 show -output json | jq -r .prepared.authority_id)
  for trusting in example.org third.test; do
    signet_ctl "${domain_admin[$trusting]}" federation refresh other.test >/dev/null || return 1
  done
  wait_for "(( \$(envoy_updates envoy-client) > $before ))" "$patience" || return 1
  spire_cli "$admin" localauthority x509 activate -authorityID "$next" >/dev/null || return 1
  signet_server_socket=$admin rotate envoy-server "$1" "next-authority"
}

# check_federated_rotation COUNT CLIENT_ENTRY SERVER_ENTRY
check_federated_rotation() {
  local turn done=0 pid requests
  rm -f "$work/enough"
  request_until_enough &
  pid=$!
  for ((turn = 1; turn <= $1; turn++)); do
    signet_server_socket=${domain_admin[example.org]} rotate envoy-client "$2" "turn-$turn" || break
    signet_server_socket=${domain_admin[other.test]} rotate envoy-server "$3" "turn-$turn" || break
    done=$turn
  done
  check "the federated domain signs by a new authority" rotate_federated_authority "$3"
  touch "$work/enough"
  wait "$pid" || true
  requests=$(wc -l <"$work/requests")
  check_equal "Envoys of both domains took $1 new SVIDs each" "$1" "$done"
  check "requests went on meanwhile ($requests)" test "$requests" -ge "$1"
  check_equal "of $requests requests to the federated peer failed" 0 \
    "$(grep -c failed "$work/requests" || true)"
}

test_sds_federation() {
  local program domain inner port backend client_entry server_entry
  have signet-server signet-agent signet || return 0
  if [[ ! -x $peers/envoy ]]; then
    skip "Envoy is not there"
    return 0
  fi
  for domain in example.org other.test third.test; do start_domain "$domain"; done
  federate example.org other.test
  federate other.test example.org
  federate third.test other.test
  program=$(copy_program "$peers/envoy" envoy)
  client_entry=$(federated_entry example.org /client "$program" other.test)
  server_entry=$(federated_entry other.test /server "$program" example.org)
  federated_entry third.test /client "$program" other.test >/dev/null
  start_listener backend "$peers/workload-client" -plain -listen 127.0.0.1:0
  backend=$listener_address
  inner=$(free_port)
  port=$(free_port)
  start_envoy_server envoy-server other.test "$program" "$inner" "$backend"
  start_envoy_client envoy-client example.org "$program" "$port" "127.0.0.1:$inner" spiffe://other.test/server
  envoy_address=127.0.0.1:$port
  check "Envoys of two trust domains have their certificates by SDS" wait_for \
    '[[ -n $(envoy_serial envoy-client) && -n $(envoy_serial envoy-server) ]]' "$patience"
  check_echo "an Envoy talks to one of a federated trust domain" "$envoy_address" "$peers/workload-client" -plain
  check_federated_rotation 20 "$client_entry" "$server_entry"
  check_third_domain "$program" "$inner" "$backend" "$server_entry"
}

# Who is not federated with is refused in both directions, though everything else is right; and let
# in once he is.
check_third_domain() { # PROGRAM INNER_PORT BACKEND SERVER_ENTRY
  local outside inside server
  outside=$(free_port)
  inside=$(free_port)
  server=$(free_port)
  start_envoy_client envoy-third third.test "$1" "$outside" "127.0.0.1:$2" spiffe://other.test/server
  start_envoy_server envoy-third-server third.test "$1" "$server" "$3"
  start_envoy_client envoy-astray example.org "$1" "$inside" "127.0.0.1:$server" spiffe://third.test/client
  check "Envoys of the third domain have their certificates" wait_for \
    '[[ -n $(envoy_serial envoy-third) && -n $(envoy_serial envoy-third-server) ]]' "$patience"
  check_no_echo "a client of a domain that is not federated with is refused" "127.0.0.1:$outside" \
    "$peers/workload-client" -plain
  check_no_echo "a server of a domain that is not federated with is refused" "127.0.0.1:$inside" \
    "$peers/workload-client" -plain
  federate other.test third.test
  signet_ctl "${domain_admin[other.test]}" entry update --id "$4" --federates-with example.org \
    --federates-with third.test >/dev/null
  check "... and let in once it is" wait_for \
    "[[ \$($peers/workload-client -plain -dial 127.0.0.1:$outside -message hi -timeout 5s | jq -r .reply) == 'echo: hi' ]]" "$patience"
}
