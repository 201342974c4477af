# Two Envoys that get their secrets from our agent, and what must hold while these rotate. Sourced
# by run.sh, after checks.sh.
#
#   workload-client -> client Envoy -> mTLS -> server Envoy -> workload-client
#
# shellcheck shell=bash

# envoy_secrets API_TYPE PEER_ID: common_tls_context of the default SVID and all bundles.
envoy_secrets() {
  local source='{"resource_api_version": "V3", "api_config_source": {"api_type": "'$1'",
    "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "agent"}}]}}'
  cat <<EOF
{
  "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
  "tls_certificate_sds_secret_configs": [{"name": "default", "sds_config": $source}],
  "combined_validation_context": {
    "default_validation_context": {
      "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": "$2"}}]},
    "validation_context_sds_secret_config": {"name": "ALL", "sds_config": $source}}
}
EOF
}

# write_envoy: one listener, one upstream, the agent's cluster, and an admin page whose port is in
# $work/NAME.admin. The two TLS texts are empty or end with a comma.
write_envoy() { # NAME LISTEN_PORT UPSTREAM DOWNSTREAM_TLS UPSTREAM_TLS SOCKET
  local name=$1 port=$2 upstream=$3 downstream_tls=$4 upstream_tls=$5 socket=$6
  free_port >"$work/$name.admin"
  cat >"$work/$name.json" <<EOF
{
  "node": {"id": "$name", "cluster": "interop"},
  "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": $(<"$work/$name.admin")}}},
  "static_resources": {
    "listeners": [{
      "name": "in",
      "address": {"socket_address": {"address": "127.0.0.1", "port_value": $port}},
      "filter_chains": [{$downstream_tls "filters": [{
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
          "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
          "stat_prefix": "in", "cluster": "upstream"}
      }]}]
    }],
    "clusters": [{
      "name": "upstream", "type": "STATIC", "connect_timeout": "5s", $upstream_tls
      "load_assignment": {"cluster_name": "upstream", "endpoints": [{"lb_endpoints": [{"endpoint": {
        "address": {"socket_address": {"address": "${upstream%:*}", "port_value": ${upstream##*:}}}}}]}]}
    }$(envoy_agent_cluster "$socket")]
  }
}
EOF
}

envoy_tls_socket() { # KIND CONTEXT MORE
  printf '"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": {
    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.%s", %s "common_tls_context": %s}},' \
    "$1" "$3" "$2"
}

# start_envoy_pair CLIENT_PROGRAM SERVER_PROGRAM BACKEND SOCKET: leaves envoy_address, and
# stranger_address of a client Envoy that expects another server.
start_envoy_pair() {
  local client=$1 server=$2 backend=$3 socket=$4 port inner stranger
  inner=$(free_port)
  port=$(free_port)
  stranger=$(free_port)
  envoy_address=127.0.0.1:$port
  stranger_address=127.0.0.1:$stranger
  write_envoy envoy-server "$inner" "$backend" "$(envoy_tls_socket DownstreamTlsContext \
    "$(envoy_secrets DELTA_GRPC "spiffe://$trust_domain/envoy/client")" '"require_client_certificate": true,')" "" "$socket"
  write_envoy envoy-client "$port" "127.0.0.1:$inner" "" "$(envoy_tls_socket UpstreamTlsContext \
    "$(envoy_secrets GRPC "spiffe://$trust_domain/envoy/server")" "")" "$socket"
  write_envoy envoy-stranger "$stranger" "127.0.0.1:$inner" "" "$(envoy_tls_socket UpstreamTlsContext \
    "$(envoy_secrets GRPC "spiffe://$trust_domain/envoy/other")" "")" "$socket"
  start_one_envoy envoy-server "$server" "$inner"
  start_one_envoy envoy-client "$client" "$port"
  start_one_envoy envoy-stranger "$client" "$stranger"
  check "both Envoys have their certificates by SDS" wait_for \
    '[[ -n $(envoy_serial envoy-client) && -n $(envoy_serial envoy-server) ]]' "$patience"
}

start_one_envoy() { # NAME PROGRAM PORT
  start "$1" "$2" -c "$work/$1.json" --concurrency 1 --disable-hot-restart --log-level warning
  wait_started "$started_pid" "port_is_open $3" "$1"
}

# The serial number of the certificate an Envoy uses now; empty: it has none.
envoy_serial() { # NAME
  curl -s --max-time 5 "http://127.0.0.1:$(<"$work/$1.admin")/certs" |
    jq -r '[.certificates[]?.cert_chain[]?.serial_number] | first // empty'
}

# Requests one after the other, each on a connection of its own, until $work/enough is there.
request_until_enough() {
  while [[ ! -e $work/enough ]]; do
    if "$peers/workload-client" -plain -dial "$envoy_address" -message ping -timeout 15s 2>/dev/null |
      jq -e '.reply == "echo: ping"' >/dev/null; then
      echo ok
    else
      echo failed
    fi
  done >"$work/requests"
}

# rotate ENVOY ENTRY MARK: the entry changes, so its SVID is issued anew; waits until the Envoy uses it.
rotate() {
  local before
  before=$(envoy_serial "$1")
  signet_ctl "$signet_server_socket" entry update --id "$2" --hint "$3" >/dev/null || return 1
  wait_for "[[ -n \$(envoy_serial $1) && \$(envoy_serial $1) != \"$before\" ]]" "$patience"
}

# check_envoy_rotation COUNT CLIENT_ENTRY SERVER_ENTRY
check_envoy_rotation() {
  local turn done=0 requests pid
  rm -f "$work/enough"
  request_until_enough &
  pid=$!
  for ((turn = 1; turn <= $1; turn++)); do
    rotate envoy-client "$2" "turn-$turn" && rotate envoy-server "$3" "turn-$turn" || break
    done=$turn
  done
  touch "$work/enough"
  wait "$pid" || true
  requests=$(wc -l <"$work/requests")
  check_equal "both Envoys took $1 new SVIDs each" "$1" "$done"
  check "requests went on meanwhile ($requests)" test "$requests" -ge "$1"
  check_equal "of $requests requests over $1 rotations failed" 0 "$(grep -c failed "$work/requests" || true)"
}
