#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy sim --model: what the program makes of a run. What the models do is tested by test_models.c.
. "$(dirname "$0")/../tap.sh"
json() { python3 -c 'import json,sys; d=json.load(sys.stdin); print(eval(sys.argv[1]))' "$1" <<<"$out"; }

# --- each model
for model in A S O M; do
    small=(--clients 60 --outage 5s)
    [ "$model" != A ] || small=(--clients 60) # it has none
    code "$model" 0 "$HARDY" sim --model "$model" "${small[@]}" --svg "$model.svg"
    once=$out
    like "$model has a title" "$once" "^model $model: 60 clients(, capacity [0-9.]+/s)?, strategy full, control none, seed 42"
    unlike "$model: only ASCII without a locale" "$once" $'[\x80-\xff]'
    ok "$model: its picture is well-formed" python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' "$model.svg"
    is "$model: the same bytes" "$("$HARDY" sim --model "$model" "${small[@]}" --svg again.svg)" "$once"
    ok "$model: the same picture" cmp again.svg "$model.svg"
    code "$model as JSON" 0 "$HARDY" sim --model "$model" "${small[@]}" --json
    is "$model: its keys" "$(json 'sorted(set("model clients strategy control seed calls_per_operation done_after_s peak_over_capacity_1s peak_over_capacity_100ms goodput_last_minute recovered_after_s plan series".split()) - set(d))')" '[]'
    is "$model: each second has its figures" "$(json 'len(d["series"]["calls"]) == len(d["series"]["good"])')" True
    is "$model: all calls are in the series" "$(json 'abs(sum(d["series"]["calls"]) * d["series"]["width_s"] - d["calls"]) < 25')" True
done
is 'a capacity where there is one' "$(json 'd["series"]["capacity"][0] == d["capacity"] > d["series"]["capacity"][62] > 0')" True

# --- what has no meaning in a model is not told, and what does not happen is "never"
code 'A' 0 "$HARDY" sim --model A --clients 20
unlike 'A has no capacity' "$out" 'capacity|never|plan'
code 'S' 0 "$HARDY" sim --clients 60
unlike 'S has no last minute' "$out" 'last minute|never'
code 'M' 0 "$HARDY" sim --model M --clients 60
like 'M may not recover' "$out" '^recovered after +never$'
like 'and then nothing is answered in time' "$out" '^good answers in the last minute +0\.00 of the operations begun$'
unlike 'M has no end' "$out" 'all done'
code 'and as JSON' 0 "$HARDY" sim --model M --clients 60 --json
is 'null' "$(json '(d["recovered_after_s"], d["done_after_s"], d["goodput_last_minute"])')" '(None, None, 0)'
calls=$(json 'd["calls"]')
code 'a service that is too slow for its callers' 0 "$HARDY" sim --model M --clients 1
like 'has nothing to come back to' "$out" '^recovered after +never$'
like 'and a rate of calls a minute' "$out" '^rate .* 48/m, burst 12 +r\*1m \+ b <= 60$'
code 'another seed' 0 "$HARDY" sim --model M --clients 60 --seed 7 --json
not_ok 'is another run' test "$(json 'd["calls"]')" = "$calls"

# --- the plan
code 'a plan' 0 "$HARDY" sim --model M --clients 100 --capacity 200/s --max-delay 500ms --attempts 3
like 'the longest wait' "$out" '^max_delay +500ms +no +1s or more +2N/C$'
like 'attempts' "$out" '^attempts +3 +no +up to 2, or a budget +0\.35 \* n < 1$'
like 'a rate' "$out" '^rate +none +160/s, burst 40 +r\*1s \+ b <= 200$'
code 'one that holds' 0 "$HARDY" sim --model M --clients 100 --capacity 200/s --attempts 2 --control pace
unlike 'all of it' "$out" '^(max_delay|attempts|rate) .* no  '
is 'and says so three times' "$(grep -cE '^(max_delay|attempts|rate) .* yes  ' <<<"$out")" 3
code 'a budget instead' 0 "$HARDY" sim --model M --clients 100 --capacity 200/s --attempts 4 --control budget
like 'is safe' "$out" '^attempts +4, a budget +yes +up to 2, or a budget '
code 'too much of all' 0 "$HARDY" sim --model M --clients 100 --capacity 50/s --attempts 1
like 'no number of attempts helps' "$out" '^attempts +1 +no +none +1\.40 is offered of 1$'
code 'as JSON' 0 "$HARDY" sim --model M --clients 100 --capacity 200/s --max-delay 500ms --attempts 3 --json
is 'the same figures' "$(json 'd["plan"]')" "{'least_max_delay_s': 1, 'max_delay_fits': False, 'most_attempts': 2, 'attempts_fit': False, 'rate_per_second': 160, 'burst': 40, 'window_s': 1, 'rate_fits': None}"

# --- what cannot be
code 'no such model' 2 "$HARDY" sim --model B
like 'which there are' "$err" '"B" is none of A, S, O, M'
code 'a control that it does not have' 2 "$HARDY" sim --model S --control deadline
code 'one of its own and a shared one' 2 "$HARDY" sim --control breaker,shared-breaker
code 'a ramp without a breaker' 2 "$HARDY" sim --control ramp
like 'says what is missing' "$err" 'expected breaker or shared-breaker with it'
code 'a close rate without the one breaker' 2 "$HARDY" sim --control breaker,close-rate
like 'says which' "$err" 'expected shared-breaker with it'
code 'A has no outage' 2 "$HARDY" sim --model A --outage 5s
like 'says which have one' "$err" 'outage: model A has none: .*expected one of the models S, O, M'
code 'nor a capacity' 2 "$HARDY" sim --model A --capacity 5
for option in --clients --capacity --outage --strategy --control --attempts --base-delay --max-delay --seed --model; do
    code "$option with nonsense" 2 "$HARDY" sim "$option" -1z
    like "$option: named" "$err" "^hardy sim: $option: .*-1z"
done
code 'a configuration without a scenario' 2 "$HARDY" sim -c nothing.yaml
like 'is for a scenario' "$err" '^hardy sim: --config goes with --scenario'
code '--claims has its own runs' 2 "$HARDY" sim --claims --seed 7
code 'a scenario has its guard' 2 "$HARDY" sim --scenario herd --strategy full
code 'a folder that is not there' 1 "$HARDY" sim --clients 60 --svg none/x.svg
like 'says so' "$err" 'none/x\.svg.*(No such|not there|cannot)'
code 'longer than can be counted' 1 "$HARDY" sim --model A --clients 60 --base-delay 1h --max-delay 24h --strategy exponential
like 'says what helps' "$err" 'for more than 29 h of its time; fewer clients'
