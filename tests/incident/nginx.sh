# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For tests with the service of the example: a real nginx of its own, watched at a quick pace. Needs
# HARDY and EXAMPLES. `service start|stop|freeze|running`; watch.yaml is its configuration.
. "$(dirname "$0")/../../tools/free_port.sh"
. "$(dirname "$0")/../tap.sh"
PATH=$PATH:/usr/sbin:/sbin
for need in nginx curl; do
    command -v $need >/dev/null || {
        echo "1..0 # SKIP $need is not here"
        trap - EXIT
        rm -rf "$work"
        exit 0
    }
done
export PAYMENT_API_DIR=$work/nginx PAYMENT_API_PORT EXAMPLES
HARDY_STATE=$work/state/hardy.db
PAYMENT_API_PORT=$(free_port)
service() { "$EXAMPLES/payment-api/payment-api.sh" "$@"; }

# restart.sh is the remedy: the example's without its second of patience. HOLD: waits before it starts
# nginx until the file go is there.
cat >restart.sh <<'EOF'
#!/bin/sh
"$EXAMPLES/payment-api/payment-api.sh" stop
[ -z "${HOLD:-}" ] || until [ -e go ] || ! [ -e restart.sh ]; do sleep 0.02; done
exec "$EXAMPLES/payment-api/payment-api.sh" start
EOF
chmod +x restart.sh
cat >watch.yaml <<EOF
automation: \${AUTOMATION:-act}
checks:
  - {name: payment-api, http: "http://127.0.0.1:$PAYMENT_API_PORT/health", interval: 100ms, timeout: 90ms, failure_threshold: 2, success_threshold: 1}
notify: {screen: {type: stderr}}
incidents:
  services:
    payment-api:
      check: payment-api
      severity: critical
      sources:
        processes: {process: "$PAYMENT_API_DIR/nginx.pid", critical: true}
        metrics: {http: "http://127.0.0.1:$PAYMENT_API_PORT/status", timeout: 100ms}
        errors: {file: "$PAYMENT_API_DIR/error.log"}
      rules:
        - {name: stopped, when: "evidence.processes.running && evidence.processes.stopped > 0", cause: "workers are stopped", confidence: 0.9, actions: [restart]}
        - {name: gone, when: "!evidence.processes.running", cause: "nginx does not run", actions: [restart]}
      actions:
        restart: {run: ["./restart.sh"], probe: ["$EXAMPLES/payment-api/payment-api.sh", running], in_doubt: probe, timeout: 10s, max_runs: 1000}
      verify: {passes: 2, window: 3s}
      max_attempts: 2
      pause: 100ms
      escalate: [screen]
EOF

# How often nginx was started, by its own word.
starts() { grep -c 'start worker processes$' "$PAYMENT_API_DIR/error.log" 2>/dev/null; }
# watch NAME ARGUMENTS...: in the background; what it says goes to NAME.log, its pid into $watcher
watch() {
    local name=$1
    shift
    : >"$name.log"
    # What is started with & ignores INT, unless it is told otherwise.
    env --default-signal=INT "$HARDY" supervise -c watch.yaml "$@" >>"$name.log" 2>&1 &
    watcher=$!
}
# watch_end WANTED WHAT: it ends with this code
watch_end() {
    local status=0
    wait "$watcher" || status=$?
    is "$2" "$status" "$1"
}
says() { grep -qE -e "$1" "$2.log" 2>/dev/null; }
kill_hard() { { kill -9 "$@"; wait "$1"; } 2>/dev/null; }
shims() { grep -lsF "$work" /proc/[0-9]*/cmdline 2>/dev/null | while read -r f; do { tr "\0" " " <"$f"; } 2>/dev/null | grep -q '__step' && echo "${f//[!0-9]/}"; done; return 0; }
# By when it was made: the list is in the order of the names, which within one second is chance.
latest() {
    "$HARDY" incidents list --json | python3 -c 'import json, sys
print(max(json.load(sys.stdin), key=lambda i: i["created"], default={"id": "none"})["id"])'
}
nginx_end() {
    tap_status=$?
    [ -z "${watcher:-}" ] || kill -9 "$watcher" 2>/dev/null
    service stop 2>/dev/null
    (exit $tap_status)
    tap_end
}
trap nginx_end EXIT
service start
