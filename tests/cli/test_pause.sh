#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy pause, hardy resume, what hardy status says of them, and hardy status --since: with a state and
# no daemon.
. "$(dirname "$0")/../../tools/free_port.sh"
guide=$(cd "$(dirname "$0")/../.." && pwd)/docs/pause.md
. "$(dirname "$0")/../tap.sh"
export TZ=UTC
cat >hardy.yaml <<END
gateway: {listen: "127.0.0.1:$(free_port)"}
admin: {listen: "127.0.0.1:$(free_port)"}
checks: [{name: up, command: [test, -e, well], interval: 50ms, timeout: 50ms, failure_threshold: 1, success_threshold: 1}]
notify: {screen: {type: stderr}}
automation: \${AUTOMATION:-observe}
incidents:
  services:
    web:
      check: up
      escalate: [screen]
      verify: {passes: 1, window: 5s}
      rules: [{name: gone, when: "true", cause: the file is gone, actions: [mend]}]
      actions: {mend: {run: [touch, well]}}
END
me="$(id -un) (uid $(id -u))"
state=$HARDY_STATE
# fields EXPRESSION: of what was printed as JSON
fields() { python3 -c 'import json, sys; d = json.loads(sys.argv[1]); print(eval(sys.argv[2]))' "$out" "$1"; }

# --- the guide's windows
awk '/^```yaml/ { in_block = 1; next } /^```/ { in_block = 0 } in_block' "$guide" >guide.yaml
code 'the windows of the guide' 0 "$HARDY" validate guide.yaml
sed -i '/^supervise:/,$d' guide.yaml
code 'with names' 2 "$HARDY" validate guide.yaml
like 'that nothing has' "$out" '^guide.yaml:2:[0-9]+: the configuration knows no `web`'

# --- names
code 'a name that stands for nothing' 2 "$HARDY" pause wob
is 'the nearest is told' "$err" 'hardy pause: hardy.yaml: the configuration knows no `wob`; did you mean `web`?; --force pauses it anyway'
code 'what can be no name' 2 "$HARDY" pause 'a b' --force
like 'says what can' "$err" '`a b` can be no target: a name, SERVICE/ACTION, or \* for everything'
code 'two names' 2 "$HARDY" pause web db
code 'no duration' 2 "$HARDY" pause --for 2
like 'says what one is' "$err" '--for: expected a duration'
code 'no time at all' 2 "$HARDY" pause --for 0s
not_ok 'nothing of this made a state that is paused' grep -q paused <("$HARDY" resume 2>/dev/null)
code 'resume, where nothing is paused' 1 "$HARDY" resume
is 'says so' "$err" "hardy resume: $state: everything is not paused; nothing is"

# --- pause and resume
code 'a service for two hours' 0 "$HARDY" pause web --for 2h --reason 'new disks'
like 'what is paused' "$(sed -n 1p <<<"$out")" "^hands off  web is paused by $(sed 's/[()]/\\&/g' <<<"$me") until ([A-Z][a-z]+ )?[0-9][0-9]:[0-9][0-9] UTC: new disks$"
is 'and what to type to end it' "$(sed -n 2p <<<"$out")" "  hardy resume web --state $state    # ends it"
code 'one remedy of it' 0 "$HARDY" pause web/mend
like 'is paused too' "$out" '^hands off  web/mend is paused by .* until it is resumed$'
code 'everything' 0 "$HARDY" pause --json
is 'as JSON' "$(fields '[(p["target"], p["by"], p["who"], p["reason"], p["until"] is None) for p in d["paused"]]')" \
    "[('*', 'person', '$me', None, True), ('web', 'person', '$me', 'new disks', False), ('web/mend', 'person', '$me', None, True)]"
code 'again, for a while' 0 "$HARDY" pause --for 1h
like 'replaces the one before' "$out" '^hands off  everything is paused by .* until .*[0-9] UTC$'
code 'resume everything' 0 "$HARDY" resume
unlike 'it is not paused' "$out" 'everything'
like 'the others are, and it says so' "$out" '^hands off  web is paused'
code 'resume what is not paused' 1 "$HARDY" resume db
is 'tells what is' "$err" "hardy resume: $state: db is not paused; paused: web, web/mend"
code 'resume the one' 0 "$HARDY" resume web
code 'and the other' 0 "$HARDY" resume web/mend
is 'then nothing is' "$out" 'nothing is paused'
code 'a short one' 0 "$HARDY" pause web --for 1ms
like 'is over by itself' "$("$HARDY" resume web 2>&1)" 'web is not paused; nothing is'
code 'an unknown name, by force' 0 "$HARDY" pause elsewhere --force
code 'without a file any name is good' 0 env -C / HARDY_CONFIG= "$HARDY" pause anything --state "$state"
"$HARDY" resume elsewhere >resumed && "$HARDY" resume anything >>resumed

# --- status
"$HARDY" pause web >/dev/null
code 'status' 1 "$HARDY" status
like 'begins with it' "$(sed -n 1p <<<"$out")" '^hands off  web is paused by '
code 'status as JSON' 1 "$HARDY" status --json
is 'has it too' "$(fields '([p["target"] for p in d["paused"]], d["incidents"], d["history"])')" "(['web'], [], None)"
code 'doctor' 0 "$HARDY" doctor
like 'notes it' "$out" '^note +hands off +1 target is not repaired now: web is paused by '
like 'with the line that ends it' "$out" 'hardy resume web ends the pause'
"$HARDY" resume web >/dev/null
cat >windows.yaml <<END
maintenance: [{from: "00:00", to: "00:00", reason: move}]
END
code 'a window' 1 "$HARDY" status -c windows.yaml
is 'is there as well' "$(sed -n 1p <<<"$out")" 'hands off  everything is in a maintenance window without an end: move'
code 'nothing is paused' 1 "$HARDY" status
unlike 'and nothing is said' "$out" 'hands off'

# --- where supervise serves metrics
cat >watched.yaml <<END
health: {listen: "127.0.0.1:$(free_port)"}
checks: [{name: fine, command: ["true"]}]
incidents: {services: {web: {check: fine}}}
maintenance: [{from: "00:00", to: "00:00", targets: [web]}]
END
"$HARDY" pause web >/dev/null
timeout 20 "$HARDY" supervise -c watched.yaml >watched.out 2>&1 &
metrics() { curl -sf --max-time 5 "$(sed -n 's|^health: {listen: "\(.*\)"}$|http://\1/metrics|p' watched.yaml)" >metrics.out; }
if command -v curl >/dev/null && wait_for metrics; then
    is 'it tells what is paused' "$(grep -E '^hardy_(paused|maintenance)' metrics.out)" 'hardy_paused{target="web"} 1
hardy_paused{target="*"} 0
hardy_maintenance{target="web"} 1
hardy_maintenance{target="*"} 0'
else
    skip 'it tells what is paused' 'there is no curl'
fi
kill $!
wait $! 2>/dev/null
"$HARDY" resume web >/dev/null

# --- what would you have done last night?
HARDY_STATE=$work/quiet/hardy.db code 'a quiet night' 0 "$HARDY" status --since 12h
like 'is told as one' "$out" '^since .* UTC \(12h\) nothing happened, and hardy did nothing$'
is 'without a daemon, and that is no mistake' "$err" 'hardy status: no gateway runs; this is from the state'
echo garbage_garbage >no.db
code 'a state that cannot be read' 1 "$HARDY" status --since 12h --state no.db
like 'is told' "$err" 'no\.db: not a SQLite database'
like 'and not taken for a quiet night' "$out" '^the state cannot be read: what needs a person is not known$'
code 'as JSON' 1 "$HARDY" status --state no.db --json
like 'likewise' "$out" '"needs": *null'
code 'what people have said' 0 "$HARDY" status --since 12h
like 'is told' "$out" "^  20[0-9-]+ [0-9:]+  web +paused +by $(sed 's/[()]/\\&/g' <<<"$me") until .* UTC: new disks$"
like 'with its end' "$out" '^  20[0-9-]+ [0-9:]+  everything +resumed +by '
unlike 'without a table of nothing' "$out" OPENED
cat >children.yaml <<END
state: $HARDY_STATE
supervise:
  worker: {command: [sh, -c, "exit 4"], never_restart_on: [4]}
  steady: {command: [sleep, "30"]}
END
: >children.out
timeout 20 "$HARDY" supervise -c children.yaml >children.out 2>&1 &
supervisor=$!
wait_for grep -q 'given up' children.out
code 'a child that was given up' 0 "$HARDY" status --since 12h
like 'has died' "$out" '^  worker +1$'
like 'of what' "$out" '^  20[0-9-]+ [0-9:]+  child worker +died +exited with 4, after '
like 'needs a person' "$out" '^  child worker: given up: '
kill $supervisor
wait $supervisor 2>/dev/null
code 'what observe makes of an incident' 3 timeout 20 "$HARDY" supervise --once
code 'is told' 0 "$HARDY" status --since 12h
like 'in a table' "$out" '^  WHAT +OPENED +OPEN +RECOVERED +WOULD ACT +ACTED +HEALED +NOT HEALED +ESCALATED +LONGEST$'
like 'opened, and with a person' "$out" '^  web +1 +1 +0 +1 +0 +0 +0 +1 +[0-9]'
like 'in a list' "$out" '^  20[0-9-]+ [0-9:]+  web +would have run +mend'
like 'it needs a person' "$out" '^  incident inc-'
like 'it is open' "$out" '^inc-[0-9a-f-]+ +20[0-9-]+ [0-9:]+ +web +escalated +0 +the file is gone$'
AUTOMATION=act code 'what act makes of one' 0 timeout 20 "$HARDY" incidents handle --service web --summary 'by hand'
code 'is told' 0 "$HARDY" status --since 12h --json
is 'with what came of it' "$(fields '[(r["name"], r["opened"], r["open"], r["acted"], r["healed"], r["not_healed"], r["escalated"]) for r in d["history"]["summary"] if r["kind"] == "service"]')" \
    "[('web', 2, 0, 1, 1, 0, 1)]"
is 'the oldest first' "$(fields '(lambda e: (e[0]["what"], e[0]["kind"], e[-1]["what"], sorted(e, key=lambda x: x["at"]) == e, "gathered" in [x["what"] for x in e]))(d["history"]["events"])')" \
    "('paused', 'pause', 'resolved', True, False)"
code 'of the last millisecond' 0 "$HARDY" status --since 1ms
like 'there is nothing' "$out" 'nothing happened, and hardy did nothing'
code 'since no duration' 2 "$HARDY" status --since yesterday
