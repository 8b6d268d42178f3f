#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy notify, with far sides that are real processes: what arrives, what is said, how it ends. And a page
# of hardy supervise that is refused: kept, listed, and offered once more by the next one.
home=$(cd "$(dirname "$0")/../.." && pwd)
. "$home/tests/notify/far_side.sh"

key=0123456789abcdef0123456789abcdef
echo "$key" >routing.key
echo "s3cr3t-token" >token
echo "http://127.0.0.1:$port/hook/T000/B000/verysecret" >hook.url
cat >hardy.yaml <<EOY
notify:
  duty: {type: pagerduty, routing_key_file: routing.key, url: "http://127.0.0.1:$port/v2/enqueue", client_url: "https://hardy.example/"}
  env: {type: pagerduty, routing_key: "\${DUTY_KEY:-0123}", url: "http://127.0.0.1:$port/v2/enqueue"}
  room: {type: slack, url_file: hook.url}
  hook: {type: webhook, url: "http://127.0.0.1:$port/page", token_file: token, headers: ["X-Team: on call", "X-Other: 1"]}
  screen: {type: stderr}
  list: {type: command, run: [sh, -c, 'cat >>"taken.\$HARDY_NOTICE_ACTION"; echo "\$HARDY_NOTICE_SEVERITY"']}
  hangs: {type: command, run: 'sleep 77.5 & sleep 77.5', timeout: 300ms}
  gone: {type: webhook, url: "http://127.0.0.1:1/"}
EOY

# --- what arrives
code 'PagerDuty takes a test' 0 timeout 20 "$HARDY" notify test duty
is 'and its words are printed' "$out" 'duty (pagerduty) took the trigger: answered 202 Accepted: Event processed
duty (pagerduty) took the resolve: answered 202 Accepted: Event processed'
is 'two events of one key' "$(got '[b["event_action"] for b in (q["body"] for q in r)], len({q["body"]["dedup_key"] for q in r}), r[0]["body"]["routing_key"] == "'$key'"')" "(['trigger', 'resolve'], 1, True)"
like 'which is its own' "$(got 'r[0]["body"]["dedup_key"]')" '^hardy-test-[0-9a-f]{16}$'
: >got
DUTY_KEY=fromenv code 'a key from the environment' 0 timeout 20 "$HARDY" notify test env
is 'is sent' "$(got 'r[0]["body"]["routing_key"]')" fromenv
: >got
code 'Slack takes a test' 0 timeout 20 "$HARDY" notify test room
is 'two messages, at the path of the file' "$(got '[(q["path"], q["body"]["text"]) for q in r]')" \
    "[('/hook/T000/B000/verysecret', 'LOW: hardy notify test: nothing is wrong'), ('/hook/T000/B000/verysecret', 'RESOLVED: hardy notify test: it is over')]"
: >got
code 'a webhook takes a test' 0 timeout 20 "$HARDY" notify test hook
is 'with its token and headers' "$(got '[r[0]["headers"][h] for h in ("Authorization", "X-Team", "X-Other", "Content-Type")], r[0]["body"]["action"]')" \
    "(['Bearer s3cr3t-token', 'on call', '1', 'application/json'], 'trigger')"
code 'standard error takes a test' 0 "$HARDY" notify test screen
like 'there' "$err" '^PAGE \[screen\] hardy notify test: nothing is wrong \(hardy-test-'
code 'a command takes a test' 0 "$HARDY" notify test list
is 'its standard input is the notice' "$(python3 -c 'import json; print(json.load(open("taken.trigger"))["action"], json.load(open("taken.resolve"))["source"])')" 'trigger hardy'
like 'what it prints is shown' "$out" '^list \(command\) took the trigger: exit code 0: low$'

# --- what does not
answer '{"status": 400, "body": "{\"status\": \"invalid event\", \"message\": \"Event object is invalid\", \"errors\": [\"no such key '$key'\"]}"}'
code 'what is refused' 1 timeout 20 "$HARDY" notify test duty
like 'is told with the words of the far side' "$err" "^hardy notify: duty refused the trigger: answered 400 Bad Request: Event object is invalid: no such key \*\*\*$"
answer '{"status": 404, "body": "no_service at /hook/T000/B000/verysecret"}'
code 'Slack refuses' 1 timeout 20 "$HARDY" notify test room
like 'its words are told without the secret' "$err" 'answered 404 Not Found: no_service at \*\*\*$'
answer '{"status": 503, "times": 2}'
code 'what passes is tried again' 0 timeout 20 "$HARDY" notify test duty
before=$(milliseconds)
code 'who is not there' 75 timeout 20 "$HARDY" notify test gone --wait 1s --json
ok 'is not waited for longer than was said' test $(($(milliseconds) - before)) -lt 5000
is 'and it is JSON' "$(python3 -c 'import json, sys; o = json.load(sys.stdin); print(o["result"], [n["result"] for n in o["notices"]], o["notices"][0]["said"])' <<<"$out")" \
    "not reached ['not reached', 'not sent'] connection refused"
code 'a command that hangs' 75 timeout 20 "$HARDY" notify test hangs --wait 1s
like 'is ended' "$err" 'hangs has not taken the trigger within 1s: ended after its timeout'
ok 'with all that it started' ended 'sleep77.5'
code 'no such place' 2 "$HARDY" notify test dut
like 'the nearest is named' "$err" 'there is no `dut` under notify:, did you mean `duty`\?'
code 'list takes no --wait' 2 "$HARDY" notify list --wait 1s
code 'neither test nor list' 2 "$HARDY" notify explode
for secret in "$key" s3cr3t-token verysecret; do
    code "without $secret" 0 "$HARDY" validate hardy.yaml
    unlike 'no secret is printed' "$out$err" "$secret"
done
mv routing.key elsewhere
code 'a file that is not there' 2 "$HARDY" notify test room
like 'is named with its place' "$err" 'hardy.yaml:2:[0-9]+: routing.key: .*'
code 'who only looks needs no files' 0 "$HARDY" validate hardy.yaml
mv elsewhere routing.key

# --- a page that is refused
watch_port=$(free_port)
cat >watch.yaml <<EOY
automation: act
health: {listen: "127.0.0.1:$watch_port"}
checks: [{name: web, command: ["false"], interval: 100ms, timeout: 90ms, failure_threshold: 1}]
notify: {duty: {type: pagerduty, routing_key_file: routing.key, url: "http://127.0.0.1:$port/v2/enqueue"}}
incidents: {services: {web: {check: web, severity: critical, escalate: [duty]}}}
EOY
: >got
answer '{"status": 400, "body": "wrong key"}'
code 'an incident that is escalated' 3 timeout 30 "$HARDY" supervise -c watch.yaml --once
like 'its page is refused' "$out" 'duty +not told +answered 400 Bad Request: wrong key; the page is kept, and offered once more when hardy starts again$'
code 'it is in the list' 0 "$HARDY" notify list
like 'with the reason' "$out" '^duty +refused +[0-9: -]{19}  trigger +web: .*\(answered 400 Bad Request: wrong key\)$'
code 'and in JSON' 0 "$HARDY" notify list --json
is 'with the reason' "$(python3 -c 'import json, sys; o, = json.load(sys.stdin); print(o["target"], o["state"], o["action"], o["why"])' <<<"$out")" \
    'duty refused trigger answered 400 Bad Request: wrong key'
"$HARDY" supervise -c watch.yaml >again.log 2>&1 &
others=$!
wait_for grep -q 'took the page' again.log
is 'the next hardy offers it once more' "$(got 'len(r), r[0]["body"] == r[1]["body"], r[1]["body"]["payload"]["severity"]')" "(2, True, 'critical')"
curl -s "http://127.0.0.1:$watch_port/metrics" >metrics
like 'it is counted' "$(cat metrics)" '^hardy_notify_sent_total\{target="duty",result="taken"\} 1$'
like 'and nothing waits' "$(cat metrics)" '^hardy_notify_outbox\{target="duty"\} 0$'
! command -v promtool >/dev/null || ok 'Prometheus reads it' sh -c 'promtool check metrics <metrics'
kill "$others"
wait "$others"
others=
code 'then nothing is left' 0 "$HARDY" notify list
like 'it is said' "$out" '^every notice was taken, in '
