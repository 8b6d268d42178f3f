# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Two real redis-servers on loopback, `first` and `second`, and hardy between them and a client. Needs
# HARDY. c.yaml is the configuration; MORE adds keys to the fail-over, AUTOMATION is what hardy may do.
. "$(dirname "$0")/../../tools/free_port.sh"
. "$(dirname "$0")/../tap.sh"
for need in redis-server redis-cli python3 curl; do
    command -v $need >/dev/null || {
        echo "1..0 # SKIP $need is not here"
        trap - EXIT
        rm -rf "$work"
        exit 0
    }
done
first=$(free_port)
second=$(free_port)
health=$(free_port)
relay=$(free_port)
declare -A redis=()

# redis NAME PORT: starts one that says its name
redis() {
    : >"$1.log"
    redis-server --port "$2" --bind 127.0.0.1 --save '' --appendonly no --daemonize no >>"$1.log" 2>&1 &
    redis[$1]=$!
    wait_for redis_says "$2" PONG ping
    redis-cli -p "$2" set who "$1" >/dev/null
}
redis_says() { [ "$(timeout 5 redis-cli -h 127.0.0.1 -p "$1" "${@:3}" 2>/dev/null)" = "$2" ]; }
who() { redis_says "$relay" "$1" get who; }

configure() { # configure KEYS...: lines with four spaces before them
    cat >c.yaml <<YAML
automation: ${AUTOMATION:-act}
health: {listen: 127.0.0.1:$health}
checks:
  - {name: first, redis: {address: "127.0.0.1:$first"}, interval: 100ms, timeout: 90ms, failure_threshold: 2, success_threshold: 2, grace: 0s, flap: off}
  - {name: second, redis: {address: "127.0.0.1:$second"}, interval: 100ms, timeout: 90ms, failure_threshold: 2, success_threshold: 2, grace: 0s, flap: off}
notify: {screen: {type: stderr}}
fail_over:
  cache:
    candidates:
      - {name: first, address: "127.0.0.1:$first", check: first}
      - {name: second, address: "127.0.0.1:$second", check: second}
    listen: 127.0.0.1:$relay
    escalate: [screen]
$(printf '    %s\n' "$@")
YAML
}
# supervise NAME ARGUMENTS...: in the background; what it says goes to NAME.log, its pid into $watcher
supervise() {
    local name=$1
    shift
    : >"$name.log"
    timeout -s KILL 100 "$HARDY" supervise -c c.yaml "$@" >>"$name.log" 2>&1 &
    watchers+=($!)
    wait_for child_of $!
    watcher=$child
}
child_of() { child=$(cat "/proc/$1/task/$1/children" 2>/dev/null) && child=${child// /} && [ -n "$child" ]; }
says() { grep -qE -e "$1" "$2.log" 2>/dev/null; }
kill_hard() { kill -9 "$@" 2>/dev/null; wait_for gone "$1"; }
gone() { ! kill -0 "$1" 2>/dev/null; }
end_watcher() { kill "$watcher" 2>/dev/null; wait_for gone "$watcher"; }
watchers=()
redis_end() {
    tap_status=$?
    for pid in "${watchers[@]}"; do
        child_of "$pid" && kill -9 "$child" 2>/dev/null
        kill "$pid" 2>/dev/null
    done
    for pid in "${redis[@]}"; do
        kill -CONT "$pid" 2>/dev/null
        kill -9 "$pid" 2>/dev/null
    done
    wait 2>/dev/null
    (exit $tap_status)
    tap_end
}
trap redis_end EXIT
