#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy exec --key: commands that are killed or take too long, what then, and hardy actions.
. "$(dirname "$0")/common.sh"

# --- killed
code 'killed: in doubt' 79 env KILL=KILL "$HARDY" exec --key k1 -- ./charge.sh
like 'by what' "$err" 'hardy exec: ./charge.sh is in doubt: attempt 1 was started and killed by signal 9 \(SIGKILL\)'
like 'done: the exact line' "$err" "^  hardy actions resolve k1 --done --state $HARDY_STATE +# it has happened"
like 'not done' "$err" "^  hardy actions resolve k1 --retry --state $HARDY_STATE +# it has not: run it again"
like 'never' "$err" "^  hardy actions resolve k1 --fail --state $HARDY_STATE +# it has not: it counts as failed"
code 'the same again' 79 "$HARDY" exec --key k1 -- ./charge.sh
is 'one effect' "$(effects)" 1
like 'listed' "$("$HARDY" actions list)" '^k1 +in_doubt .* killed by signal 9'
code 'other parameters' 125 "$HARDY" exec --key k1 -- ./charge.sh 2
code 'a segmentation fault' 79 env KILL=SEGV "$HARDY" exec --key k2 -- ./charge.sh
like 'is told' "$err" 'killed by signal 11 \(SIGSEGV\)'
code 'with retries: not repeated' 79 env KILL=KILL "$HARDY" exec --key k3 --retries 3 --base-delay 1ms -- ./charge.sh
is 'one effect each' "$(effects)" 3
key="it's \$(touch pwned) \"so\""
code 'a key that a shell would read otherwise' 79 env KILL=KILL "$HARDY" exec --key "$key" -- ./charge.sh
line=$(sed -n 's/^  hardy \(.*--retry.*\)$/\1/p' <<<"$err")
code 'the line, read by a shell' 0 sh -c "$HARDY $line"
not_ok 'means that key and nothing else' is_there pwned
like 'which is settled' "$("$HARDY" actions show "$key" --json)" '"state": "pending"'

# --- too late
again
code 'timed out: in doubt' 79 env AFTER=5 "$HARDY" exec --key t1 --timeout 300ms -- ./charge.sh
like 'why' "$err" 'attempt 1 was started and stopped at its deadline'
is 'it was stopped after its effect' "$(effects)" 1
ok 'and is gone' ended "$work/charge.sh"
code 'past the deadline' 79 env AFTER=5 "$HARDY" exec --key t2 --deadline 300ms -- ./charge.sh
code 'timed out, with retries' 79 env AFTER=5 "$HARDY" exec --key t3 --timeout 300ms --retries 3 --base-delay 1ms -- ./charge.sh
is 'one effect each' "$(effects)" 3
code 'one that does not end at TERM' 79 "$HARDY" exec --key t4 --timeout 400ms --kill-after 100ms -- \
    sh -c 'trap "" TERM; while :; do sleep 0.01; done'
code 'one that ends well at TERM all the same' 79 "$HARDY" exec --key t5 --timeout 400ms -- \
    sh -c 'trap "exit 0" TERM; while :; do sleep 0.01; done'

# --- declared safe to repeat
again
code '--in-doubt rerun: killed' 137 env KILL=KILL "$HARDY" exec --key r1 --in-doubt rerun -- ./charge.sh
code 'runs again' 0 "$HARDY" exec --key r1 --in-doubt rerun -- ./charge.sh
is 'two effects, as declared' "$(effects)" 2
again
code 'with retries too' 75 env KILL=KILL "$HARDY" exec --key r2 --in-doubt rerun --retries 2 --base-delay 1ms -- ./charge.sh
is 'three effects' "$(effects)" 3
again
code 'timed out' 124 env AFTER=5 "$HARDY" exec --key r3 --in-doubt rerun --timeout 50ms -- ./charge.sh
code 'and its own code, when asked for' 143 env AFTER=5 "$HARDY" exec --key r3 --in-doubt rerun --timeout 50ms --preserve-status -- ./charge.sh
code 'what is in doubt already may be declared safe later' 0 "$HARDY" exec --key t1 --in-doubt rerun -- ./charge.sh
like 'and runs then' "$(tail -n 1 effects)" 'key=t1 attempt=2'

# --- counted as failed
again
code '--in-doubt fail: killed' 137 env KILL=KILL "$HARDY" exec --key f1 --in-doubt fail -- ./charge.sh
like 'recorded as such' "$("$HARDY" actions list)" '^f1 +failed .*killed by signal 9'
code 'timed out' 124 env AFTER=5 "$HARDY" exec --key f2 --in-doubt fail --timeout 50ms -- ./charge.sh
code 'what is in doubt already' 139 "$HARDY" exec --key k2 --in-doubt fail -- ./charge.sh
like 'is settled by it' "$("$HARDY" actions list)" '^k2 +failed'

# --- the probe
again
found='[ -e effects ] && grep -m 1 charged effects'
code 'killed, and the probe finds it done' 0 env KILL=KILL "$HARDY" exec --key p1 --probe "$found" -- ./charge.sh
like 'what the probe printed is the result' "$out" '^charged'
like 'which is said' "$err" 'the probe says: done'
code 'for good' 0 "$HARDY" exec --key p1 --probe false -- ./charge.sh
like 'with that result' "$out" '^charged'
is 'one effect' "$(effects)" 1
again
code 'too late, and the probe finds it done' 0 env AFTER=5 "$HARDY" exec --key p2 --timeout 300ms --probe "$found" -- ./charge.sh
again
code 'too late, and the probe finds nothing' 124 env DELAY=5 "$HARDY" exec --key p3 --timeout 50ms --probe "$found" -- ./charge.sh
like 'recorded as a failure' "$("$HARDY" actions list)" '^p3 +failed .*stopped at its deadline; the probe says: not done'
code 'that may run again' 0 "$HARDY" exec --key p3 --probe "$found" -- ./charge.sh
is 'one effect' "$(effects)" 1
again
code 'not done, with retries: tried again' 75 env DELAY=5 "$HARDY" exec --key p4 --timeout 50ms --retries 2 --base-delay 1ms --probe "$found" -- ./charge.sh
code 'the probe cannot tell' 79 env KILL=KILL "$HARDY" exec --key p5 --probe 'exit 2' -- ./charge.sh
like 'which is said' "$err" 'killed by signal 9 \(SIGKILL\); the probe cannot tell'
code 'later it can' 0 "$HARDY" exec --key p5 --probe "$found" -- ./charge.sh
is 'so it was not run again' "$(effects)" 1
code 'a probe that is not there' 79 env KILL=KILL "$HARDY" exec --key p6 --probe 'no-such-probe' -- ./charge.sh
code 'a probe that dies' 79 env KILL=KILL "$HARDY" exec --key p7 --probe 'kill -9 $$' -- ./charge.sh
like 'knows nothing' "$err" 'the probe was killed: unknown'
code 'asked once more: not done' 0 "$HARDY" exec --key p7 --probe 'exit 1' -- ./charge.sh
like 'then it runs' "$(tail -n 1 effects)" 'key=p7 attempt=2'
code 'the probe sees what the command sees' 0 env KILL=KILL "$HARDY" exec --key p8 --probe 'echo $HARDY_IDEMPOTENCY_KEY $HARDY_ATTEMPT' -- ./charge.sh
is 'its key and attempt' "$out" 'p8 1'
code '--in-doubt ask although there is a probe' 79 env KILL=KILL "$HARDY" exec --key p9 --in-doubt ask --probe true -- ./charge.sh
again
AFTER=5 "$HARDY" exec -q --key p10 --probe "$found" -- ./charge.sh >/dev/null &
hardy=$!
wait_for is_there effects
kill_hard $hardy $(shims)
code 'hardy and its shim killed, and the probe finds it done' 0 "$HARDY" exec --key p10 --probe "$found" -- ./charge.sh
is 'one effect' "$(effects)" 1
is 'nothing is left behind, also by what is in doubt' "$(left_files)" ''

# --- hardy actions
again
rm -rf state
code 'an empty list' 0 "$HARDY" actions list
like 'says which state it read' "$out" "^no actions in $HARDY_STATE, which does not exist yet$"
code 'as JSON' 0 "$HARDY" actions list --json
is 'an empty list' "$out" '[]'
code 'a key that is not there' 1 "$HARDY" actions show nobody
like 'is named' "$err" 'there is no action `nobody`'
not_ok 'looking makes no state' is_there "$HARDY_STATE"
for k in a1 a2 a3 a4; do KILL=KILL "$HARDY" exec -q --key $k -- ./charge.sh $k 2>/dev/null; done
code 'resolved as done' 0 "$HARDY" actions resolve a1 --done --result '{"id": "ch_1"}'
code 'is replayed' 0 "$HARDY" exec --key a1 -- ./charge.sh a1
is 'with the result that was given' "$out" '{"id": "ch_1"}'
echo 'from a file' >result
code 'or from a file' 0 "$HARDY" actions resolve a2 --done --result @result
code 'is replayed' 0 "$HARDY" exec --key a2 -- ./charge.sh a2
is 'too' "$out" 'from a file'
code 'resolved as not done' 0 "$HARDY" actions resolve a3 --retry
code 'runs again' 0 "$HARDY" exec --key a3 -- ./charge.sh a3
code 'resolved as failed' 0 "$HARDY" actions resolve a4 --fail
like 'is so' "$("$HARDY" actions show a4)" 'failed.*resolved as failed by .* \(uid [0-9]+\)'
is 'five effects' "$(effects)" 5
code 'what is done cannot be resolved' 1 "$HARDY" actions resolve a1 --retry
like 'which is said' "$err" 'a1 is done, not in doubt'
code 'a key that is not there' 1 "$HARDY" actions resolve nobody --done
code 'how?' 2 "$HARDY" actions resolve a1
like 'one way is needed' "$err" 'exactly one of --done, --retry, --fail'
code 'two ways' 2 "$HARDY" actions resolve a1 --done --fail
code 'a result of what failed' 2 "$HARDY" actions resolve a1 --fail --result x
KILL=KILL "$HARDY" exec -q --key a5 -- ./charge.sh a5 2>/dev/null
code 'a result that is almost JSON' 2 "$HARDY" actions resolve a5 --done --result '{"id": }'
like 'is refused' "$err" '\-\-result is not JSON'
like 'as JSON' "$("$HARDY" actions list --json | tr -d '\n ')" '^\[\{"name":"./charge.sh","key":"a1","state":"done","attempts":1,.*"output":\{"id":"ch_1"\}\},'
like 'one of them' "$("$HARDY" actions show a5)" "^    hardy actions resolve a5 --retry --state $HARDY_STATE"
code 'singular' 0 "$HARDY" action list

# --- a state that cannot be used is told, and left as it is
echo 'not a database' >text.db
code 'a state that is no database' 125 "$HARDY" exec --state text.db --key k -- ./charge.sh
like 'is named' "$err" 'text.db: '
is 'and untouched' "$(cat text.db)" 'not a database'
mkdir folder.db
code 'a folder' 125 "$HARDY" exec --state folder.db --key k -- ./charge.sh
code 'a cut one' 0 "$HARDY" exec --state cut.db --key k -- ./charge.sh
sqlite3=$(command -v sqlite3)
head -c 3000 cut.db >short.db
sum=$(cksum <short.db)
code 'is refused' 125 "$HARDY" exec --state short.db --key k -- ./charge.sh
is 'and untouched' "$(cksum <short.db)" "$sum"
if [ -n "$sqlite3" ]; then
    "$HARDY" exec -q --state newer.db --key k -- true
    sqlite3 newer.db 'pragma user_version = 999; pragma wal_checkpoint(truncate)' >/dev/null
    sum=$(cksum <newer.db)
    code 'one of a newer hardy' 125 "$HARDY" exec --state newer.db --key k -- ./charge.sh
    like 'is named so' "$err" 'newer'
    is 'and untouched' "$(cksum <newer.db)" "$sum"
    code 'also for lists' 1 "$HARDY" actions list --state newer.db
else
    skip 'one of a newer hardy' 'sqlite3 is not installed'
fi
