# shellcheck shell=bash
# Federation and OpenID Connect discovery between our server and go-spiffe, SPIRE's command line and
# PyJWT. Sourced by run.sh behind checks.sh.
#
# shellcheck disable=SC2154 # variables of lib.sh and run.sh
# shellcheck disable=SC2016 # $names in filters are jq's

readonly other_domain=other.test

# A certificate for localhost and 127.0.0.1, its key and its authority, as the web has them.
make_web_certificate() { # DIR
  mkdir -p "$1"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj "/CN=web root" \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign" \
    -keyout "$1/root.key" -out "$1/root.pem" 2>/dev/null
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /O=web \
    -keyout "$1/tls.key" -out "$1/tls.csr" 2>/dev/null
  openssl x509 -req -in "$1/tls.csr" -CA "$1/root.pem" -CAkey "$1/root.key" -days 1 -out "$1/tls.pem" \
    -extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n') 2>/dev/null
  chmod 0600 "$1/tls.key"
}

# start_federated_server DIR PROFILE_LINES: our server with a bundle endpoint; leaves endpoint_port too.
start_federated_server() {
  local dir=$1 profile=$2
  mkdir -p "$dir/data"
  free_port >"$dir/port"
  endpoint_port=$(free_port)
  cat >"$dir/server.yaml" <<EOF
trust_domain: $trust_domain
data_dir: $dir/data
listen: 127.0.0.1:$(<"$dir/port")
admin_socket: $dir/admin.sock
jwt_issuer: https://localhost:$endpoint_port
federation:
  allowed_networks: [127.0.0.0/8]
  web_roots_file: $work/web/root.pem
  bundle_endpoint:
    listen: 127.0.0.1:$endpoint_port
$profile
EOF
  start_signet_server "$dir"
}

fetch_bundle() { "$peers/bundle-endpoint" -fetch "$1" -trust-domain "$trust_domain" "${@:2}"; }

# go-spiffe's client on our endpoint, by both profiles.
test_federation_endpoint() {
  have signet-server signet || return 0
  local own
  make_web_certificate "$work/web"
  start_federated_server "$work/spiffe" "    profile: https_spiffe"
  signet_ctl "$signet_server_socket" bundle show --format spiffe >"$work/bundle.json"
  own=$(jq -cS .keys "$work/bundle.json")
  fetch_bundle "https://127.0.0.1:$endpoint_port/" -bundle "$work/bundle.json" \
    -endpoint-id "spiffe://$trust_domain/spire/server" >"$work/fetched.json" || true
  check_equal "go-spiffe's client gets our bundle by https_spiffe" "$own" "$(jq -cS .keys "$work/fetched.json")"
  check_json "... with sequence number and refresh hint" "$work/fetched.json" \
    '.spiffe_sequence > 0 and .spiffe_refresh_hint == 300'
  check_fails "... and refuses an endpoint with another ID" fetch_bundle "https://127.0.0.1:$endpoint_port/" \
    -bundle "$work/bundle.json" -endpoint-id "spiffe://$trust_domain/other"

  start_federated_server "$work/web-server" "    profile: https_web
    cert_file: $work/web/tls.pem
    key_file: $work/web/tls.key"
  signet_ctl "$signet_server_socket" bundle show --format spiffe >"$work/bundle.json"
  fetch_bundle "https://localhost:$endpoint_port/" -web-roots "$work/web/root.pem" >"$work/fetched.json" || true
  check_equal "go-spiffe's client gets our bundle by https_web" "$(jq -cS .keys "$work/bundle.json")" \
    "$(jq -cS .keys "$work/fetched.json")"
}

# Our client on go-spiffe's handler, commanded by SPIRE's own command line.
test_federation_client() {
  have signet-server signet || return 0
  local address socket
  make_web_certificate "$work/web"
  start_federated_server "$work/server" "    profile: https_spiffe"
  socket=$signet_server_socket
  jq '.spiffe_sequence = 7' <(signet_ctl "$socket" bundle show --format spiffe) >"$work/other.json"
  start_with_output endpoint "$peers/bundle-endpoint" -serve 127.0.0.1:0 \
    -trust-domain "$other_domain" -bundle "$work/other.json" -cert "$work/web/tls.pem" -key "$work/web/tls.key"
  wait_started "$started_pid" "[[ -s $work/endpoint.out ]]" "go-spiffe's endpoint"
  address=$(<"$work/endpoint.out")

  check "SPIRE's federation create" spire_cli "$socket" federation create -trustDomain "$other_domain" \
    -bundleEndpointURL "https://localhost:${address##*:}/" -bundleEndpointProfile https_web
  check "our client gets go-spiffe's bundle" wait_for \
    "spire_cli $socket bundle list -id spiffe://$other_domain -format spiffe | grep -q x509-svid" "$patience"
  check "SPIRE's federation refresh" spire_cli "$socket" federation refresh -id "$other_domain"
  check_contains "SPIRE's federation list" "Trust domain              : $other_domain" \
    "$(spire_cli "$socket" federation list)"
  check_contains "SPIRE's federation show" "https_web" \
    "$(spire_cli "$socket" federation show -trustDomain "$other_domain")"
  signet_ctl "$socket" federation list -o json >"$work/list.json"
  check_json "signet federation list shows it with its bundle" "$work/list.json" \
    'length == 1 and .[0].trust_domain == $domain and .[0].bundle.spiffe_sequence == 7' --arg domain "$other_domain"
  check "SPIRE's federation update" spire_cli "$socket" federation update -trustDomain "$other_domain" \
    -bundleEndpointURL "https://127.0.0.1:${address##*:}/x" -bundleEndpointProfile https_web
  check_contains "... shows" "127.0.0.1:${address##*:}/x" \
    "$(spire_cli "$socket" federation show -trustDomain "$other_domain")"
  check_fails "SPIRE's federation refresh of another is refused" \
    spire_cli "$socket" federation refresh -id none.test
  check "SPIRE's federation delete" spire_cli "$socket" federation delete -id "$other_domain"
  check_fails "... once" spire_cli "$socket" federation delete -id "$other_domain"
  check "SPIRE's bundle delete" spire_cli "$socket" bundle delete -id "spiffe://$other_domain"
}

# A JWT-SVID checked by software that knows OpenID Connect only.
test_oidc_discovery() {
  have signet-server signet || return 0
  if ! "$python" -c 'import jwt, cryptography' 2>/dev/null; then
    skip "PyJWT is not there"
    return 0
  fi
  make_web_certificate "$work/web"
  start_federated_server "$work/server" "    profile: https_web
    cert_file: $work/web/tls.pem
    key_file: $work/web/tls.key
    oidc_discovery: true"
  spire_cli "$signet_server_socket" jwt mint -spiffeID "spiffe://$trust_domain/oidc" -audience relying-party \
    >"$work/token" 2>>"$work/client.log" || true
  check "PyJWT finds the key by discovery and accepts the token" \
    "$python" "$interop_dir/python/oidc_verify.py" "https://localhost:$endpoint_port" "$work/web/root.pem" \
    relying-party "spiffe://$trust_domain/oidc" "$work/token"
  check_fails "... and refuses it for another audience" \
    "$python" "$interop_dir/python/oidc_verify.py" "https://localhost:$endpoint_port" "$work/web/root.pem" \
    another "spiffe://$trust_domain/oidc" "$work/token"
}
