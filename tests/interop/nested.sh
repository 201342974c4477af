# shellcheck shell=bash
# Nested servers: ours below SPIRE's, and SPIRE's below ours. Sourced by run.sh behind checks.sh.
#
# shellcheck disable=SC2154 # variables of lib.sh and run.sh

readonly nested_id=spiffe://$trust_domain/nested-server

# The SVID that an agent of the lower level gives, against the root of the upper level alone.
check_below() { # WHAT SOCKET ROOTS_PEM
  mkdir -p "$work/below"
  check "$1: the workload writes its SVID to files" \
    "$peers/workload-client" -socket "unix://$2" -once -write "$work/below"
  check "$1: openssl verifies it by the upper level's root" openssl verify -x509_strict -CAfile "$3" \
    -untrusted "$work/below/svid.pem" "$work/below/svid.pem"
}

jwt_keys_of_spire() { spire_cli "$1" bundle show -format spiffe | jq '[.keys[] | select(.use == "jwt-svid")] | length'; }
roots_of_spire() { spire_cli "$1" bundle show -format spiffe | jq '[.keys[] | select(.use == "x509-svid")] | length'; }

# Ours below SPIRE's, through a rotation of SPIRE's root and its taint.
test_nested_below_spire() {
  local upper token old next
  have signet-server signet-agent signet || return 0
  start_spire_server "$work/upper"
  upper=$spire_server_socket
  spire_cli "$upper" bundle show >"$work/upper.pem"
  token=$(spire_cli "$upper" token generate -spiffeID "$node_id" -output json | jq -r .value)
  start_spire_agent "$work/upper-agent" "$spire_server_port" "$work/upper.pem" "$token"
  check "an entry for the nested server on SPIRE server" spire_cli "$upper" entry create -spiffeID "$nested_id" \
    -parentID "$node_id" -selector "$(own_uid_selector)" -downstream
  check "SPIRE agent gives it an identity" wait_for "[[ -n \$(serial_of $spire_agent_socket $nested_id) ]]" "$patience"
  signet_server_settings="upstream_authority: {type: signet, server: \"127.0.0.1:$spire_server_port\", workload_api_socket: $spire_agent_socket}" \
    start_signet_server "$work/nested"
  pass "our server starts below SPIRE server"
  check_equal "... with its bundle" "$(openssl x509 -in "$work/upper.pem" -noout -fingerprint)" \
    "$(signet_ctl "$signet_server_socket" bundle show --format pem | openssl x509 -noout -fingerprint)"
  check "... and publishes its JWT authority there" wait_for "[[ \$(jwt_keys_of_spire $upper) == 2 ]]" "$patience"
  start_signet_agent "$work/nested-agent" "$signet_server_port" "$work/upper.pem" "$(new_token)"
  wait_for "only_agent_id $signet_server_socket" "$patience" || die "the nested server has no agent"
  agent_id=$(only_agent_id "$signet_server_socket")
  check "an entry on the nested server" new_entry "$workload_id" "$agent_id" "$(own_uid_selector)"
  check_identity "below" "$signet_agent_socket" "$workload_id"
  check_below "below" "$signet_agent_socket" "$work/upper.pem"

  old=$(spire_cli "$upper" localauthority x509 show -output json | jq -r .active.authority_id)
  check "SPIRE prepares a root" spire_cli "$upper" localauthority x509 prepare
  next=$(spire_cli "$upper" localauthority x509 show -output json | jq -r .prepared.authority_id)
  check "... which is ours too" wait_for "[[ \$(roots_of_spire $signet_server_socket) == 2 ]]" "$patience"
  check "SPIRE activates it" spire_cli "$upper" localauthority x509 activate -authorityID "$next"
  check "SPIRE taints the old one" spire_cli "$upper" localauthority x509 taint -authorityID "$old"
  check "... which our authority leaves" wait_for \
    "[[ \$(spire_cli $signet_server_socket localauthority x509 show -output json | jq -r .active.upstream_authority_subject_key_id) == $next ]]" \
    "$((patience * 2))"
  check "SPIRE revokes it" spire_cli "$upper" localauthority x509 revoke -authorityID "$old"
  check "... and it leaves our bundle" wait_for "[[ \$(roots_of_spire $signet_server_socket) == 1 ]]" "$patience"
  check_identity "below the new root" "$signet_agent_socket" "$workload_id"
}

# SPIRE's below ours.
test_spire_below_signet() {
  local root
  have signet-server signet-agent signet || return 0
  start_signet
  root=$work/bundle.pem
  check "an entry for the nested server" signet_ctl "$signet_server_socket" entry create --spiffe-id "$nested_id" \
    --parent-id "$agent_id" --selector "$(own_uid_selector)" --downstream
  check "our agent gives it an identity" wait_for "[[ -n \$(serial_of $signet_agent_socket $nested_id) ]]" "$patience"
  spire_server_plugins="UpstreamAuthority \"spire\" { plugin_data {
    server_address = \"127.0.0.1\"
    server_port = \"$signet_server_port\"
    workload_api_socket = \"$signet_agent_socket\"
  } }" start_spire_server "$work/nested"
  pass "SPIRE server starts below our server"
  openssl s_client -showcerts -connect "127.0.0.1:$spire_server_port" </dev/null 2>/dev/null \
    | awk '/BEGIN CERT/ {n++} n == 2' | openssl x509 >"$work/downstream.pem"
  check_lint "the certificate of an authority below ours" "$work/downstream.pem"
  check "... and publishes its JWT authority there" wait_for \
    "[[ \$(jwt_keys_of_spire $signet_server_socket) == 2 ]]" "$patience"
  start_spire_agent "$work/nested-agent" "$spire_server_port" "$root" \
    "$(spire_cli "$spire_server_socket" token generate -spiffeID "$node_id" -output json | jq -r .value)"
  check "an entry on the nested server" spire_cli "$spire_server_socket" entry create -spiffeID "$workload_id" \
    -parentID "$node_id" -selector "$(own_uid_selector)"
  check_identity "below" "$spire_agent_socket" "$workload_id"
  check_below "below" "$spire_agent_socket" "$root"
}
