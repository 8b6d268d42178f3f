#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy supervise and hardy incidents with a real nginx: observing, Ctrl-C, two at once, what is told
# and shown, and by hand.
. "$(dirname "$0")/nginx.sh"

# --- observe: it tells what it would have done, and touches nothing
master=$(cat "$PAYMENT_API_DIR/nginx.pid")
AUTOMATION=observe watch observe --once
wait_for says ' up ' observe
service freeze
watch_end 3 'observe ends with 3'
like 'observe says what it would have done' "$(cat observe.log)" 'escalated .*automation is observe; would have run restart; telling screen'
like 'observe pages' "$(cat observe.log)" '^PAGE \[screen\] payment-api: workers are stopped; automation is observe; would have run restart \(inc-'
is 'observe touches nothing' "$(cat "$PAYMENT_API_DIR/nginx.pid") $(starts)" "$master 1"
code 'typed again it says with whom it is' 3 "$HARDY" supervise -c watch.yaml --once
like 'since when' "$out" 'left alone .*inc-[0-9a-f-]* is with a person, for .* now; nothing is tried until payment-api has been up'
code 'nothing was run' 0 "$HARDY" actions list
like 'there are no actions' "$out" 'no actions in '

# --- by hand, the one that is with a person is closed
code 'incidents handle' 0 timeout 20 "$HARDY" incidents handle -c watch.yaml --service payment-api --severity low --summary 'customers cannot pay'
like 'it tells what it does' "$out" 'opened  .*low: customers cannot pay'
like 'it tells the end' "$out" 'resolved .*restart helped'
ok 'it answers' service running
is 'one restart' "$(starts)" 2
code 'incidents list' 0 "$HARDY" incidents list
is 'two incidents, none open' "$(grep -c ' resolved ' <<<"$out")" 2
code 'no such service' 2 "$HARDY" incidents handle -c watch.yaml --service payment-ap
like 'the nearest is named' "$err" 'there is no service `payment-ap` under incidents: or heal: \(did you mean `payment-api`\?\)'
code 'no such severity' 2 "$HARDY" incidents handle -c watch.yaml --service payment-api --severity loud
like 'the words are named' "$err" '"loud" is not one of critical, high, medium, low'
code 'handle needs a service' 2 "$HARDY" incidents handle -c watch.yaml
code 'the options go with handle' 2 "$HARDY" incidents list --service payment-api

# --- Ctrl-C: at once, and what runs goes on
HOLD=1 watch interrupted --once
wait_for says ' up ' interrupted
before=$(starts)
service freeze
wait_for says 'restart started' interrupted
kill -INT "$watcher"
watch_end 130 'Ctrl-C ends with 130'
watch resumed --once
wait_for says 'attached, not started again' resumed
touch go
watch_end 0 'the next one resolves it'
is 'Ctrl-C: one restart' "$(($(starts) - before))" 1
rm -f go

# --- two at once: one handles it, the other waits and has its result
watch one --once
first=$watcher
watch two --once
second=$watcher
wait_for says ' up ' one
wait_for says ' up ' two
before=$(starts)
service freeze
watcher=$first
watch_end 0 'two at once: the first resolves it'
watcher=$second
watch_end 0 'two at once: so does the second'
is 'two at once: one restart' "$(($(starts) - before))" 1
is 'two at once: one opened it' "$(grep -h ' opened ' one.log two.log | wc -l)" 1
like 'the other names who handles it' "$(cat one.log two.log)" "waiting .*(hardy supervise --once, pid ($first|$second) handles inc-|another hardy handles payment-api)"

# --- shown again
id=$(latest)
code 'incidents show' 0 "$HARDY" incidents show "$id"
like 'its head' "$(head -1 <<<"$out")" "^$id  resolved  critical$"
like 'its cause' "$out" '^  cause: workers are stopped \(rule stopped, confidence 0.90\)$'
like 'what happened' "$out" '^  [0-9:.]{12}  analysed '
like 'its remedies' "$out" '^    restart +done '
like 'its evidence' "$out" '^    processes +fresh, '
code 'incidents show --json' 0 "$HARDY" incidents show --json "$id"
json=$out
is 'it is JSON, with what a program wants' "$(python3 - "$json" <<'PY'
import json, sys
o = json.loads(sys.argv[1])
print(o["state"], o["severity"], o["attempts"], o["rule"], o["outcome"], [e["what"] for e in o["timeline"]][0],
      o["remedies"][0]["state"], o["evidence"]["components"]["processes"]["data"]["stopped"], o["ended"] > o["created"])
PY
)" 'resolved critical 1 stopped restart helped opened done 2 True'
code 'incidents list --json' 0 "$HARDY" incidents list --json
is 'the list is JSON' "$(python3 -c 'import json, sys; print({i["state"] for i in json.load(sys.stdin)})' <<<"$out")" "{'resolved'}"
code 'no such incident' 1 "$HARDY" incidents show inc-0
like 'it is said' "$err" 'there is no incident `inc-0`; see hardy incidents list'
code 'nothing more than that' 2 "$HARDY" incidents explode
AUTOMATION=observe "$HARDY" supervise -c watch.yaml --once --json >json.log 2>json.err &
watcher=$!
wait_for grep -q '"up"' json.log
service freeze
watch_end 3 'supervise --json'
is 'each line is JSON, about whom and which incident' "$(python3 - json.log <<'PY'
import json, sys
lines = [json.loads(l) for l in open(sys.argv[1])]
print({l["subject"] for l in lines} == {"payment-api", "screen"}, [l["what"] for l in lines if l["incident"]],
      len({l["incident"] for l in lines if l["incident"]}))
PY
)" "True ['opened', 'gathered', 'analysed', 'proposed', 'escalated', 'told'] 1"
