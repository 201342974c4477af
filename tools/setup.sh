#!/usr/bin/env bash
# Installs the Debian packages a task needs: tools/setup.sh build|demo|bench|interop|lint|fuzz.
# Says what and why, uses sudo when not root, and does nothing when all is there.
set -euo pipefail

packages_for() {
  case "$1" in
    build) cat <<'LIST'
g++                        the compiler
cmake                      the build's description
ninja-build                the build's engine
ccache                     remembers compiled files
pkg-config                 finds libraries
libgrpc++-dev              gRPC: the server's, the agent's and the Workload API's transport
protobuf-compiler          message code
protobuf-compiler-grpc     service code
libprotobuf-dev            messages
libssl-dev                 OpenSSL: all cryptography
libsqlite3-dev             the embedded database
libp11-kit-dev             PKCS#11's header: keys in tokens
softhsm2                   tests keep keys in a token
gdb                        a test looks for keys in a core dump
libspdlog-dev              log lines
libfmt-dev                 text formatting
libexpected-dev            results as values
libyaml-cpp-dev            configuration files
nlohmann-json3-dev         JSON
libcli11-dev               command lines
prometheus-cpp-dev         metrics
libsystemd-dev             the agent asks systemd which file a unit was read from
libnghttp2-dev             HTTP/2 framing in the proxy
catch2                     tests
openssl                    tests speak TLS to us with another program
openssh-client             ssh-keygen makes the host certificates of the sshpop tests
python3                    layer checks and recorded cases
python3-grpcio             recorded answers are compared over another gRPC client
python3-protobuf           … its messages
python3-cryptography       … and its certificates
nginx-light                a program that knows no SPIFFE, whose certificates the agent renews
python3-h11                another reader of HTTP/1.1, to compare ours with
LIST
      ;;
    demo) cat <<'LIST'
nginx-light                a real service behind the proxy
curl                       a real client in front of it
LIST
      ;;
    bench) cat <<'LIST'
nginx-light                the peer in proxy benchmarks
libnginx-mod-stream        … at TCP level
haproxy                    another peer there
curl                       asks whether the parts are up
LIST
      ;;
    interop) cat <<'LIST'
jq                         answers of other programs are checked as JSON
python3-venv               an environment for py-spiffe and Envoy
curl                       another client
LIST
      ;;
    lint) cat <<'LIST'
clang-format-19            one format
clang-tidy-19              static checks
LIST
      ;;
    fuzz) cat <<'LIST'
clang-19                   libFuzzer's compiler
libclang-rt-19-dev         libFuzzer's and the sanitizers' runtime
LIST
      ;;
    *) echo "usage: tools/setup.sh build|demo|bench|interop|lint|fuzz" >&2; exit 2 ;;
  esac
}

task=${1:-build}
missing=()
while read -r package why; do
  if ! dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed'; then
    missing+=("$package")
    printf '  %-24s %s\n' "$package" "$why"
  fi
done < <(packages_for "$task")
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get > /dev/null; then
  echo "setup: the packages above are missing, and this is no Debian (no apt-get). Install their likes, then go on." >&2
  exit 1
fi
run=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo > /dev/null || { echo "setup: not root and no sudo; run as root: apt-get install ${missing[*]}" >&2; exit 1; }
  run=(sudo)
fi
echo "setup: installing the ${#missing[@]} Debian packages above for '$task'"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() { DEBIAN_FRONTEND=noninteractive "${run[@]}" apt-get install -y --no-install-recommends "${missing[@]}" > "$log" 2>&1; }
if ! install; then
  "${run[@]}" apt-get update > "$log" 2>&1 || { cat "$log" >&2; exit 1; }
  install || { tail -n 30 "$log" >&2; echo "setup: apt-get failed; see above" >&2; exit 1; }
fi
