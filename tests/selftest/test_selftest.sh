#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy selftest: the quick checks, the options, and that what is not kept is told.
. "$(dirname "$0")/../tap.sh"

code 'all is kept here' 0 "$HARDY" selftest
is 'each with its line' "$(grep -c '^ok - ' <<<"$out")" 8
like 'a commit waits' "$out" '^ok - a commit waits .*20 commits, 2[0-9] syncs'
like 'what lives on is attached to' "$out" '^ok - a step goes on .*attached, effects: 1'
like 'what was killed is in doubt' "$out" '^ok - a command that was killed .*exit code 4, the step is in_doubt, effects: 1'
like 'a result comes back' "$out" '^ok - a key that is done .*effects: 1'
like 'a breaker opens' "$out" '^ok - a breaker opens .*exit codes 1, 1, 69; effects: 0'
is 'the state is not made for it' "$(ls -A "$work" | grep -v '^\.')" ''
code 'as a document' 0 "$HARDY" selftest --json
is 'with each promise' "$(python3 -c 'import json, sys
o = json.loads(sys.argv[1])
print(o["kept"], len(o["promises"]), all(p["kept"] for p in o["promises"]))' "$out")" 'True 8 True'

code 'with a kill loop' 0 "$HARDY" selftest --crash --kills 3 --seed 7
like 'its figures' "$out" '^seed 7: 3 kills '
like 'nothing lost' "$out" '^acknowledged steps lost: 0$'
like 'nothing repeated' "$out" '^repeated silently: 0$'
like 'what a person is asked' "$out" '^questions to a person for 100 kills: [0-9.]+, where a probe is declared: 0\.0$'

code 'a folder that is not there' 1 "$HARDY" selftest --dir nowhere
like 'is named' "$err" 'nowhere: no folder can be made there: No such file or directory'
code 'kills without --crash' 2 "$HARDY" selftest --kills 3
code 'no kills' 2 "$HARDY" selftest --crash --kills 0
code 'of what' 2 "$HARDY" selftest --crash --only steps
code 'an operand' 2 "$HARDY" selftest now

# Ctrl-C: what it started ends, and its folder goes.
"$HARDY" selftest --crash --kills 100000 --dir "$work" >ended.out 2>ended.err &
trial=$!
folder_is_there() { compgen -G "$work/hardy-selftest.*/effects" >/dev/null; }
wait_for folder_is_there
kill -TERM $trial
wait $trial
is 'TERM ends it' $? 130
not_ok 'its folder is gone' folder_is_there
ok 'nothing of it runs' ended "$work/hardy-selftest"
