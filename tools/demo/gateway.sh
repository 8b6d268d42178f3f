#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The gateway of `make run`: the same agent asks a provider that fails, without hardy and with it. The
# provider is `hardy chaos llm`, which speaks Anthropic's protocol and fails as its file says; the agent
# behaves as coding agents were seen to. Ends by itself, leaves nothing running.
. "$(dirname "$0")/common.sh"
agent=$root/examples/agent.py
demo=$build/demo/gateway

provider='' gateway=''
cleanup() {
    [ -z "$provider" ] || kill "$provider" 2>/dev/null || true
    [ -z "$gateway" ] || kill "$gateway" 2>/dev/null || true
    wait 2>/dev/null || true
}

provider_start() { # provider_start FAULT: a new one, on the same port
    [ -z "$provider" ] || { kill "$provider" && wait "$provider" 2>/dev/null; } || true
    printf 'pace: 15ms\nwords: 14\nfaults:\n  - %s\n' "$1" >"$demo/faults.yaml"
    "$hardy" chaos llm --listen "127.0.0.1:$provider_port" --faults "$demo/faults.yaml" \
        --journal "$demo/journal.jsonl" >"$demo/provider.log" 2>&1 &
    provider=$!
    wait_for 'listening on' "$demo/provider.log"
}

ask() { # ask BASE QUESTION: what the agent says; its exit code into `code`
    code=0
    ANTHROPIC_BASE_URL=$1 timeout 60 python3 "$agent" "$2" >"$demo/answer" 2>&1 || code=$?
    answer=$(cat "$demo/answer")
    fold -s -w 100 "$demo/answer" | sed "s/^/      $dim/; s/\$/$off/"
}
ends_well() { [ "$code" -eq 0 ] && [[ $answer == *END.* ]]; }
dead() { [ "$code" -ne 0 ]; }
half() { [ "$code" -eq 0 ] && [[ $answer != *END.* ]]; }

rm -rf "$demo"
mkdir -p "$demo"
trap cleanup EXIT
trap 'exit 130' INT TERM
unset HARDY_CONFIG HARDY_STATE
export XDG_CONFIG_HOME=$demo/none XDG_RUNTIME_DIR=$demo/run
provider_port=$(free_port)
direct=http://127.0.0.1:$provider_port

title "An agent, and a provider that fails"
gateway_port=$(free_port)
cat >"$demo/hardy.yaml" <<YAML
state: memory
gateway: {listen: "127.0.0.1:$gateway_port"}
admin: {listen: "127.0.0.1:$(free_port)"}
upstreams:
  anthropic: {url: "$direct", protocol: anthropic}    # in real life: https://api.anthropic.com
YAML
export HARDY_CONFIG=$demo/hardy.yaml
"$hardy" serve >"$demo/gateway.log" 2>"$demo/requests.log" &
gateway=$!
wait_for 'export ANTHROPIC_BASE_URL' "$demo/gateway.log"
through=$(sed -n 's/^export ANTHROPIC_BASE_URL=//p' "$demo/gateway.log")
say "   hardy serve runs. All that an agent needs to know of it is one variable:"
say "      export ANTHROPIC_BASE_URL=$through"

title "1. The provider is down for five seconds (503)"
provider_start '{fail: status, status: 503, for: 5s}'
say "   ${bold}without hardy:${off}"
ask "$direct" "What is a circuit breaker?"
check "the agent's session is dead" dead
provider_start '{fail: status, status: 503, for: 5s}'
say "   ${bold}the same agent, the same outage, with hardy:${off}"
ask "$through" "What is a circuit breaker?"
check "a full answer" ends_well

title "2. The provider's stream ends in the middle, without a word"
provider_start '{fail: cut, after_events: 9, first: 1}'
say "   ${bold}without hardy:${off}"
ask "$direct" "What is a retry budget?"
check "the agent takes half an answer for a whole one, and does not know" half
provider_start '{fail: cut, after_events: 9, first: 1}'
say "   ${bold}with hardy, which says so in the protocol's own words; the agent asks again:${off}"
ask "$through" "What is a retry budget?"
check "a full answer" ends_well

title "3. Connections are reset, answers are no JSON, an error comes inside a 200"
provider_start '{fail: reset, first: 1}
  - {fail: malformed, first: 2}
  - {fail: error_event, after_events: 2, first: 3}'
ask "$through" "What is idempotency?"
check "a full answer, at the fourth attempt; the agent has noticed nothing" ends_well

title "What hardy saw"
"$hardy" requests | sed "s/^/   /"
kill -TERM "$gateway"
code=0
wait "$gateway" || code=$?
gateway=''
check "SIGTERM ends it with 0" test "$code" -eq 0
cleanup
trap - EXIT
exit "$failed"
