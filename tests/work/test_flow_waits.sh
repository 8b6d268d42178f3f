#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy run: steps that wait for a condition, a time, a person.
. "$(dirname "$0")/flow.sh"

# --- for a condition
workflow until <<'END'
name: until
steps:
  - {name: up, until: "echo look >>looks; [ $(wc -l <looks) -ge 3 ] && echo '{\"url\": \"u\"}'", every: 10ms, timeout: 9s}
  - {name: then, run: ["echo", "at ${{ steps.up.output.url }}"]}
END
code 'until it holds' 0 "$HARDY" run until.yaml
is 'it was looked at three times' "$(wc -l <looks)" 3
is 'its last output is the result' "$out" 'at u'
workflow never <<'END'
name: never
steps: [{name: up, until: ["false"], every: 20ms, timeout: 200ms}, {name: then, run: "echo then >>effects"}]
END
code 'it does not hold in time' 124 "$HARDY" run never.yaml --id n1
like 'which and why' "$err" 'run n1 failed at up: the condition did not hold in time'
code 'its id again: the same' 124 "$HARDY" run never.yaml --id n1
from=$(milliseconds)
workflow hangs <<'END'
name: hangs
steps: [{name: up, until: "sleep 98761", timeout: 300ms}]
END
code 'a look that does not end' 124 timeout 5 "$HARDY" run hangs.yaml
like 'that it was not told' "$err" 'failed at up: the condition did not hold in time; the last look could not tell'
ok 'is not waited for longer' test $(($(milliseconds) - from)) -lt 4000
ok 'and is ended' ended 'sleep 98761'
workflow nocommand <<'END'
name: nocommand
steps: [{name: up, until: ["./no-such-command"], every: 10ms, timeout: 9s}]
END
code 'a command that is not there will not hold later' 1 timeout 5 "$HARDY" run nocommand.yaml
like 'is named' "$err" 'run nocommand-.* failed at up: command not found: ./no-such-command'
workflow untilkill <<'END'
name: untilkill
steps: [{name: up, until: ["test", "-e", "ready"], every: 10ms, timeout: 1s}]
END
from=$(milliseconds)
: >err1
"$HARDY" run untilkill.yaml --id uk >/dev/null 2>err1 &
hardy=$!
wait_for grep -q 'waits until it holds' err1
sleep 0.5
kill_hard $hardy
code 'killed while it waits' 124 "$HARDY" run untilkill.yaml --id uk
ok 'its time does not begin anew' test $(($(milliseconds) - from)) -lt 1450

# --- for a time
workflow nap <<'END'
name: nap
steps:
  - {name: a, run: "echo 200ms"}
  - {name: nap, sleep: "${{ steps.a.output }}"}
  - {name: both, parallel: [{name: x, sleep: 300ms}, {name: y, sleep: 300ms}, {name: z, sleep: 0s}]}
  - {name: end, run: "echo end"}
END
from=$(milliseconds)
code 'sleeps, alone and at once' 0 "$HARDY" run nap.yaml
took=$(($(milliseconds) - from))
ok 'take their time' test "$took" -ge 500
ok 'and no more' test "$took" -lt 3000
workflow oddnap <<'END'
name: oddnap
steps: [{name: a, run: "echo soon"}, {name: nap, sleep: "${{ steps.a.output }}"}]
END
code 'a time that is none' 2 "$HARDY" run oddnap.yaml
like 'is told with its step' "$err" 'step `nap`: .*soon'
workflow sleeps <<'END'
name: sleeps
steps: [{name: nap, sleep: 900ms}, {name: end, run: "echo end >>effects; echo end"}]
END
from=$(milliseconds)
: >err1
"$HARDY" run sleeps.yaml --id s1 >/dev/null 2>err1 &
hardy=$!
wait_for grep -q 'sleeps for 900ms' err1
ok 'is shown as waiting' wait_for list_has '^s1 +waiting'
sleep 0.3
kill_hard $hardy
code 'killed while it sleeps' 0 "$HARDY" workflows resume s1
took=$(($(milliseconds) - from))
ok 'it sleeps on' test "$took" -ge 900
ok 'and does not begin anew' test "$took" -lt 1350
like 'says what is left' "$err" 'nap: sleeps for [0-9.]+ms'
: >err1
"$HARDY" run sleeps.yaml --id s2 >/dev/null 2>err1 &
hardy=$!
wait_for grep -q 'sleeps for 900ms' err1
sleep 0.1
kill_hard $hardy
sleep 0.9
from=$(milliseconds)
code 'whose time is over meanwhile' 0 "$HARDY" workflows resume s2
ok 'goes on at once' test $(($(milliseconds) - from)) -lt 600

# --- for a person
workflow ask <<'END'
name: ask
steps:
  - {name: build, run: "echo v7"}
  - {name: ok, approve: {message: "deploy ${{ steps.build.output }} to ${{ input.where }}?", expires: 1h}}
  - {name: deploy, run: "echo deployed >>effects; echo '${{ steps.ok.output }}'"}
END
sed -i "s/echo '\(.*\)'\"}/printf '%s' \\\\\"\1\\\\\"\"}/" ask.yaml
again
: >err1
"$HARDY" run ask.yaml --set where=prod --id a1 >out1 2>err1 &
hardy=$!
wait_for grep -q 'waits for approval' err1
like 'its message, filled in' "$(cat err1)" 'ok: waits for approval: deploy v7 to prod\?; type one of these'
like 'and the line to type' "$(cat err1)" "^  hardy workflows approve a1 ok --state $HARDY_STATE +# it goes on"
like 'also another one' "$(cat err1)" "^  hardy workflows approve a1 ok --refuse --state $HARDY_STATE +# the run ends with 5"
wait_for list_has '^a1 +waiting'
like 'and in what shows it' "$("$HARDY" workflows show a1)" 'step ok of a1 waits for approval: deploy v7 to prod\?'
code 'a step that does not wait' 1 "$HARDY" workflows approve a1 build
like 'is told' "$err" 'step build of a1 is done, it does not wait for approval'
code 'one that has not begun' 1 "$HARDY" workflows approve a1 deploy
code 'one that is not there' 1 "$HARDY" workflows approve a1 okay
code 'a run that is not there' 1 "$HARDY" workflows approve zz ok
code 'approved, while it is driven' 0 "$HARDY" workflows approve a1 ok --comment 'looks good'
code 'twice' 1 "$HARDY" workflows approve a1 ok
like 'says who was first' "$err" '(was approved before, by .*\(uid|is done, it does not wait)'
wait $hardy
is 'it went on' $? 0
like 'who, when, and why is its result' "$(cat out1)" '^\{"approved_by":"[^"]*\(uid [0-9]+\)","at":"20[^"]*Z","comment":"looks good"\}$'
: >err1
"$HARDY" run ask.yaml --set where=test --id a2 >out1 2>err1 &
hardy=$!
wait_for grep -q 'waits for approval' err1
wait_for list_has '^a2 +waiting'
kill_hard $hardy
code 'approved while nobody drives' 0 "$HARDY" workflows approve a2 ok
like 'says who goes on' "$err" 'ok approved; a hardy that drives the run goes on, else hardy workflows resume a2 does'
code 'and resumed' 0 "$HARDY" workflows resume a2
is 'it is asked no more' "$(wc -l <effects)" 2
: >err1
"$HARDY" run ask.yaml --set where=moon --id a3 >out1 2>err1 &
hardy=$!
wait_for grep -q 'waits for approval' err1
wait_for "$HARDY" -q workflows approve a3 ok --refuse --comment 'not to the moon'
wait $hardy
is 'refused' $? 5
like 'who and why' "$(cat err1)" 'ok: refused by .*: not to the moon'
is 'what came after did not' "$(wc -l <effects)" 2
code 'its id again' 5 "$HARDY" run ask.yaml --set where=moon --id a3
: >err1
"$HARDY" workflows resume a3 >out1 2>err1 &
hardy=$!
wait_for grep -q 'waits for approval' err1
code 'resumed, it is asked anew' 0 "$HARDY" workflows approve a3 ok
wait $hardy
is 'and may be approved now' $? 0
workflow expires <<'END'
name: expires
steps: [{name: ok, approve: {expires: 1s}}, {name: end, run: "echo end"}]
END
code 'nobody approves it in time' 5 "$HARDY" run expires.yaml --id e1
like 'is said' "$err" 'run e1 failed at ok: nobody approved it in time'
: >err1
"$HARDY" run expires.yaml --id e2 >out1 2>err1 &
"$HARDY" run expires.yaml --id e3 >out1 2>err3 &
wait_for grep -q 'waits for approval' err1
wait_for grep -q 'waits for approval' err3
wait_for list_has '^e2 +waiting'
wait_for list_has '^e3 +waiting'
kill_hard $(jobs -p) 2>/dev/null
wait 2>/dev/null
code 'approved in time, while nobody drives' 0 "$HARDY" workflows approve e2 ok
sleep 1.1
code 'and resumed when its time is over' 0 "$HARDY" workflows resume e2
code 'approved too late' 1 "$HARDY" workflows approve e3 ok
like 'is refused' "$err" 'step ok of e3 waited for approval until 20'
code 'it has expired' 5 "$HARDY" workflows resume e3
workflow two <<'END'
name: two
steps:
  - {name: both, max_concurrent: 2, for_each: [x, y], approve: {message: "for ${{ item }}"}}
  - {name: end, run: ["echo", "${{ steps.both.output[1].comment }}"]}
END
: >err1
"$HARDY" run two.yaml --id t1 >out1 2>err1 &
hardy=$!
wait_for grep -q 'for y' err1
wait_for show_has t1 'both\[1\] of t1 waits for approval'
code 'one of two' 1 "$HARDY" workflows approve t1 both
code 'each by its name' 0 "$HARDY" workflows approve t1 'both[1]' --comment second
code 'and the other' 0 "$HARDY" workflows approve t1 'both[0]' --comment first
wait $hardy
is 'both' "$? $(cat out1)" '0 second'
is 'nothing is left behind' "$(left_files)" ''
