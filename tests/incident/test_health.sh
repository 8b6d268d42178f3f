#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# /health/live and /health/ready as an orchestrator asks for them: cached, immediate, and no details to
# strangers.
. "$(dirname "$0")/../../tools/free_port.sh"
. "$(dirname "$0")/../tap.sh"
PATH=$PATH:/usr/sbin:/sbin
command -v curl >/dev/null || {
    skip 'health over HTTP' 'curl is not here'
    exit 0
}
port=$(free_port)
cat >c.yaml <<EOF
health: {listen: "0.0.0.0:$port", hosts: [payments.internal]}
checks:
  - {name: database, command: "until [ -e answer ]; do sleep 0.05; done; exit \$(cat answer)", interval: 300ms, timeout: 250ms, failure_threshold: 2, success_threshold: 1, critical: true}
  - {name: outside, command: ["false"], interval: 300ms, timeout: 250ms, failure_threshold: 1}
EOF
"$HARDY" supervise -c c.yaml >watch.log 2>&1 &
watcher=$!
health_end() {
    tap_status=$?
    kill -9 "$watcher" 2>/dev/null
    (exit $tap_status)
    tap_end
}
trap health_end EXIT

# ask PATH CURL-OPTION...: the body in $body, the status in $status, the headers in head
ask() {
    local path=$1
    shift
    status=$(curl -s --max-time 5 -o body -D head -w '%{http_code}' "$@" "http://127.0.0.1:$port$path")
    body=$(cat body 2>/dev/null)
}
live_is() { ask /health/live && [ "$status" = 200 ]; }
ready_is() { ask /health/ready && [ "$status" = "$1" ]; }
said() { python3 -c 'import json, sys
o = json.loads(sys.argv[1])
print(*[o["status"]] + [c + "=" + o["checks"][c][0]["status"] for c in sorted(o.get("checks", {}))])' "$1"; }

wait_for live_is
is 'live' "$status $body" '200 {"status":"pass"}'
like 'live: its type' "$(cat head)" '^[Cc]ontent-[Tt]ype: application/health\+json'
like 'live: not to be kept' "$(cat head)" '^[Cc]ache-[Cc]ontrol: no-store'

# The critical check hangs, and has not answered once.
ask /health/ready
is 'unknown is not ready' "$status $(said "$body" | cut -d' ' -f1,2)" '503 fail database=fail'
began=$(milliseconds)
for _ in 1 2 3 4 5; do
    ask /health/ready
    ask /health/live
done
took=$(($(milliseconds) - began))
ok "ten answers under a hung check at once ($took ms)" test $took -lt 1500
is 'live whatever the checks say' "$status" 200

echo 0 >answer
wait_for ready_is 200
is 'an outside dependency only warns' "$(said "$body")" 'warn database=pass outside=warn'
like 'each check has its age' "$body" '"age":'
like 'and its message' "$body" '"output":"exit code 1"'
echo 1 >answer
wait_for ready_is 503
is 'down is not ready' "$(said "$body")" 'fail database=fail outside=warn'
echo 0 >answer
wait_for ready_is 200
ask /health/live
is 'and live all the time' "$status" 200

# Who may ask, and how.
ask /health/ready -I
is 'HEAD' "$status" 200
ask /health/ready -X POST
is 'POST is not understood' "$status" 405
ask /metrics
is 'its metrics' "$status" 200
ask /api/v1/status
is 'nothing else is there' "$status" 404
ask /health/live -H 'Host: evil.example'
is 'a foreign Host' "$status" 421
ask /health/live -H 'Host: payments.internal'
is 'a Host that is among the hosts' "$status" 200
ask /health/live -H 'Host: localhost'
is 'localhost' "$status" 200
ask /health/live -H 'Origin: http://evil.example'
is 'a page of somebody else' "$status" 403
address=$(hostname -I 2>/dev/null | tr ' ' '\n' | grep -m1 -E '^[0-9.]+$' | grep -v '^127\.')
if [ -n "$address" ]; then
    body=$(curl -s --max-time 5 "http://$address:$port/health/ready")
    is 'strangers are told the sum only' "$body" '{"status":"warn"}'
else
    skip 'strangers are told the sum only' 'no address but the loopback'
fi

code 'the port is taken' 1 timeout 10 "$HARDY" supervise --state other.db -c c.yaml
like 'it is named' "$err" "0.0.0.0:$port"
kill -TERM "$watcher"
wait "$watcher"
is 'TERM ends it' "$?" 143
not_ok 'nobody answers any more' curl -s --max-time 2 -o /dev/null "http://127.0.0.1:$port/health/live"
