#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What only hardy serve can do about a check that is down: cached answers are forgotten, connections reset,
# fewer requests let through. One after the other, until one has helped.
. "$(dirname "$0")/support.sh"
export HARDY_STATE=$work/state/hardy.db
touch well
cat >c.yaml <<EOF
automation: act
upstreams: {plain: {url: "$upstream/ok", guard: front}}
guards: {front: {deadline: 10m}}
checks:
  - {name: shop, command: [test, -e, well], interval: 100ms, timeout: 90ms, failure_threshold: 2, success_threshold: 1, grace: 0s}
notify: {screen: {type: stderr}}
degrade:
  gatherings:
    shop: {components: {stock: {command: [echo, "7"], refresh: 1h, cache: 1h}}}
    other: {components: {news: {command: [echo, "8"], refresh: 1h, cache: 1h}}}
heal:
  services:
    shop:
      escalate: [screen]
      verify: {passes: 2, window: 300ms}
      pause: 100ms
      remedies: [{actions: [forget, reset, absent, lower, mend]}]
      actions:
        forget: {clear_cache: "shop/"}
        reset: {reset_connections: plain}
        absent: {reset_connections: nowhere}
        lower: {lower_concurrency: {guard: front, to: 0.5, lasts: 5s}}
        mend: {run: [touch, well]}
EOF
code 'the configuration holds' 0 "$HARDY" validate c.yaml
serve -c c.yaml
metric() { # metric SAMPLE: its value
    ask "$admin/metrics" && sed -n "s/^$1 //p" body
}
lowered() { ask "$admin/api/v1/guards" && json "[g['lowered_to'] for g in d['guards'] if g['name'] == 'front'][0]"; }
is_lowered() { [ "$(lowered)" = "$1" ]; }
up() { ask "$admin/api/v1/checks" && [ "$(json 'd["checks"][0]["level"]')" = up ]; }
wait_for up
ask "$gateway/plain/x" # leaves a connection
ask "$admin/api/v1/gather/shop"
ask "$admin/api/v1/gather/other"
is 'both are kept' "$(metric hardy_cache_answers)" 2

rm well
ok 'one has helped' wait_for logged '^info resolved .*about=shop.*mend helped at attempt 5'
ok 'those of the prefix were forgotten' logged 'forget done: forgot 1 answer'
is 'and the others not' "$(metric hardy_cache_answers)" 1
ok 'the connection was closed' logged 'reset done: closed 1 idle connection to plain'
ok 'what is not there is a remedy that failed' logged 'absent failed: there is no upstream .nowhere.'
ok 'fewer are let through' logged 'lower done: at most 1 at once through front, for 5s'
code 'the screen tells it' 0 "$HARDY" status -c c.yaml --admin "${admin#http://}"
like 'in words' "$out" 'a remedy lets at most 1 through at once'
ok 'which ends by itself' wait_for is_lowered None

# --- what has come of them is counted, for machines and for people
is 'an incident' "$(metric 'hardy_incidents_total{service="shop",state="resolved"}')" 1
is 'none is open' "$(metric 'hardy_incidents_open{service="shop"}')" 0
is 'what helped' "$(metric 'hardy_heal_attempts_total{service="shop",action="mend",result="healed"}')" 1
is 'what did not' "$(metric 'hardy_heal_attempts_total{service="shop",action="absent",result="not_healed"}')" 1
is 'the limit has its metric' "$(metric 'hardy_concurrency_limit{guard="front"}')" 0
ask "$admin/api/v1/status"
is 'the API has rates' "$(json '[(r["service"], r["success_rate"]) for r in d["remedies"] if r["action"] == "mend"]')" "[('shop', 1)]"
code 'so has the screen' 0 "$HARDY" status -c c.yaml --admin "${admin#http://}"
like 'of what helped' "$out" 'shop +mend +1 +0 +100 %'
like 'and of what did not' "$out" 'shop +reset +0 +1 +0 %'
code 'and its document' 0 "$HARDY" status -c c.yaml --admin "${admin#http://}" --json
like 'too' "$(tr -d ' \n' <<<"$out")" '"action":"mend","healed":1,"not_healed":0,"success_rate":1'
