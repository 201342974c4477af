# shellcheck shell=bash
# Checks that know no server and no agent: what a SPIRE-compatible server must answer to SPIRE's
# command line, what an agent must give to SPIFFE libraries, and who completes mTLS with whom.
# selfcheck.sh runs them on SPIRE itself, run.sh on Signet.
# Sourced behind lib.sh.
#
# shellcheck disable=SC2154 # variables of lib.sh
# shellcheck disable=SC2016 # $names in filters are jq's

# --- identities -------------------------------------------------------------------------------

# check_identity WHO SOCKET SPIFFE_ID: go-spiffe gets this ID, with a chain that verifies.
check_identity() {
  check "$1: go-spiffe gets an update" fetch_identity "$2"
  check_json "$1: it is $3 and verifies" "$work/identity.json" \
    '.svids | any(.spiffe_id == $id and .verified)' --arg id "$3"
}

fetch_identity() { # SOCKET
  "$peers/workload-client" -socket "unix://$1" -once -timeout "${patience}s" >"$work/identity.json"
}

# The serial of the SVID that a workload has now.
serial_of() { # SOCKET SPIFFE_ID
  "$peers/workload-client" -socket "unix://$1" -once -timeout "${patience}s" 2>>"$work/client.log" \
    | jq -r --arg id "$2" '.svids[] | select(.spiffe_id == $id).serial'
}

has_other_serial() { # SOCKET SPIFFE_ID SERIAL
  local serial
  serial=$(serial_of "$1" "$2")
  [[ -n $serial && $serial != "$3" ]]
}

# check_rotation WHO SOCKET SPIFFE_ID WATCHER...: the watcher sees the SVID replaced in time.
check_rotation() {
  local who=$1 socket=$2 id=$3 lines=$work/rotation-$1.json
  shift 3
  "$@" -socket "unix://$socket" -watch -distinct -updates 2 -timeout "$((svid_ttl * 2 + patience))s" \
    >"$lines" 2>"$work/rotation-$who.log" || true
  check_json "$who: sees the SVID and its successor" "$lines" \
    '[.[] | .svids[] | select(.spiffe_id == $id).serial] | unique | length >= 2' --slurp --arg id "$id"
  check_json "$who: each of them verifies against its bundle" "$lines" \
    'all(.[].svids[]; .verified) and length >= 2' --slurp
  check_json "$who: the successor came before the end of the first" "$lines" \
    'length >= 2 and (.[-1].time | .[:19]) < (.[0].svids[0].not_after | .[:19])' --slurp
}

# --- SPIRE's command line on an admin socket --------------------------------------------------

spiffe_id_filter='"spiffe://" + .trust_domain + .path'

check_cli_entries() { # SOCKET
  local socket=$1 out=$work/entry.json id
  local workload=spiffe://$trust_domain/workload/cli parent=spiffe://$trust_domain/node/cli

  check "entry create" spire_cli "$socket" entry create -spiffeID "$workload" -parentID "$parent" \
    -selector unix:uid:4711 -selector unix:gid:4712 -x509SVIDTTL 600 -jwtSVIDTTL 60 -dns cli.test -hint one
  check_contains "entry create prints the entry" "SPIFFE ID               : $workload" "$(<"$work/last.out")"
  id=$(sed -n 's/^Entry ID *: //p' "$work/last.out")
  check_different "entry create gives an ID" "" "$id"

  check_fails "entry create of the same again is refused" spire_cli "$socket" entry create \
    -spiffeID "$workload" -parentID "$parent" -selector unix:gid:4712 -selector unix:uid:4711
  check_contains "... as AlreadyExists" "AlreadyExists" "$(<"$work/last.out")"
  check_fails "entry create in another trust domain is refused" spire_cli "$socket" entry create \
    -spiffeID spiffe://elsewhere.test/x -parentID "$parent" -selector unix:uid:1
  check_contains "... as InvalidArgument" "InvalidArgument" "$(<"$work/last.out")"

  spire_cli "$socket" entry show -entryID "$id" -output json >"$out"
  check_json "entry show -entryID gives all that was set" "$out" '.entries | length == 1 and (.[0]
    | (.spiffe_id | '"$spiffe_id_filter"') == $workload and (.parent_id | '"$spiffe_id_filter"') == $parent
    and ([.selectors[] | .type + ":" + .value] | sort) == ["unix:gid:4712", "unix:uid:4711"]
    and .x509_svid_ttl == 600 and .jwt_svid_ttl == 60 and .dns_names == ["cli.test"] and .hint == "one"
    and .revision_number == "0")' --arg workload "$workload" --arg parent "$parent"
  check_contains "entry show -spiffeID finds it" "Found 1 entry" \
    "$(spire_cli "$socket" entry show -spiffeID "$workload")"
  check_contains "entry show -selector finds it by a subset" "Found 1 entry" \
    "$(spire_cli "$socket" entry show -selector unix:uid:4711)"
  check_contains "entry show -parentID of another finds none" "Found 0 entries" \
    "$(spire_cli "$socket" entry show -parentID "$parent/x")"
  check_contains "entry count" "1 registration entry" \
    "$(spire_cli "$socket" entry count -spiffeID "$workload")"

  check "entry update" spire_cli "$socket" entry update -entryID "$id" -spiffeID "$workload/new" \
    -parentID "$parent" -selector unix:uid:4713 -x509SVIDTTL 1200
  spire_cli "$socket" entry show -entryID "$id" -output json >"$out"
  check_json "entry update replaces what it names and counts the revision" "$out" '.entries[0]
    | .spiffe_id.path == "/workload/cli/new" and [.selectors[].value] == ["uid:4713"]
    and .x509_svid_ttl == 1200 and .revision_number == "1"'
  check_fails "entry update of an unknown ID is refused" spire_cli "$socket" entry update \
    -entryID 00000000-0000-4000-8000-000000000000 -spiffeID "$workload" -parentID "$parent" -selector unix:uid:1
  check_contains "... as NotFound" "NotFound" "$(<"$work/last.out")"

  check "entry delete" spire_cli "$socket" entry delete -entryID "$id"
  check_contains "entry delete says so" "Deleted entry with ID: $id" "$(<"$work/last.out")"
  check_fails "entry delete of the same again is refused" spire_cli "$socket" entry delete -entryID "$id"
  check_contains "... as NotFound" "NotFound" "$(<"$work/last.out")"
  check_fails "entry show of a deleted entry is refused" spire_cli "$socket" entry show -entryID "$id"
}

check_cli_tokens() { # SOCKET
  local socket=$1 alias=spiffe://$trust_domain/node/token text
  text=$(spire_cli "$socket" token generate -ttl 60)
  check_contains "token generate prints a token" "Token: " "$text"
  spire_cli "$socket" token generate -spiffeID "$alias" -output json >"$work/token.json"
  check_json "token generate -spiffeID gives value and expiry" "$work/token.json" \
    '(.value | length) > 0 and (.expires_at | tonumber) > now'
  spire_cli "$socket" entry show -spiffeID "$alias" -output json >"$work/alias.json"
  check_json "... and makes the node entry" "$work/alias.json" '.entries | length == 1 and
    (.[0] | .parent_id.path | startswith("/spire/agent/join_token/") or . == "/spire/server")'
}

check_cli_bundle() { # SOCKET
  local socket=$1
  spire_cli "$socket" bundle show >"$work/bundle.pem"
  check "bundle show prints PEM" openssl x509 -in "$work/bundle.pem" -noout -text
  check_contains "... of an authority" "CA:TRUE" "$(<"$work/last.out")"
  check_contains "... with the trust domain as its URI name" "URI:spiffe://$trust_domain" "$(<"$work/last.out")"
  spire_cli "$socket" bundle show -format spiffe >"$work/bundle.json"
  check_json "bundle show -format spiffe has X.509 and JWT keys" "$work/bundle.json" \
    '[.keys[].use] | (index("x509-svid") != null) and (index("jwt-svid") != null)'
  check_contains "bundle count" "1 bundle" "$(spire_cli "$socket" bundle count)"
  check "healthcheck" spire_cli "$socket" healthcheck
}

check_cli_mint() { # SOCKET
  local socket=$1 id=spiffe://$trust_domain/minted text
  mkdir -p "$work/mint"
  check "x509 mint" spire_cli "$socket" x509 mint -spiffeID "$id" -ttl 10m -dns mint.test -write "$work/mint"
  check "the minted SVID verifies by openssl" openssl verify -x509_strict -purpose sslclient \
    -CAfile "$work/mint/bundle.pem" -untrusted "$work/mint/svid.pem" "$work/mint/svid.pem"
  text=$(openssl x509 -in "$work/mint/svid.pem" -noout -text)
  check_contains "... has the SPIFFE ID" "URI:$id" "$text"
  check_contains "... has the DNS name" "DNS:mint.test" "$text"
  check_contains "... is no authority" "CA:FALSE" "$text"
  check_equal "... belongs to the key" \
    "$(openssl pkey -in "$work/mint/key.pem" -pubout)" \
    "$(openssl x509 -in "$work/mint/svid.pem" -noout -pubkey)"
  check "... ends in time" openssl x509 -in "$work/mint/svid.pem" -noout -checkend 500
  check_fails "... and not later" openssl x509 -in "$work/mint/svid.pem" -noout -checkend 700
  check_fails "x509 mint for another trust domain is refused" spire_cli "$socket" x509 mint \
    -spiffeID spiffe://elsewhere.test/x

  spire_cli "$socket" jwt mint -spiffeID "$id" -audience one -ttl 2m \
    >"$work/mint/jwt" 2>>"$work/client.log" || true
  jq -R 'split(".")[1] | gsub("-"; "+") | gsub("_"; "/") | @base64d | fromjson' <"$work/mint/jwt" \
    >"$work/mint/claims.json" || true
  check_json "jwt mint gives subject, audience and expiry" "$work/mint/claims.json" \
    '.sub == $id and .aud == ["one"] and .exp - .iat == 120' --arg id "$id"
}

# One attested agent must be there; it is gone afterwards.
check_cli_agents() { # SOCKET AGENT_ID
  local socket=$1 id=$2
  check_contains "agent list shows the agent" "SPIFFE ID         : $id" "$(spire_cli "$socket" agent list)"
  check_contains "agent count" "1 attested agent" "$(spire_cli "$socket" agent count)"
  spire_cli "$socket" agent show -spiffeID "$id" -output json >"$work/agent.json"
  check_json "agent show" "$work/agent.json" '.attestation_type == "join_token" and (.banned | not)
    and (.x509svid_serial_number | length) > 0 and (.x509svid_expires_at | tonumber) > now'
  check_contains "agent list -attestationType of another finds none" "No attested agents found" \
    "$(spire_cli "$socket" agent list -attestationType x509pop)"

  check "agent ban" spire_cli "$socket" agent ban -spiffeID "$id"
  check_contains "agent list -banned true shows it" "$id" "$(spire_cli "$socket" agent list -banned true)"
  check_contains "agent list -banned false does not" "No attested agents found" \
    "$(spire_cli "$socket" agent list -banned false)"
  check "agent evict" spire_cli "$socket" agent evict -spiffeID "$id"
  check_contains "agent list is empty then" "No attested agents found" "$(spire_cli "$socket" agent list)"
  check_fails "agent evict of the same again is refused" spire_cli "$socket" agent evict -spiffeID "$id"
  check_contains "... as NotFound" "NotFound" "$(<"$work/last.out")"
  check_fails "agent ban of an unknown agent is refused" spire_cli "$socket" agent ban -spiffeID "$id"
}

# A whole forced rotation. No agent may be attested: an authority could have to wait for it.
check_cli_local_authority() { # SOCKET
  local socket=$1 out=$work/authority.json first second
  spire_cli "$socket" localauthority x509 show -output json >"$out"
  check_json "localauthority x509 show has an active authority" "$out" '(.active.authority_id | length) > 0'
  first=$(jq -r .active.authority_id "$out")

  check "localauthority x509 prepare" spire_cli "$socket" localauthority x509 prepare
  spire_cli "$socket" localauthority x509 show -output json >"$out"
  second=$(jq -r .prepared.authority_id "$out")
  check_different "... prepares another" "$first" "$second"
  check_equal "... which the bundle has at once" 2 \
    "$(spire_cli "$socket" bundle show | grep -c 'BEGIN CERTIFICATE')"

  check "localauthority x509 activate" spire_cli "$socket" localauthority x509 activate -authorityID "$second"
  spire_cli "$socket" localauthority x509 show -output json >"$out"
  check_json "... makes it active and the first one old" "$out" \
    '.active.authority_id == $second and .old.authority_id == $first' --arg first "$first" --arg second "$second"
  check_fails "localauthority x509 taint of the active one is refused" \
    spire_cli "$socket" localauthority x509 taint -authorityID "$second"
  check "localauthority x509 taint of the old one" \
    spire_cli "$socket" localauthority x509 taint -authorityID "$first"
  check "localauthority x509 revoke of the old one" \
    spire_cli "$socket" localauthority x509 revoke -authorityID "$first"
  check_equal "... takes it out of the bundle" 1 \
    "$(spire_cli "$socket" bundle show | grep -c 'BEGIN CERTIFICATE')"
}

# --- mTLS -------------------------------------------------------------------------------------

# check_echo WHAT ADDRESS CLIENT...: a line sent by workload-client comes back through the address.
check_echo() {
  local what=$1 address=$2
  shift 2
  "$@" -dial "$address" -message "line for $what" -timeout 15s \
    >"$work/dial.json" 2>"$work/dial.err" || true
  check_json "$what" "$work/dial.json" '.reply == "echo: " + .message'
}

# check_no_echo WHAT ADDRESS CLIENT...: it does not, because the connection was refused; a client
# without an identity would prove nothing.
check_no_echo() {
  local what=$1 address=$2
  shift 2
  "$@" -dial "$address" -message "line for $what" -timeout 15s \
    >"$work/dial.json" 2>"$work/dial.err" || true
  check_json "$what" "$work/dial.json" '.error != null and .reply == null and .stage != "connect"'
}

# openssl_says ADDRESS [s_client option...]: sends one line over TLS, prints what comes back.
# The input stays open for a while, because s_client leaves at its end.
openssl_says() {
  local address=$1
  shift
  { printf 'hello\n'; sleep 3; } \
    | timeout 10 openssl s_client -connect "$address" -quiet -no_ign_eof -verify_quiet "$@" 2>"$work/openssl.err" || true
}

# check_openssl ADDRESS DIR SPIFFE_ID: with the SVID in DIR, which has this ID, openssl completes
# mTLS; without one, and with a forged one, it is refused. The refusals come first: the success
# after them shows that there was somebody to refuse.
check_openssl() {
  local address=$1 dir=$2 id=$3
  check_equal "openssl without an SVID is refused" "" \
    "$(openssl_says "$address" -CAfile "$dir/bundle.pem" -verify_return_error)"
  make_forged_svid "$work/forged" "$id"
  check_equal "openssl with a forged SVID is refused" "" "$(openssl_says "$address" \
    -cert "$work/forged/svid.pem" -key "$work/forged/key.pem" -CAfile "$dir/bundle.pem" -verify_return_error)"
  check_equal "openssl with an SVID completes mTLS" "echo: hello" "$(openssl_says "$address" \
    -cert "$dir/svid.pem" -cert_chain "$dir/svid.pem" -key "$dir/key.pem" -CAfile "$dir/bundle.pem" -verify_return_error)"
}

# A certificate that says the ID and is signed by nobody of the trust domain.
make_forged_svid() { # DIR SPIFFE_ID
  mkdir -p "$1"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /O=forged \
    -addext "subjectAltName=URI:$2" -addext "basicConstraints=critical,CA:FALSE" \
    -addext "keyUsage=critical,digitalSignature" -addext "extendedKeyUsage=clientAuth,serverAuth" \
    -keyout "$1/key.pem" -out "$1/svid.pem" 2>/dev/null
}

# --- Envoy ------------------------------------------------------------------------------------

# start_envoy NAME UPSTREAM TLS_CONTEXT CLUSTERS: TCP on loopback in, TLS to the upstream out.
# TLS_CONTEXT is the JSON of common_tls_context; CLUSTERS more clusters, as JSON list items with a
# comma before each. Leaves envoy_address.
start_envoy() {
  local name=$1 upstream=$2 context=$3 clusters=$4 port
  port=$(free_port)
  envoy_address=127.0.0.1:$port
  cat >"$work/$name.json" <<EOF
{
  "node": {"id": "$name", "cluster": "interop"},
  "static_resources": {
    "listeners": [{
      "name": "in",
      "address": {"socket_address": {"address": "127.0.0.1", "port_value": $port}},
      "filter_chains": [{"filters": [{
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
          "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
          "stat_prefix": "in", "cluster": "upstream"}
      }]}]
    }],
    "clusters": [{
      "name": "upstream", "type": "STATIC", "connect_timeout": "5s",
      "load_assignment": {"cluster_name": "upstream", "endpoints": [{"lb_endpoints": [{"endpoint": {
        "address": {"socket_address": {"address": "${upstream%:*}", "port_value": ${upstream##*:}}}}}]}]},
      "transport_socket": {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
          "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
          "common_tls_context": $context}
      }
    }$clusters]
  }
}
EOF
  start "$name" "$peers/envoy" -c "$work/$name.json" --concurrency 1 --disable-hot-restart --log-level warning
  wait_started "$started_pid" "port_is_open $port" "envoy"
}

# common_tls_context of certificates in files, expecting one SPIFFE ID.
envoy_files_context() { # DIR SPIFFE_ID
  cat <<EOF
{
  "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
  "tls_certificates": [{
    "certificate_chain": {"filename": "$1/svid.pem"}, "private_key": {"filename": "$1/key.pem"}}],
  "validation_context": {
    "trusted_ca": {"filename": "$1/bundle.pem"},
    "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": "$2"}}]}
}
EOF
}

# common_tls_context of secrets by SDS, and the cluster of the agent's socket.
envoy_sds_context() { # SPIFFE_ID_OF_ENVOY SPIFFE_ID_OF_PEER
  local source='{"resource_api_version": "V3", "api_config_source": {"api_type": "GRPC",
    "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "agent"}}]}}'
  cat <<EOF
{
  "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
  "tls_certificate_sds_secret_configs": [{"name": "$1", "sds_config": $source}],
  "combined_validation_context": {
    "default_validation_context": {
      "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": "$2"}}]},
    "validation_context_sds_secret_config": {"name": "spiffe://$trust_domain", "sds_config": $source}}
}
EOF
}

envoy_agent_cluster() { # SOCKET
  cat <<EOF
, {
  "name": "agent", "type": "STATIC", "connect_timeout": "5s",
  "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
    "explicit_http_config": {"http2_protocol_options": {}}}},
  "load_assignment": {"cluster_name": "agent", "endpoints": [{"lb_endpoints": [{"endpoint": {
    "address": {"pipe": {"path": "$1"}}}}]}]}
}
EOF
}

# check_envoy_files ADDRESS DIR SERVER_ID: Envoy with the SVID in DIR as a TLS client of ADDRESS.
check_envoy_files() {
  if [[ ! -x $peers/envoy ]]; then
    skip "Envoy is not there"
    return
  fi
  start_envoy envoy-right "$1" "$(envoy_files_context "$2" "$3")" ""
  check_echo "Envoy with SVID files completes mTLS" "$envoy_address" "$peers/workload-client" -plain
  start_envoy envoy-wrong "$1" "$(envoy_files_context "$2" "$3/other")" ""
  check_no_echo "Envoy refuses a server whose ID it does not expect" "$envoy_address" \
    "$peers/workload-client" -plain
}

# check_envoy_sds ADDRESS SOCKET OWN_ID SERVER_ID: the same with secrets from the agent.
check_envoy_sds() {
  if [[ ! -x $peers/envoy ]]; then
    skip "Envoy is not there"
    return
  fi
  start_envoy envoy-sds "$1" "$(envoy_sds_context "$3" "$4")" "$(envoy_agent_cluster "$2")"
  check_echo "Envoy with secrets by SDS completes mTLS" "$envoy_address" "$peers/workload-client" -plain
  start_envoy envoy-sds-wrong "$1" "$(envoy_sds_context "$3" "$4/other")" "$(envoy_agent_cluster "$2")"
  check_no_echo "Envoy by SDS refuses a server whose ID it does not expect" "$envoy_address" \
    "$peers/workload-client" -plain
}

# --- certificates -----------------------------------------------------------------------------

# check_lint WHAT PEM: zlint (the lints of RFC 5280 and its like) finds no error and no warning,
# pkilint neither. One finding of pkilint is left out: its URI check takes every spiffe:// for a
# wrong URI.
check_lint() {
  local what=$1 pem=$2 report=$work/lint.json
  if [[ -x $peers/zlint ]]; then
    "$peers/zlint" -includeSources RFC5280,RFC5480,RFC8813,Community "$pem" >"$report" || true
    check_json "$what: zlint looked" "$report" 'length > 50'
    check_json "$what: zlint has nothing to say" "$report" \
      '[.[] | select(.result == "error" or .result == "fatal" or .result == "warn")] == []'
  fi
  if [[ -x $cache/venv/bin/lint_pkix_cert ]]; then
    "$cache/venv/bin/lint_pkix_cert" lint -s WARNING -f JSON "$pem" >"$report" 2>"$work/lint.err" || true
    check_json "$what: pkilint has nothing to say" "$report" \
      '[.results[].finding_descriptions[] | select(.code != "pkix.invalid_uri_syntax")] == []'
  fi
}
