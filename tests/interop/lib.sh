# shellcheck shell=bash
# Helpers of the interop tests: processes, waiting, counting, and the start of real peers.
# Sourced by selfcheck.sh and run.sh; not run by itself.
#
# One run has one state folder, removed at the end unless something failed or
# SIGNET_INTEROP_KEEP=1. Each test runs in a subshell with a folder of its own ($work), and what it
# started is ended when it is over. Processes are ended by pid, and only while the pid still is the
# process that was started.
#
# shellcheck disable=SC2034 # variables set here are read by the scripts that source this one
# shellcheck disable=SC2154 # all_tests is theirs

interop_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${SIGNET_INTEROP_CACHE:-$HOME/.cache/signet-interop}
peers=$cache/bin
python=$cache/venv/bin/python

trust_domain=example.org
# Short, so that a renewal is seen; agents renew at about half of it.
svid_ttl=${SIGNET_INTEROP_TTL:-30}
# How long something may take that takes a second or two on an idle machine.
patience=${SIGNET_INTEROP_PATIENCE:-60}

# need_peers NAME...: without these nothing can be tested: status 77.
need_peers() {
  local tool name
  for tool in jq openssl shuf; do
    if ! command -v "$tool" >/dev/null; then
      printf 'interop tests need %s\n' "$tool" >&2
      exit 77
    fi
  done
  for name in "$@"; do
    if [[ ! -x $peers/$name ]]; then
      printf '%s is not in %s: run %s/build.sh\n' "$name" "$peers" "$interop_dir" >&2
      exit 77
    fi
  done
}

py_spiffe_is_there() { [[ -x $python ]] && "$python" -c 'import spiffe' 2>/dev/null; }

# --- the run ----------------------------------------------------------------------------------

begin_run() {
  state=$(mktemp -d "${TMPDIR:-/tmp}/signet-interop.XXXXXX")
  # A Unix socket's path has at most 107 bytes; ours are at most 45 longer than this one.
  if ((${#state} > 60)); then
    printf 'state folder %s is too long for socket paths: set TMPDIR\n' "$state" >&2
    rm -rf "$state"
    exit 2
  fi
  : >"$state/results"
  : >"$state/processes"
  : >"$state/ports"
  work=$state
  trap end_run EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# Also the exit trap: ends what still runs, and decides what becomes of the state folder.
end_run() {
  local status=$?
  trap - EXIT
  if [[ -n ${test_pid:-} ]]; then
    abandon_test
  fi
  stop_all
  if ((status != 0)) || [[ ${SIGNET_INTEROP_KEEP:-0} == 1 ]]; then
    printf 'logs and state: %s\n' "$state"
  else
    rm -rf "$state"
  fi
  exit "$status"
}

# Ends the test that runs, with the command it waits for, which no list of ours has.
abandon_test() {
  local pid family
  family=$(descendants_of "$test_pid")
  {
    kill -KILL "$test_pid"
    wait "$test_pid"
    for pid in $family; do
      kill -TERM "$pid"
    done
  } 2>/dev/null || true
}

descendants_of() { # PID
  local child
  for child in $(ps -o pid= --ppid "$1"); do
    descendants_of "$child"
    printf '%s\n' "$child"
  done
}

count_of() { grep -c "^$1 " "$state/results" || true; }

# Prints the closing line; the status says whether all went well.
close_run() {
  local passed failed skipped
  passed=$(count_of pass)
  failed=$(count_of fail)
  skipped=$(count_of skip)
  if ((failed > 0)); then
    printf '\nfailed:\n'
    sed -n 's/^fail /  /p' "$state/results"
  fi
  printf '\n'
  if ((skipped > 0)); then
    printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  else
    printf '%d passed, %d failed\n' "$passed" "$failed"
  fi
  ((failed == 0))
}

# --- verdicts ---------------------------------------------------------------------------------

# One line per verdict, so that the lines can be counted.
record() { printf '%s %s: %s\n' "$1" "${test_name:-run}" "${2//$'\n'/ | }" >>"$state/results"; }

pass() {
  record pass "$1"
  printf '  ok    %s\n' "$1"
}

# Counts a failure and goes on.
fail() {
  record fail "$1"
  printf '  FAIL  %s\n' "$1"
}

# Counts a skip; with SIGNET_INTEROP_STRICT=1 nothing may be skipped.
skip() {
  if [[ ${SIGNET_INTEROP_STRICT:-0} == 1 ]]; then
    fail "skipped: $1"
    return
  fi
  record skip "$1"
  printf '  skip  %s\n' "$1"
}

# Counts a failure and ends this test.
die() {
  fail "$1"
  exit 9
}

# check WHAT COMMAND...: the command must succeed. Its output is kept in $work/last.out.
check() {
  local what=$1
  shift
  if "$@" >"$work/last.out" 2>&1; then
    pass "$what"
  else
    fail "$what"
    indent "$work/last.out"
  fi
}

# check_fails WHAT COMMAND...: the command must not succeed.
check_fails() {
  local what=$1
  shift
  if "$@" >"$work/last.out" 2>&1; then
    fail "$what"
    indent "$work/last.out"
  else
    pass "$what"
  fi
}

check_equal() { # WHAT WANTED GOT
  if [[ $2 == "$3" ]]; then
    pass "$1"
  else
    fail "$1: wanted '$2', got '$3'"
  fi
}

check_different() { # WHAT OLD NEW
  if [[ -n $3 && $2 != "$3" ]]; then
    pass "$1"
  else
    fail "$1: '$2' before, '$3' after"
  fi
}

check_contains() { # WHAT WANTED TEXT
  if [[ $3 == *"$2"* ]]; then
    pass "$1"
  else
    fail "$1: no '$2' in '$3'"
  fi
}

# check_json WHAT FILE FILTER [jq option...]: the filter must answer true for the file.
# Not by jq's -e: some versions call an empty file a success.
check_json() {
  local what=$1 file=$2 filter=$3
  shift 3
  if [[ $(jq "$@" "$filter" "$file" 2>&1) == true ]]; then
    pass "$what"
  else
    fail "$what"
    indent "$file"
  fi
}

indent() { tail -n 15 "$1" | sed 's/^/        | /'; }

# run_test NAME FUNCTION: in a subshell with `set -e`, so that an unexpected failure ends the test
# and is counted. The subshell is in the background, so that a signal to this shell is heard.
run_test() {
  local status
  test_name=$1
  work=$state/$1
  mkdir -p "$work"
  printf '%s\n' "$1"
  set +e
  (
    trap - EXIT
    set -e
    "$2"
  ) &
  test_pid=$!
  wait "$test_pid"
  status=$?
  test_pid=
  set -e
  if ((status != 0 && status != 9)); then
    fail "ended early with status $status"
  fi
  stop_all
  if grep -q "^fail $1: " "$state/results"; then
    show_logs
  fi
  test_name=run
  work=$state
}

# run_tests [NAME...]: the named ones of $all_tests, or all; test NAME is the function test_NAME.
run_tests() {
  local name
  if (($# == 0)); then
    set -- "${all_tests[@]}"
  fi
  for name in "$@"; do
    if [[ $(type -t "test_$name") != function ]]; then
      printf 'no test "%s"; there are: %s\n' "$name" "${all_tests[*]}" >&2
      exit 2
    fi
  done
  for name in "$@"; do
    run_test "$name" "test_$name"
  done
}

show_logs() {
  local log
  while IFS= read -r log; do
    printf '  -- %s\n' "${log#"$state"/}"
    indent "$log"
  done < <(find "$work" -name '*.log' -size +0 | sort)
}

# --- waiting ----------------------------------------------------------------------------------

# wait_for COMMAND TIMEOUT: runs the command (one word or a quoted line) until it succeeds.
wait_for() {
  local deadline=$((SECONDS + $2))
  until eval "$1" >/dev/null 2>&1; do
    if ((SECONDS >= deadline)); then
      return 1
    fi
    sleep 0.1
  done
}

# A port of loopback that nobody listens on, not handed out before in this run. From below the
# range that the kernel takes for outgoing connections.
free_port() {
  local port
  while :; do
    port=$(shuf -i 20000-29999 -n 1)
    if ! grep -qx "$port" "$state/ports" && ! port_is_open "$port"; then
      printf '%s\n' "$port" >>"$state/ports"
      printf '%s\n' "$port"
      return
    fi
  done
}

# A socket file may be left by a process that was killed; the kernel's list has only live ones.
socket_is_open() { grep -qE "^[^ ]+ [^ ]+ [^ ]+ 00010000 .* $1\$" /proc/net/unix; }

port_is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# --- processes --------------------------------------------------------------------------------

# The start time in ticks since boot tells a process from a later one with the same pid.
# Nothing when there is no such process, or only its remains.
start_time_of() {
  local text
  text=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
  # Behind the name, which may contain anything: state is field 3 of the file, start time 22.
  # shellcheck disable=SC2086 # split on purpose
  set -- ${text##*) }
  if [[ $1 != Z ]]; then
    printf '%s\n' "${20}"
  fi
}

# start NAME COMMAND...: in the background, output to $work/NAME.log; the pid is left in
# $started_pid and remembered for the end.
start() {
  local name=$1
  shift
  "$@" >>"$work/$name.log" 2>&1 </dev/null &
  remember "$!"
}

# Like start, with standard output kept apart in $work/NAME.out.
start_with_output() {
  local name=$1
  shift
  "$@" >"$work/$name.out" 2>>"$work/$name.log" </dev/null &
  remember "$!"
}

remember() {
  started_pid=$1
  printf '%s %s\n' "$1" "$(start_time_of "$1")" >>"$state/processes"
  disown "$1" 2>/dev/null || true
}

is_running() { # PID: only a process that we started
  local since
  since=$(sed -n "s/^$1 //p" "$state/processes" | tail -n 1)
  [[ -n $since && $(start_time_of "$1") == "$since" ]]
}

stop_process() { # PID [SIGNAL]
  is_running "$1" || return 0
  kill "-${2:-TERM}" "$1" 2>/dev/null || true
  if ! wait_for "! is_running $1" 10; then
    kill -KILL "$1" 2>/dev/null || true
    wait_for "! is_running $1" 5
  fi
}

stop_all() {
  local pid since
  while read -r pid since; do
    if is_running "$pid"; then
      kill -TERM "$pid" 2>/dev/null || true
    fi
  done <"$state/processes"
  while read -r pid since; do
    stop_process "$pid"
  done <"$state/processes"
  : "${since:-}"
  : >"$state/processes"
}

# wait_started PID CONDITION WHAT: until the condition holds; ends the test when the process is
# gone before, or patience is over.
wait_started() {
  local deadline=$((SECONDS + patience))
  until eval "$2" >/dev/null 2>&1; do
    is_running "$1" || die "$3 ended while it was starting"
    ((SECONDS < deadline)) || die "$3 is not ready after $patience s"
    sleep 0.1
  done
}

# --- SPIRE ------------------------------------------------------------------------------------

# start_spire_server DIR: a SPIRE server with all state in DIR.
# Leaves spire_server_pid, spire_server_port, spire_server_socket. Started again with the same DIR
# it keeps its port and its data.
start_spire_server() {
  local dir=$1
  mkdir -p "$dir/data"
  spire_server_socket=$dir/admin.sock
  if [[ ! -f $dir/port ]]; then
    free_port >"$dir/port"
  fi
  spire_server_port=$(<"$dir/port")
  cat >"$dir/server.conf" <<EOF
server {
  trust_domain = "$trust_domain"
  bind_address = "127.0.0.1"
  bind_port = "$spire_server_port"
  socket_path = "$spire_server_socket"
  data_dir = "$dir/data"
  log_level = "INFO"
  ca_ttl = "24h"
  default_x509_svid_ttl = "1h"
  agent_ttl = "${spire_server_agent_ttl:-1h}"
  ratelimit {
    attestation = false
    signing = false
  }
}
plugins {
  DataStore "sql" {
    plugin_data {
      database_type = "sqlite3"
      connection_string = "$dir/data/datastore.sqlite3"
    }
  }
  KeyManager "disk" {
    plugin_data {
      keys_path = "$dir/data/keys.json"
    }
  }
  NodeAttestor "join_token" {
    plugin_data {}
  }
$(more_spire_attestors "${spire_server_attestors:-}")
${spire_server_plugins:-}
}
EOF
  start spire-server "$peers/spire-server" run -config "$dir/server.conf"
  spire_server_pid=$started_pid
  wait_started "$spire_server_pid" \
    "spire_cli $spire_server_socket healthcheck && port_is_open $spire_server_port" "spire-server"
}

# What SPIRE's programs attest nodes with: "NAME HCL" of the agent, lines of that of the server.
spire_agent_attestor="join_token "
spire_server_attestors=

more_spire_attestors() { # LINES
  local name data
  while read -r name data; do
    [[ -z $name ]] || printf '  NodeAttestor "%s" {\n    plugin_data { %s }\n  }\n' "$name" "$data"
  done <<<"$1"
}

# spire_cli SOCKET COMMAND... [FLAG...]: SPIRE's own command line on an admin socket.
# The commands' flags come behind their words, so -socketPath can come last.
spire_cli() {
  local socket=$1
  shift
  "$peers/spire-cli" "$@" -socketPath "$socket"
}

# start_spire_agent DIR SERVER_PORT BUNDLE TOKEN: a SPIRE agent with all state in DIR, its unix
# attestor also looking at the workload's path. With an empty TOKEN it goes on with the identity
# that it has in DIR. Leaves spire_agent_pid and spire_agent_socket.
start_spire_agent() {
  local dir=$1 port=$2 bundle=$3 token=$4
  mkdir -p "$dir/data"
  spire_agent_socket=$dir/agent.sock
  cat >"$dir/agent.conf" <<EOF
agent {
  trust_domain = "$trust_domain"
  data_dir = "$dir/data"
  server_address = "127.0.0.1"
  server_port = "$port"
  socket_path = "$spire_agent_socket"
  trust_bundle_path = "$bundle"
  log_level = "INFO"
}
plugins {
  NodeAttestor "${spire_agent_attestor%% *}" {
    plugin_data { ${spire_agent_attestor#* } }
  }
  KeyManager "disk" {
    plugin_data {
      directory = "$dir/data"
    }
  }
  WorkloadAttestor "unix" {
    plugin_data {
      discover_workload_path = true
    }
  }
}
EOF
  start spire-agent "$peers/spire-agent" run -config "$dir/agent.conf" ${token:+-joinToken "$token"}
  spire_agent_pid=$started_pid
  wait_started "$spire_agent_pid" "socket_is_open $spire_agent_socket" "spire-agent"
}

# The SPIFFE ID of the only attested agent, as SPIRE's command line tells it.
only_agent_id() { # SOCKET
  spire_cli "$1" agent list -output json \
    | jq -r '.agents | if length == 1 then .[0].id | "spiffe://" + .trust_domain + .path
                        else error("\(length) agents, not one") end'
}

# --- workloads --------------------------------------------------------------------------------

# A selector of the processes of this user.
own_uid_selector() { printf 'unix:uid:%s\n' "$(id -u)"; }

# copy_program PROGRAM NAME: the same program under a path of its own, for unix:path selectors.
copy_program() {
  mkdir -p "$work/bin"
  cp -L "$1" "$work/bin/$2"
  printf '%s\n' "$work/bin/$2"
}

# start_listener NAME COMMAND...: a server of ours that says where it listens in its first line of
# output. Leaves listener_pid and listener_address.
start_listener() {
  local name=$1
  start_with_output "$@"
  listener_pid=$started_pid
  wait_started "$listener_pid" "test -s $work/$name.out" "$name"
  listener_address=$(head -n 1 "$work/$name.out" | jq -r .listening)
}
