#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy serve: what it serves without a file and with one, whom it answers, and what it does when
# something it would like to have is not there.
. "$(dirname "$0")/support.sh"

# --- without a file
serve
is 'what it prints' "$(sed "s|$gateway|GATEWAY|; s|$admin|ADMIN|" out.1)" \
    'listening on GATEWAY
/anthropic -> https://api.anthropic.com (your own credential is passed on)
/openai -> https://api.openai.com/v1 (your own credential is passed on)
admin on ADMIN
export ANTHROPIC_BASE_URL=GATEWAY/anthropic
export OPENAI_BASE_URL=GATEWAY/openai'
like 'real ports' "$gateway $admin" '^http://127\.0\.0\.1:[1-9][0-9]* http://127\.0\.0\.1:[1-9][0-9]*$'
ask -I "$gateway/anthropic"
is 'HEAD /anthropic, as agents ask' "$status" 200
ask -I "$gateway/openai/"
is 'HEAD /openai/' "$status" 200
ask "$gateway/nothing/v1/messages"
is 'another path' "$status" 404
like 'says what there is' "$body" '/anthropic/\.\.\., /openai/\.\.\.'
ask "$admin/health/ready"
is 'ready' "$status $(header content-type)" '200 application/health+json'
ask "$admin/"
is 'the admin address points at the API' "$status $(header content-type)" '200 text/plain; charset=utf-8'
like 'it does' "$body" '^GET  /api/v1/status$'
soft=$(awk '/Max open files/ { print $4 == $5 ? "raised" : $4 "/" $5 }' "/proc/$daemon/limits")
is 'as many descriptors as it may have' "$soft" raised

# --- whom it answers
port=${gateway##*:}
ask "$gateway/anthropic" -I -H "Host: evil.example:$port"
is 'a foreign Host at the gateway' "$status" 421
ask "$admin/api/v1/status" -H 'Host: evil.example'
is 'a foreign Host at the admin address' "$status $(header content-type)" '421 application/problem+json'
ask "$admin/api/v1/status" -H 'Origin: https://evil.example'
is 'a foreign Origin' "$status" 403
ask "$admin/api/v1/status" -H 'Sec-Fetch-Site: cross-site'
is 'a foreign Sec-Fetch-Site' "$status" 403
ask "$admin/api/v1/status" -H "Host: localhost:${admin##*:}" -H "Origin: http://localhost:${admin##*:}"
is 'its own page' "$status" 200
ask "$admin/api/v1/nothing"
is 'no such path' "$status $(header content-type)" '404 application/problem+json'
ask -X DELETE "$admin/api/v1/status"
is 'no such method' "$status $(header allow)" '405 GET, HEAD'

# --- a second one on the same address
code 'the address is taken' 1 "$HARDY" serve --listen "${gateway#http://}" --admin 127.0.0.1:0
like 'the error names it, and says what to do' "$err" "${gateway#http://}: the gateway cannot listen there.*'hardy status'.*--listen"
is 'nothing was promised' "$out" ''
code 'the admin address is taken' 1 "$HARDY" serve --listen 127.0.0.1:0 --admin "${admin#http://}"
like 'the same' "$err" "${admin#http://}: the admin API cannot listen there.*--admin"
ask "$admin/health/live"
is 'the first goes on' "$status" 200
end TERM
is 'SIGTERM: exit 0' "$code" 0
ok "without waiting for anything ($took ms)" test "$took" -lt 3000
end_log=$(cat "log.$served")
like 'the log tells the end' "$end_log" '^info ended$'

# --- with a file
cat >c.yaml <<END
gateway: {heartbeat: 1s}
upstreams:
  anthropic: {url: "$upstream/ok", protocol: anthropic}
  stream:    {url: "$upstream/sse", protocol: anthropic}
  pause:     {url: "$upstream/pause", protocol: anthropic}
  busy:      {url: "$upstream/busy-2", protocol: anthropic}
  down:      {url: "$upstream/busy-1000", protocol: anthropic}
  used-up:   {url: "$upstream/used-up", protocol: anthropic}
  plain:     {url: "$upstream/ok/base"}
  keyed:     {url: "$upstream/ok", protocol: anthropic, key_file: key}
END
echo of-hardy >key
serve -c c.yaml --log-format json
message "$gateway/anthropic"
is 'a message passes' "$status $(json 'd["type"]')" '200 message'
is 'with where it went' "$(header x-hardy-upstream) $(header x-hardy-attempts)" 'anthropic 1'
like 'and its id' "$(header x-hardy-request-id)" '^hr-[0-9a-f]{16}$'
asked=$(tail -n 1 upstream/asked)
is 'the credential, the path and the body are the client'\''s' \
    "$(python3 -c 'import json,sys; d=json.loads(sys.argv[1]); print(d["path"], d["headers"]["x-api-key"], json.loads(d["body"])["model"], d["headers"]["host"])' "$asked")" \
    "/ok/v1/messages secret-1 claude-test ${upstream#http://}"
message "$gateway/stream" -N
is 'a stream passes' "$status $(grep -c '^event: content_block_delta' body) $(tail -n 2 body | head -n 1 | cut -d'"' -f4)" \
    '200 3 message_stop'
message "$gateway/pause"
is 'a silent stream is kept alive' "$status $(grep -c '^: keepalive' body) $(grep -c '^event: message_stop' body)" '200 2 1'
message "$gateway/busy"
is 'overload does not reach the client' "$status $(header x-hardy-attempts)" '200 3'
from=$(milliseconds)
message "$gateway/down" -H 'x-stainless-timeout: 2'
took=$(($(milliseconds) - from))
is 'before the client gives up it is told to come again' "$status $(header x-should-retry)" '529 '
ok "in time ($took ms)" test "$took" -lt 2000
message "$gateway/used-up"
message "$gateway/used-up"
ask "$admin/api/v1/requests?n=1"
is 'where nothing is left, the next one waits here' "$(json '(d["requests"][0]["outcome"], d["requests"][0]["waited_ms"] > 500)')" "('ok', True)"
ask "$gateway/plain/x/y?a=b" -X PUT -d 1
is 'another service' "$status $(tail -n 1 upstream/asked | python3 -c 'import json,sys; d=json.load(sys.stdin); print(d["method"], d["path"])')" \
    '200 PUT /ok/base/x/y?a=b'
message "$gateway/keyed"
is "the gateway's own key" "$(tail -n 1 upstream/asked | python3 -c 'import json,sys; print(json.load(sys.stdin)["headers"]["x-api-key"])')" of-hardy
line=$(grep '"message":"request"' log.2 | sed -n 4p)
is 'a line of JSON for each request' \
    "$(python3 -c 'import json,sys; d=json.loads(sys.argv[1]); print(d["level"], d["outcome"], d["status"], d["upstream"], d["attempts"], d["model"], d["input_tokens"], d["output_tokens"])' "$line")" \
    'info ok 200 busy 3 claude-test 11 7'
unlike 'no credential is in the log' "$(cat log.2)" 'secret-1|of-hardy'
like 'the export line is of the first upstream of the protocol' "$(cat out.2)" \
    "^export ANTHROPIC_BASE_URL=$gateway/anthropic\$"
unlike 'none without an upstream' "$(cat out.2)" OPENAI
like 'whose key is used' "$(cat out.2)" '^/keyed -> .* \(with the key of key_file\)$'
end INT
is 'SIGINT: exit 0' "$code" 0

# --- what is wrong in the file
cat >bad.yaml <<END
gateway: {listen: 127.0.0.1:0}
upstreams: {a: {url: "$upstream", guard: nope}}
END
code 'a guard that is not there' 2 "$HARDY" serve -c bad.yaml --admin 127.0.0.1:0
like 'with its place' "$err" 'bad\.yaml:2:[0-9]+: upstream `a`: no guard is called "nope"'
echo 'admin: {listen: 0.0.0.0:0}' >bad.yaml
code 'admin off the loopback without a token' 2 "$HARDY" serve -c bad.yaml --listen 127.0.0.1:0
like 'says what is needed' "$err" 'bad\.yaml:1:17: admin: .*token_file'
code 'the same by flag' 2 "$HARDY" serve --listen 127.0.0.1:0 --admin 0.0.0.0:0
like 'names the flag' "$err" '^hardy serve: --admin: admin: .*token_file'
code 'a flag that is no address' 2 "$HARDY" serve --listen nonsense --admin 127.0.0.1:0
echo 'gatway: {}' >bad.yaml
code 'no such section' 2 "$HARDY" serve -c bad.yaml
like 'the nearest' "$err" 'did you mean `gateway`'
code 'a file that is not there' 2 "$HARDY" serve -c none.yaml
code 'an operand' 2 "$HARDY" serve nonsense
code 'no such log format' 2 "$HARDY" serve --log-format xml

# --- without a place for its state
touch in-the-way
HARDY_STATE=$work/in-the-way/hardy.db XDG_RUNTIME_DIR=$work/in-the-way serve -c c.yaml
like 'a state that cannot be opened is told' "$(cat "log.$served")" '^warning guards are not shared with other processes .*in-the-way'
like 'so is a token that cannot be made' "$(cat "log.$served")" '^warning nothing can be changed through the admin API'
message "$gateway/anthropic"
is 'and traffic goes on' "$status" 200
ask "$admin/api/v1/status"
is 'the API tells it too' "$(json '(d["guards_shared"], "in-the-way" in d["state_problem"])')" '(False, True)'
end
sed '1i on_state_error: refuse' c.yaml >refuse.yaml
HARDY_STATE=$work/in-the-way/hardy.db code 'on_state_error: refuse' 1 "$HARDY" serve -c refuse.yaml --listen 127.0.0.1:0 --admin 127.0.0.1:0
like 'says so' "$err" 'in-the-way.*\(on_state_error: refuse\)'
(unset HARDY_STATE HOME XDG_STATE_HOME XDG_RUNTIME_DIR XDG_CONFIG_HOME
    timeout -s TERM 1 "$HARDY" serve --listen 127.0.0.1:0 --admin 127.0.0.1:0 >bare.out 2>bare.err)
is 'without any environment' "$?" 124
like 'it served' "$(cat bare.out)" '^export ANTHROPIC_BASE_URL='
HARDY_STATE=memory serve -c c.yaml
unlike 'state: memory is no trouble' "$(cat "log.$served")" 'not shared'
end

# --- guards are shared with commands of this host
cat >shared.yaml <<END
upstreams: {anthropic: {url: "$upstream/ok", protocol: anthropic, guard: llm}}
guards: {llm: {breaker: {when_open: reject}}}
END
serve -c shared.yaml
"$HARDY" guards force-open llm --for 10m 2>/dev/null
message "$gateway/anthropic"
is 'opened by hand elsewhere' "$status" 529
like 'retry-after is one that agents obey' "$(header retry-after)" '^([1-9]|[1-5][0-9])$'
"$HARDY" guards reset llm 2>/dev/null
message "$gateway/anthropic"
is 'closed by hand' "$status" 200
end
