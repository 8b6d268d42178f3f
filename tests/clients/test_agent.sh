#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# examples/agent.py, which has the weaknesses of coding agents, asks a provider that fails: directly, and through
# the gateway, in real time. Outages of full length are lived through on the virtual clock, in tests/gateway.
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/tests/tap.sh"
export XDG_RUNTIME_DIR=$work/run
unset http_proxy https_proxy all_proxy
started=()
clients_end() {
    tap_status=$?
    local pid
    for pid in "${started[@]}"; do
        kill -9 "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
    done
    (exit $tap_status)
    tap_end
}
trap clients_end EXIT

# A provider of its own for each story, so that stories can be lived through at once. FAULTS on a free port:
# its address into the file NAME.at.
provider() { # provider NAME FAULTS
    printf 'pace: 5ms\nthink: 5ms\nwords: 8\nfaults: [%s]\n' "$2" >"$1.yaml"
    "$HARDY" chaos llm --faults "$1.yaml" --journal "$1.jsonl" >"$1.out" 2>&1 &
    started+=($!)
    wait_for grep -qs 'listening on' "$1.out" || exit 1
    sed -n 's/^listening on //p' "$1.out" >"$1.at"
}
gateway() { # gateway NAME: one before that provider, with its times scaled down
    cat >"$1-hardy.yaml" <<YAML
state: memory
gateway: {listen: "127.0.0.1:0", heartbeat: 1s}
admin: {listen: "127.0.0.1:0"}
guards:
  anthropic:
    deadline: 4s
    timeout: {first_content: 1s, idle: 1500ms}
    retry: {base_delay: 50ms, max_delay: 500ms, max_total_wait: 4s}
    breaker: {recovery_timeout: 500ms}
upstreams: {anthropic: {url: "$(cat "$1.at")", protocol: anthropic}}
YAML
    "$HARDY" serve -q -c "$1-hardy.yaml" >"$1-serve.out" 2>"$1-serve.err" &
    started+=($!)
    wait_for grep -qs '^export ANTHROPIC' "$1-serve.out" || { tap_note "$(cat "$1-serve.err")"; exit 1; }
    sed -n 's/^export ANTHROPIC_BASE_URL=//p' "$1-serve.out" >"$1.at"
}
agent() { # agent NAME: its answer in NAME.answer, its exit code in NAME.code
    ANTHROPIC_BASE_URL=$(cat "$1.at") timeout 60 python3 "$root/examples/agent.py" "what is $1" >"$1.answer" 2>"$1.note"
    echo $? >"$1.code"
}
says() { # says NAME WHAT: full, half or dead
    local how=dead
    if [ "$(cat "$1.code")" -eq 0 ]; then
        how=half
        # What came before it asked once more is not part of the answer.
        tail -n 1 "$1.answer" | grep -q '^You said "what is .* END\.$' && how=full
    fi
    [ $how = "$2" ] || tap_note "$1 is $how: $(cat "$1.answer") $(cat "$1.note")"
    [ $how = "$2" ]
}

# name|faults: how the agent fares alone
stories='overloaded-2s|{fail: overloaded, for: 2s}|full
overloaded-6s|{fail: overloaded, for: 6s}|full
status-503-2s|{fail: status, status: 503, for: 2s}|dead
status-503-6s|{fail: status, status: 503, for: 6s}|dead
status-500-2s|{fail: status, status: 500, for: 2s}|dead
rate-limit-2s|{fail: rate_limit, retry_after: 1s, for: 2s}|full
reset-2s|{fail: reset, for: 2s}|dead
reset-6s|{fail: reset, for: 6s}|dead
malformed|{fail: malformed, first: 2}|dead
error-early|{fail: error_event, first: 2}|full
error-late|{fail: error_event, after_events: 6, first: 1}|full
silence-early|{fail: silence, delay: 3s, first: 1}|full
silence-late|{fail: silence, delay: 10s, after_events: 6, first: 1}|full'
while IFS='|' read -r name faults alone; do
    # However slowly it starts: what kills it alone lasts.
    lasting=$faults
    [ "$alone" = dead ] && lasting=$(sed 's/for: [0-9]*s/for: 1h/' <<<"$faults")
    provider "$name-alone" "$lasting"
    agent "$name-alone" &
    provider "$name" "$faults"
    gateway "$name"
    agent "$name" &
done <<<"$stories"
# Every place between two events at which a stream can end: 3 before the content, 8 with it, 3 behind it.
for at in $(seq 0 13); do
    provider "cut-$at-alone" "{fail: cut, after_events: $at, first: 1}"
    agent "cut-$at-alone"
    provider "cut-$at" "{fail: cut, after_events: $at, first: 1}"
    gateway "cut-$at"
    agent "cut-$at"
done
for name in $(cut -d'|' -f1 <<<"$stories"); do
    wait_for test -s "$name.code" || wait_for test -s "$name.code" || wait_for test -s "$name.code"
    wait_for test -s "$name-alone.code"
done

while IFS='|' read -r name faults alone; do
    ok "$faults: alone the agent is $alone" says "$name-alone" "$alone"
    ok "$faults: with hardy it has its answer" says "$name" full
done <<<"$stories"
half=0
for at in $(seq 0 13); do
    ok "cut after $at events: with hardy it has its answer" says "cut-$at" full
    says "cut-$at-alone" half >/dev/null && half=$((half + 1))
done
ok "cut anywhere in its content ($half of 14), alone it takes half an answer for a whole one" test $half -ge 8
