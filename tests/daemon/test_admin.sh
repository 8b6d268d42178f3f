#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The admin API: what it tells, and who may change what; metrics as Prometheus reads them.
. "$(dirname "$0")/support.sh"

cat >c.yaml <<END
upstreams:
  anthropic: {url: "$upstream/ok", protocol: anthropic}
  busy:      {url: "$upstream/busy-1", protocol: anthropic}
  endless:   {url: "$upstream/endless", protocol: anthropic}
  limits:    {url: "$upstream/limits", protocol: anthropic}
  plain:     {url: "$upstream/ok"}
END
serve -c c.yaml

# --- the token
is 'the token is where sessions keep such things' "$(stat -c '%a' run/hardy/token) $(wc -c <run/hardy/token)" '600 65'
like 'it is random' "$(cat run/hardy/token)" '^[0-9a-f]{64}$'
token=$(cat run/hardy/token)
change() { # change PATH CURL-ARGUMENT...
    local path=$1
    shift
    ask -X POST "$admin/api/v1/guards/$path" "$@"
}
good=(-H 'content-type: application/json' -H "authorization: Bearer $token")
change anthropic/force-open -H "authorization: Bearer $token"
is 'without a type' "$status $(header content-type)" '415 application/problem+json'
change anthropic/force-open -H "authorization: Bearer $token" -H 'content-type: text/plain' -d '{}'
is 'with the type that a foreign page may send' "$status" 415
change anthropic/force-open -H 'content-type: application/json'
is 'without the token' "$status $(header www-authenticate)" '401 Bearer'
change anthropic/force-open -H 'content-type: application/json' -H "authorization: Bearer ${token%?}x"
is 'with another token' "$status" 401
change anthropic/force-open -H 'content-type: application/json' -H "authorization: Bearer "
is 'with an empty one' "$status" 401
change anthropic/force-open "${good[@]}" -H 'origin: https://evil.example'
is 'from a foreign page that knows it' "$status" 403
ask "$admin/api/v1/guards"
is 'nothing has changed' "$(json '[g["state"] for g in d["guards"] if g["name"] == "anthropic"]')" "['closed']"

# --- guards by hand
change 'anthropic/force-open?for=10m' "${good[@]}"
is 'force-open' "$status $(json '(d["name"], d["state"], 590 < d["time_until_retry_s"] < 601)')" "200 ('anthropic', 'forced_open', True)"
message "$gateway/anthropic" -H 'x-hardy-timeout: 300ms'
is 'its calls are refused' "$status" 529
change anthropic/disable "${good[@]}"
is 'disable' "$status $(json 'd["state"]')" '200 disabled'
change anthropic/reset "${good[@]}"
is 'reset' "$status $(json 'd["state"]')" '200 closed'
message "$gateway/anthropic"
is 'its calls go through' "$status" 200
change antropic/reset "${good[@]}"
is 'a guard that is not there' "$status" 404
like 'the nearest' "$body" 'did you mean \\"anthropic\\"'
change anthropic/explode "${good[@]}"
is 'no such change' "$status" 404
change 'anthropic/force-open?for=10' "${good[@]}"
is 'a span without a unit' "$status" 400
change 'anthropic/reset?for=10m' "${good[@]}"
is 'reset is not for a while' "$status" 400
change anthropic/reset "${good[@]}" -d "$(head -c 5000 /dev/zero | tr '\0' x)"
is 'a body that is too large' "$status" 413
like 'the log tells who set it' "$(cat log.1)" '^warning guard set by hand guard=anthropic state=forced_open peer=127\.0\.0\.1:'

# --- requests
message "$gateway/busy"
id=$(header x-hardy-request-id)
message "$gateway/limits"
ask "$admin/api/v1/requests?n=2"
is 'the last ones, the newest first' "$(json '[r["upstream"] for r in d["requests"]]')" "['limits', 'busy']"
ask "$admin/api/v1/requests?n=x"
is 'n is a number' "$status" 400
ask "$admin/api/v1/requests/$id"
is 'one with its attempts' \
    "$(json '(d["outcome"], d["attempts"], [(t["result"], t["status"]) for t in d["tries"]], d["tries"][0]["retry_after_ms"])')" \
    "('ok', 2, [('overloaded', 529), ('ok', 200)], 200)"
is 'and where its time went' "$(json 'd["waited_ms"] >= 190 and d["tries"][1]["started_ms"] >= 190 and d["took_ms"] >= d["tries"][1]["started_ms"]')" True
ask "$admin/api/v1/requests/hr-0000000000000000"
is 'one that is not there' "$status $(header content-type)" '404 application/problem+json'
curl -sN --max-time 60 -o endless "$gateway/endless/v1/messages" -H 'content-type: application/json' \
    -d '{"model":"claude-endless","max_tokens":10,"stream":true}' &
client=$!
wait_for grep -qs content_block_delta endless
ask "$admin/api/v1/requests"
is 'those that run' "$(json '[(r["upstream"], r["outcome"], r["phase"]) for r in d["running"]]')" "[('endless', 'running', 'calling')]"
id=$(json 'd["running"][0]["id"]')
ask "$admin/api/v1/requests/$id"
is 'one of them' "$(json '(d["outcome"], d["tries"][0]["result"], d["model"])')" "('running', 'running', 'claude-endless')"
unlike 'nothing of prompts, answers or credentials' "$(curl -s "$admin/api/v1/requests" "$admin/api/v1/requests/$id")" 'secret-1|messages":\[|hi '

# --- the stream of requests
curl -sN --max-time 60 -o followed -D followed.head "$admin/api/v1/requests?follow=1&n=1" &
follower=$!
wait_for grep -qs '"upstream":"limits"' followed
kill "$client" && wait "$client" 2>/dev/null
ok 'a request is told when it has ended' wait_for grep -qs "\"id\":\"$id\"" followed
is 'a line each' "$(python3 -c 'import json; print([(r["upstream"], r["outcome"]) for r in map(json.loads, open("followed"))])')" "[('limits', 'ok'), ('endless', 'cancelled')]"
like 'as lines of JSON' "$(cat followed.head)" '^[Cc]ontent-[Tt]ype: application/x-ndjson'
kill "$follower" && wait "$follower" 2>/dev/null
message "$gateway/anthropic"
is 'a follower that leaves is no trouble' "$status" 200
ask -I "$admin/api/v1/requests?follow=1"
is 'HEAD does not follow' "$status" 200

# --- upstreams and status
ask "$admin/api/v1/upstreams"
is 'counts by outcome' "$(json '[u["requests"]["ok"] for u in d["upstreams"] if u["name"] == "busy"]')" '[1]'
is 'none is 0' "$(json '[u["requests"]["ok"] for u in d["upstreams"] if u["name"] == "plain"]')" '[0]'
is 'limits that were told' "$(json '[(l["requests"]["limit"], l["requests"]["left"]) for u in d["upstreams"] for l in u["limits"] if "requests" in l]')" '[(50, 48)]'
ask "$admin/api/v1/status"
is 'status' "$(json '(d["mode"], d["pid"], d["ready"], d["gateway"]["state"], d["guards_shared"], d["config"])')" \
    "('serve', $daemon, True, 'serving', True, 'c.yaml')"

# --- metrics
ask "$admin/metrics"
is 'the type of the metrics' "$(header content-type)" 'text/plain; version=0.0.4; charset=utf-8'
if command -v promtool >/dev/null; then
    problems=$(promtool check metrics <body 2>&1)
    is 'promtool finds nothing' "$? $problems" '0 '
else
    skip 'promtool finds nothing' 'promtool is not here'
fi
like 'requests by outcome' "$body" '^hardy_gateway_requests_total\{upstream="anthropic",outcome="ok"\} 2$'
like 'refused by hand' "$body" '^hardy_gateway_requests_total\{upstream="anthropic",outcome="policy"\} 1$'
like 'the version' "$body" '^hardy_build_info\{version="[0-9.]+"\} 1$'
like 'memory' "$body" '^process_resident_memory_bytes [1-9][0-9]{6,8}$'
began=$(sed -n 's/^process_start_time_seconds \([0-9]*\).*/\1/p' body)
ok 'when it was started' test $(($(date +%s) - began)) -lt 120
end

# --- a token that is there already
serve -c c.yaml
is 'is kept' "$(cat run/hardy/token)" "$token"
change anthropic/reset "${good[@]}"
is 'and good' "$status" 200
end
chmod 644 run/hardy/token
serve -c c.yaml
is 'one that others can read is made anew' "$(stat -c %a run/hardy/token) $([ "$(cat run/hardy/token)" = "$token" ] && echo same)" '600 '
change anthropic/reset "${good[@]}"
is 'the old one is no good any more' "$status" 401
end
rm run/hardy/token
ln -s /dev/null run/hardy/token
serve -c c.yaml
like 'a link is not followed' "$(cat "log.$served")" '^warning nothing can be changed through the admin API'
end
unset XDG_RUNTIME_DIR
RUNTIME_DIRECTORY=$work/service:$work/other serve -c c.yaml
like "a service's place" "$(cat service/token)" '^[0-9a-f]{64}$'
end
serve -c c.yaml
like 'else beside the state' "$(cat state/token)" '^[0-9a-f]{64}$'
end

# --- off the loopback
cat >off.yaml <<END
admin: {listen: "0.0.0.0:0", token_file: admin-token}
upstreams: {anthropic: {url: "$upstream/ok", protocol: anthropic}}
END
code 'a token file that is not there' 2 "$HARDY" serve -c off.yaml --listen 127.0.0.1:0
like 'is told with its place' "$err" 'off\.yaml:1:[0-9]+: admin-token: '
echo 'a-token-of-my-own' >admin-token
serve_begin -c off.yaml --listen 127.0.0.1:0
serve_ready
ask "$admin/api/v1/requests"
is 'reading needs the token too' "$status" 401
ask "$admin/api/v1/requests" -H 'authorization: Bearer a-token-of-my-own'
is 'with it' "$status" 200
ask "$admin/health/live"
is 'health does not' "$status" 200
change anthropic/reset -H 'content-type: application/json' -H 'authorization: Bearer a-token-of-my-own'
is 'changing with it' "$status" 200
end
