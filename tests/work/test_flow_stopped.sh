#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A hardy that holds a run and does not go on is taken over after half a minute, and knows it.
. "$(dirname "$0")/flow.sh"

workflow stop <<'END'
name: stop
steps:
  - {name: a, run: "echo a >>effects; until [ -e go ]; do sleep 0.05; done; echo a"}
  - {name: fan, parallel: [{name: b, run: "echo b >>effects"}, {name: c, run: "echo c >>effects"}]}
  - {name: end, run: "echo end >>effects; echo the end"}
END
"$HARDY" run stop.yaml --id s1 >out1 2>err1 &
first=$!
wait_for grep -q 'a: started' err1
kill -STOP $first
from=$(milliseconds)
"$HARDY" run stop.yaml --id s1 >out2 2>err2 &
second=$!
wait_for grep -q 'is driven by another hardy' err2
touch go
wait $second
is 'the second one takes over' "$? $(cat out2)" '0 the end'
took=$(($(milliseconds) - from))
ok 'not before the time of the first is over' test "$took" -gt 15000
ok 'and not long after it' test "$took" -lt 35000
kill -CONT $first
wait $first
not_ok 'the first one cannot go on' test $? -eq 0
like 'and says why' "$(cat err1)" 'run s1 was taken over by another hardy while this one did not go on; it is left to it'
is 'each effect once' "$(sort effects | tr '\n' ' ')" 'a b c end '
is 'the run is done' "$(state_of s1)" 'done'
is 'nothing is left behind' "$(left_files)" ''
