#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Loading the configuration again: what runs goes on, what comes uses the new one, a broken one is
# refused.
. "$(dirname "$0")/support.sh"

write() { # write PATH-OF-THE-UPSTREAM [LINE]: whole, as editors do
    printf '%s\n' "upstreams: {anthropic: {url: \"$upstream/$1\", protocol: anthropic}}" "${@:2}" >c.new
    mv c.new c.yaml
}
loads() { grep -cE '^(info configuration loaded|error configuration refused)' "log.$served"; }
more_loads() { [ "$(loads)" -gt "$1" ]; }
reload() {
    local before
    before=$(loads)
    kill -HUP "$daemon"
    wait_for more_loads "$before"
}
asked() { tail -n 1 upstream/asked | python3 -c 'import json,sys; print(json.load(sys.stdin)["path"])'; }

write slow
serve -c c.yaml
curl -sN --max-time 20 -o stream -w '%{http_code}' "$gateway/anthropic/v1/messages" -H 'content-type: application/json' \
    -d '{"model":"claude-test","max_tokens":10,"stream":true}' >stream.status &
stream=$!
wait_for grep -qs content_block_delta stream

write ok
reload
like 'SIGHUP loads the file' "$(cat log.1)" '^info configuration loaded file=c\.yaml$'
message "$gateway/anthropic"
is 'what comes now goes to the new upstream' "$status $(asked)" '200 /ok/v1/messages'
ok 'while the stream from before still runs' kill -0 "$stream"
wait "$stream"
is 'it is whole' "$(cat stream.status) $(grep -c '^event: content_block_delta' stream) $(grep -c '^event: message_stop' stream)" '200 15 1'

write sse 'gateway: {drian: 3s}'
reload
like 'a broken file is refused with its place' "$(cat log.1)" \
    '^error configuration refused, the old one goes on where=c\.yaml:2:11 why=.*`drain`'
message "$gateway/anthropic"
is 'the old one goes on' "$(asked)" /ok/v1/messages
write sse 'guards: {anthropic: {breaker: {failure_threshold: 1000}}}'
reload
like 'also one whose guard is out of range' "$(tail -n 2 log.1)" 'configuration refused.*failure_threshold'
mv c.yaml away
reload
like 'and one that is not there' "$(tail -n 1 log.1)" 'configuration refused.*c\.yaml'
message "$gateway/anthropic"
is 'not the defaults in its place' "$status" 200

# What was learned stays.
write ok 'guards: {anthropic: {breaker: {when_open: reject}}}'
reload
token=$(cat run/hardy/token)
ask -X POST "$admin/api/v1/guards/anthropic/force-open" -H 'content-type: application/json' -H "authorization: Bearer $token"
is 'opened by hand' "$status" 200
write ok 'guards: {anthropic: {breaker: {when_open: reject, failure_threshold: 7}}}'
reload
message "$gateway/anthropic"
is 'the breaker stays open' "$status" 529
ask -X POST "$admin/api/v1/guards/anthropic/reset" -H 'content-type: application/json' -H "authorization: Bearer $token"
message "$gateway/anthropic"
is 'and is closed by hand' "$status" 200

write ok 'gateway: {listen: 127.0.0.1:9}' 'health: {listen: 127.0.0.1:8}'
reload
like 'an address needs a restart' "$(cat log.1)" '^warning this change needs a restart key=gateway\.listen'
like 'so does the other' "$(cat log.1)" '^warning this change needs a restart key=health'
ask "$admin/api/v1/status"
is 'it listens where it did' "$(json '(d["gateway"]["listen"], d["gateway"]["reloads"])')" "('${gateway#http://}', 4)"
end
is 'exit 0' "$code" 0

# --- checks
python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' >port
health=http://127.0.0.1:$(cat port)
cat >c.yaml <<END
health: {listen: "127.0.0.1:$(cat port)"}
checks:
  - {name: disk, command: ["test", "-e", "good"], interval: 200ms, timeout: 150ms, failure_threshold: 1, success_threshold: 1, critical: true}
END
touch good
ready_is() { ask "$1/health/ready" && [ "$status" = "$2" ]; }
serve -c c.yaml
ok 'ready when the critical check is up' wait_for ready_is "$health" 200
is 'each check is told' "$(json 'd["checks"]["disk"][0]["status"]')" pass
rm good
ok 'not ready when it is down' wait_for ready_is "$health" 503
ok 'the admin address says the same' ready_is "$admin" 503
is 'with its type' "$(header content-type)" application/health+json
ask "$health/health/live"
is 'live all the same' "$status" 200
ask "$health/metrics"
like 'metrics of the check' "$body" '^hardy_check_up\{check="disk"\} 0$'
ask "$health/api/v1/status"
is 'no API at the health address' "$status" 404
ask "$admin/api/v1/status"
is 'the API knows' "$(json '(d["ready"], d["checks"][0]["level"], d["health"])')" "(False, 'down', '${health#http://}')"
like 'the log too' "$(cat "log.$served")" '^warning check name=disk level=down'
sed -i 's/name: disk/name: disc/' c.yaml
touch good
reload
ok 'other checks after a reload' wait_for ready_is "$health" 200
like 'with their names' "$body" '"disc"'
end
is 'exit 0 with checks' "$code" 0

# --- --watch
write ok
serve -c c.yaml --watch
sleep 0.1
write sse
ok 'a changed file is loaded by itself' wait_for logged '^info configuration loaded'
message "$gateway/anthropic"
is 'and used' "$(asked)" /sse/v1/messages
write nothing 'gatway: {}'
ok 'a broken one is refused' wait_for logged '^error configuration refused.*did you mean `gateway`'
sleep 2.5
is 'and that is told once' "$(grep -c 'configuration refused' "log.$served")" 1
rm c.yaml
ok 'a file that has gone is told' wait_for logged '^error the configuration file is gone'
before=$(loads)
write ok
ok 'and loaded when it is back' wait_for more_loads "$before"
message "$gateway/anthropic"
is 'used again' "$(asked)" /ok/v1/messages
end
