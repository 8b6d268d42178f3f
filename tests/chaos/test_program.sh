#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `hardy chaos` as it is typed, asked with curl, and the guide's examples.
guide=$(cd "$(dirname "$0")/../.." && pwd)/docs/chaos.md
. "$(dirname "$0")/../tap.sh"

# start NAME ARGUMENTS...: runs hardy chaos; sets pid, and the variables that it tells to export.
start() {
    local name=$1
    shift
    set -m # else bash has it ignore INT
    "$HARDY" chaos "$@" >"$name.out" 2>"$name.err" &
    pid=$!
    set +m
    wait_for grep -q '^export OPENAI' "$name.out" || return 1
    eval "$(grep '^export ' "$name.out")"
}
stop() { # stop SIGNAL: sets status, its exit code, and took, how long it took
    local begun
    begun=$(milliseconds)
    kill "-$1" "$pid"
    wait "$pid"
    status=$?
    took=$(($(milliseconds) - begun))
    pid=
}
pid=
trap 'last=$?; [ -z "$pid" ] || kill -KILL "$pid"; (exit $last); tap_end' EXIT
ask() { curl -sS --max-time 20 -H 'x-api-key: k' "$@" 2>curl.err; }

body='{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hello"}]}'
stream='{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"Hello"}]}'

# --- without faults ------------------------------------------------------------------------------

ok 'it starts' start plain llm --think 1ms --pace 0s --words 3 --seed 7
like 'it tells where it listens' "$(head -n 1 plain.out)" '^listening on http://127\.0\.0\.1:[1-9][0-9]*$'
is 'and what to export' "$(sed -n 2,3p plain.out)" \
    "export ANTHROPIC_BASE_URL=${ANTHROPIC_BASE_URL}"$'\n'"export OPENAI_BASE_URL=${ANTHROPIC_BASE_URL}/v1"
like 'a message' "$(ask "$ANTHROPIC_BASE_URL/v1/messages" -d "$body")" '"text":"You said \\"Hello\\"\. [a-z]+ END\."'
is 'a stream of a chat ends' "$(ask -N "$OPENAI_BASE_URL/chat/completions" -d "$stream" | grep -v '^$' | tail -n 1)" 'data: [DONE]'
like 'a response' "$(ask "$OPENAI_BASE_URL/responses" -d '{"model":"m","input":"Hi"}')" '"status":"completed"'
is 'no body at all' "$(ask -o /dev/null -w '%{http_code}' -X POST "$ANTHROPIC_BASE_URL/v1/messages")" 400
head -c 20000000 /dev/zero | tr '\0' x >large
{ printf '{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"'; cat large; printf '"}]}'; } >body
is 'a body of 20 MB' "$(ask -o /dev/null -w '%{http_code}' "$ANTHROPIC_BASE_URL/v1/messages" --data-binary @body)" 200
cat large large >body
is 'a body above 32 MiB' "$(ask -o /dev/null -w '%{http_code}' "$ANTHROPIC_BASE_URL/v1/messages" -H 'Expect:' --data-binary @body)" 413
is 'another Host' "$(ask -o /dev/null -w '%{http_code}' -H 'Host: evil.test' "$ANTHROPIC_BASE_URL/v1/messages" -d "$body")" 421
stop TERM
is 'TERM ends it with 0' "$status" 0
like 'it says what there was' "$(cat plain.err)" 'hardy chaos: 5 requests, 0 faults; complete 4, .*refused 1'

# --- faults, journal, replay -----------------------------------------------------------------------

cat >faults.yaml <<'YAML'
seed: 42
pace: 1ms
think: 1ms
words: 4
faults:
  - {fail: overloaded, first: 1, path: /messages, retry_after: 2s}
  - {fail: cut, after_events: 4, first: 2, stream: true}
  - {fail: reset, first: 3}
  - {fail: hang, model: slow}
YAML
code 'the fault file is right' 0 "$HARDY" validate faults.yaml
is 'and said to be one' "$out" 'faults.yaml: a fault file, nothing wrong'

attempts() { # each of four attempts: status, curl's exit code, lines of data
    local i
    for i in 1 2 3 4; do
        : >answer
        ask -N -o answer -w '%{http_code}' -H "x-chaos-key: $1" "$ANTHROPIC_BASE_URL/v1/messages" -d "$stream"
        echo " $? $(grep -c '^data' answer)"
    done
}
wanted='529 0 0
200 0 4
000 56 0
200 0 10'
ok 'it starts with faults' start faults llm --faults faults.yaml --journal calls.jsonl -v
is 'an outage, a cut, a reset, an answer' "$(attempts one)" "$wanted"
is 'the same for every key' "$(attempts two)" "$wanted"
slow='{"model":"slow","max_tokens":9,"messages":[{"role":"user","content":"x"}]}'
for i in 1 2 3; do ask -o /dev/null "$OPENAI_BASE_URL/chat/completions" -d "$slow"; done
ask "$OPENAI_BASE_URL/chat/completions" -d "$slow" >/dev/null &
client=$!
waits() { ask -o /dev/null --max-time 0.2 "$OPENAI_BASE_URL/chat/completions" -d "$slow"; [ $? -eq 28 ]; }
ok 'a hang outlasts its client' waits
stop INT
is 'INT ends it with 0, whoever hangs' "$status" 0
ok 'and soon' test "$took" -lt 1500
wait "$client" 2>/dev/null
is 'a line for each request' "$(wc -l <calls.jsonl)" 13
is 'in the journal' "$(jq -r 'select(.key == "one") | "\(.attempt) \(.rule) \(.fault) \(.status) \(.events) \(.ended)"' calls.jsonl)" \
    '1 0 overloaded 529 0 as_told
2 1 cut 200 4 as_told
3 2 reset null 0 as_told
4 null null 200 10 complete'
is 'who left, and whom the end met' "$(jq -r 'select(.fault == "hang").ended' calls.jsonl | sort | paste -sd ' ')" 'client_left shut_down'
unlike 'no word of what was asked' "$(cat calls.jsonl)" 'Hello'
is '-v tells of each request' "$(grep -c '^debug call number=' faults.err)" 13

ok 'it starts for a replay' start replay replay calls.jsonl --journal again.jsonl
is 'the replay does the same' "$(attempts one)" "$wanted"
is 'for each key' "$(attempts two)" "$wanted"
is 'and nothing to what never was' "$(ask -o /dev/null -w '%{http_code}' -H 'x-chaos-key: three' "$ANTHROPIC_BASE_URL/v1/messages" -d "$stream")" 200
stop TERM
is 'the replay ends with 0' "$status" 0
like 'and says how many it did not know' "$(cat replay.err)" 'hardy chaos: 1 requests are not in calls.jsonl'
is 'its journal is the same' "$(jq -c 'select(.key == "one" or .key == "two") | del(.time, .number, .seconds)' again.jsonl)" \
    "$(jq -c 'select(.key == "one" or .key == "two") | del(.time, .number, .seconds)' calls.jsonl)"

# --- what can be wrong -----------------------------------------------------------------------------

ok 'a key may be required' start key llm --require-key sesame
is 'without it' "$(ask -o /dev/null -w '%{http_code}' "$ANTHROPIC_BASE_URL/v1/messages" -d "$body")" 401
is 'with it' "$(curl -sS --max-time 20 -o /dev/null -w '%{http_code}' -H 'Authorization: Bearer sesame' "$OPENAI_BASE_URL/chat/completions" -d "$body")" 200
port=${ANTHROPIC_BASE_URL##*:}
code 'the port is taken' 1 timeout 5 "$HARDY" chaos llm --listen "127.0.0.1:$port"
like 'which one' "$err" "127.0.0.1:$port"
stop TERM
code 'neither llm nor replay' 2 "$HARDY" chaos
code 'something else' 2 "$HARDY" chaos lml
like 'it says what there is' "$err" 'not one of llm, replay'
code 'replay without a journal' 2 "$HARDY" chaos replay
code 'faults for a replay' 2 "$HARDY" chaos replay calls.jsonl --faults faults.yaml
like 'it says why not' "$err" '--faults goes with llm'
code 'no such journal' 2 "$HARDY" chaos replay gone.jsonl
code 'no such fault file' 2 "$HARDY" chaos llm --faults gone.yaml
code 'a setting out of range' 2 "$HARDY" chaos llm --words 1
like 'which, and what would be right' "$err" '--words: expected a whole number from 2 to 10000, not "1"'
code 'no address' 2 "$HARDY" chaos llm --listen nonsense:
like 'what would be one' "$err" 'HOST:PORT such as 127\.0\.0\.1:8080'
code 'a journal nowhere' 2 "$HARDY" chaos llm --journal none/j
printf 'faults:\n  - {fail: cutt}\n' >wrong.yaml
code 'a wrong fault file' 2 "$HARDY" chaos llm --faults wrong.yaml
like 'its place, and what was meant' "$err" 'wrong.yaml:2:12: .*did you mean cut\?'
printf 'faults:\n  - {fail: cut}\n  - {fail: hang}\n  - {fail: reset}\n' >never.yaml
code 'rules that never apply are a warning' 0 "$HARDY" validate never.yaml
like 'the first of them' "$out" '^never.yaml:3:5: warning: this rule and those after it never apply'

ok 'as JSON' test "$(timeout 0.5 "$HARDY" chaos llm --json --listen localhost 2>json.err | jq -r '.listening == "http://localhost:\(.port)"')" = true

# --- the guide ---------------------------------------------------------------------------------------

awk '/^```yaml/ { n++; in_block = 1; next } /^```/ { in_block = 0 } in_block { print > ("guide" n ".yaml") }' "$guide"
for block in guide*.yaml; do
    code "the guide's example $block" 0 "$HARDY" validate "$block"
    is "the guide's example $block has no warnings" "$out" "$block: a fault file, nothing wrong"
done
for key in $("$HARDY" validate --schema | sed -n '/^# a fault file/,$s/^ *\([a-z_]*\):\{0,1\} .*/\1/p'); do
    ok "the guide has the key $key" grep -qw "$key" "$guide"
done
for kind in $("$HARDY" validate --schema | sed -n '/^# a fault file/,$s/^ *fail  *\([a-z_|]*\) .*/\1/p' | tr '|' ' '); do
    ok "the guide has the fault $kind" grep -q "^| \`$kind\` |" "$guide"
done
