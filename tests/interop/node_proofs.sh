#!/usr/bin/env bash
# Node attestation by other proofs than a token, both ways: SPIRE's agent on our server, our agent on
# SPIRE's server. Sourced by run.sh.
#
# shellcheck disable=SC2154 # set by lib.sh and run.sh

# Certificates of a node and of what vouches for it, in $work: an X.509 authority and an SSH one.
make_node_certificates() {
  local kind=$1 # of the host key: rsa or ed25519
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/node-ca.key" \
    -out "$work/node-ca.pem" -subj "/CN=node authority" -days 2 2>/dev/null
  printf 'keyUsage=critical,digitalSignature\n' >"$work/node.ext"
  # RSA, so that SPIRE's longest salts are met.
  openssl req -newkey rsa:2048 -nodes -keyout "$work/node.key" -out "$work/node.csr" -subj "/CN=node1" 2>/dev/null
  openssl x509 -req -in "$work/node.csr" -CA "$work/node-ca.pem" -CAkey "$work/node-ca.key" -CAcreateserial \
    -days 2 -extfile "$work/node.ext" -out "$work/node.pem" 2>/dev/null
  ssh-keygen -q -N '' -t ed25519 -f "$work/ssh-ca"
  ssh-keygen -q -N '' -t "$kind" -f "$work/host"
  ssh-keygen -q -s "$work/ssh-ca" -I node1 -h -n node1.example.test "$work/host.pub"
}

node_fingerprint() { openssl x509 -in "$work/node.pem" -outform DER | openssl dgst -sha1 -r | cut -c1-40; }
host_fingerprint() {
  cut -d' ' -f2 "$work/host-cert.pub" | base64 -d | openssl dgst -sha256 -binary | base64 -w0 | tr '+/' '-_' | tr -d =
}

# The ID both servers must give the node.
proven_id() { # ATTESTOR
  case $1 in
    x509pop) printf 'spiffe://%s/spire/agent/x509pop/%s\n' "$trust_domain" "$(node_fingerprint)" ;;
    sshpop) printf 'spiffe://%s/spire/agent/sshpop/%s\n' "$trust_domain" "$(host_fingerprint)" ;;
    http_challenge) printf 'spiffe://%s/spire/agent/http_challenge/127.0.0.1\n' "$trust_domain" ;;
  esac
}

agent_selectors() { # SOCKET
  spire_cli "$1" agent list -output json \
    | jq -r '.agents[0].selectors[]? | .type + ":" + .value' | sort
}

evict_only_agent() { # SOCKET
  spire_cli "$1" agent evict -spiffeID "$(only_agent_id "$1")" >/dev/null
}

test_spire_agent_proofs() {
  local attestor dir
  have signet-server signet || return 0
  make_node_certificates rsa
  signet_server_settings="node_attestors:
  x509pop: {ca_bundle_path: $work/node-ca.pem}
  sshpop: {cert_authorities_path: $work/ssh-ca.pub}
  http_challenge: {allowed_addresses: [127.0.0.1]}"
  start_signet_server "$work/server"
  signet_ctl "$signet_server_socket" bundle show --format pem >"$work/bundle.pem"
  for attestor in x509pop sshpop http_challenge; do
    case $attestor in
      x509pop) spire_agent_attestor="x509pop private_key_path = \"$work/node.key\"
        certificate_path = \"$work/node.pem\"" ;;
      sshpop) spire_agent_attestor="sshpop host_key_path = \"$work/host\"
        host_cert_path = \"$work/host-cert.pub\"" ;;
      http_challenge) spire_agent_attestor="http_challenge hostname = \"127.0.0.1\"" ;;
    esac
    dir=$work/$attestor
    start_spire_agent "$dir" "$signet_server_port" "$work/bundle.pem" ""
    check_equal "SPIRE agent attests by $attestor" "$(proven_id "$attestor")" \
      "$(only_agent_id "$signet_server_socket")"
    if [[ $attestor == x509pop ]]; then
      check_contains "... with its subject as selector" "x509pop:subject:cn:node1" \
        "$(agent_selectors "$signet_server_socket")"
    fi
    new_entry "$workload_id" "$(proven_id "$attestor")" "$(own_uid_selector)" >/dev/null
    check_identity "... and serves" "$spire_agent_socket" "$workload_id"
    if [[ $attestor != http_challenge ]]; then
      evict_only_agent "$signet_server_socket"
      check "... and attests again when it was evicted" wait_for \
        "[[ \$(only_agent_id $signet_server_socket) == $(proven_id "$attestor") ]]" "$((2 * patience))"
    fi
    stop_process "$spire_agent_pid" KILL
    evict_only_agent "$signet_server_socket"
    delete_entries_of "$workload_id"
  done
  spire_agent_attestor="join_token "
  signet_server_settings=
}

delete_entries_of() { # SPIFFE_ID, on our server
  local id
  for id in $(spire_cli "$signet_server_socket" entry show -spiffeID "$1" -output json | jq -r '.entries[].id'); do
    spire_cli "$signet_server_socket" entry delete -entryID "$id" >/dev/null
  done
}

test_spire_server_proofs() {
  local attestor id serial
  have signet-agent || return 0
  make_node_certificates ed25519
  spire_server_attestors="x509pop ca_bundle_path = \"$work/node-ca.pem\"
sshpop cert_authorities_path = \"$work/ssh-ca.pub\"
http_challenge"
  spire_server_agent_ttl=20s
  start_spire_server "$work/server"
  spire_cli "$spire_server_socket" bundle show >"$work/bundle.pem"
  for attestor in x509pop sshpop http_challenge; do
    case $attestor in
      x509pop) signet_agent_more="node_attestor: {x509pop: {certificate_path: $work/node.pem, private_key_path: $work/node.key}}" ;;
      sshpop) signet_agent_more="node_attestor: {sshpop: {host_key_path: $work/host, host_cert_path: $work/host-cert.pub}}" ;;
      http_challenge) signet_agent_more="node_attestor: {http_challenge: {hostname: 127.0.0.1}}" ;;
    esac
    start_signet_agent "$work/$attestor" "$spire_server_port" "$work/bundle.pem" ""
    check "our agent attests to SPIRE server by $attestor" wait_for "only_agent_id $spire_server_socket" "$patience"
    id=$(only_agent_id "$spire_server_socket")
    check_equal "... with the ID that ours gives" "$(proven_id "$attestor")" "$id"
    spire_cli "$spire_server_socket" entry create -spiffeID "$workload_id" -parentID "$id" \
      -selector "$(own_uid_selector)" -x509SVIDTTL "$svid_ttl" >/dev/null
    check_identity "... and serves" "$signet_agent_socket" "$workload_id"
    serial=$(agent_serial "$spire_server_socket")
    check "... and renews" wait_for "[[ \$(agent_serial $spire_server_socket) != $serial ]]" "$((20 + patience))"
    check_identity "... and still serves" "$signet_agent_socket" "$workload_id"
    stop_process "$signet_agent_pid" KILL
    evict_only_agent "$spire_server_socket"
    spire_cli "$spire_server_socket" entry delete -entryID \
      "$(spire_cli "$spire_server_socket" entry show -spiffeID "$workload_id" -output json | jq -r '.entries[0].id')" >/dev/null
  done
  spire_server_attestors=
  spire_server_agent_ttl=
  signet_agent_more=
}

agent_serial() { # SOCKET
  spire_cli "$1" agent list -output json | jq -r '.agents[0].x509svid_serial_number'
}
