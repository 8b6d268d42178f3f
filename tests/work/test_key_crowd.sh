#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy exec --key: several at the same moment, and hardy killed while the command runs.
. "$(dirname "$0")/common.sh"

crowd() { # crowd KEY OPTION...: eight at once; their codes, sorted
    local key=$1 i
    shift
    for i in 1 2 3 4 5 6 7 8; do
        { "$HARDY" exec -q --key "$key" "$@" -- ./charge.sh >"$key.out$i" 2>"$key.err$i"; echo $? >"$key.code$i"; } &
    done
    wait
    sort "$key".code? | uniq -c | tr -s ' ' | tr '\n' ';'
}

export DELAY=0.1
codes=$(DELAY=1 crowd eight) # long enough for another to come
like "eight at once: one runs, the others are told that it does, or get the result ($codes)" "$codes" '^( [1-7] 0;)( [1-7] 73;)?$'
is 'one effect' "$(effects)" 1
like 'why 73' "$(cat eight.err?)" 'the key eight is running elsewhere; --attach waits for it and takes its result'
again
codes=$(crowd attached --attach)
is 'with --attach all get the result' "$codes" ' 8 0;'
is 'the same' "$(sort -u attached.out?)" 'receipt '
is 'of one effect' "$(effects)" 1
again
codes=$(CODE=3 DELAY=1 crowd failing --attach) # until the last of them has come
is 'a failure too' "$codes" ' 8 3;'
is 'of one effect' "$(effects)" 1
is 'with its output' "$(sort -u failing.out?)" 'refused '
again
codes=$(crowd failing --attach)
is 'later it runs once more' "$codes" ' 8 0;'
is 'once' "$(effects)" 1
again
codes=$(KILL=KILL crowd killed --attach)
is 'in doubt: all are told so' "$codes" ' 8 79;'
is 'after one effect' "$(effects)" 1

# --- other keys do not wait
again
unset DELAY
for i in $(seq 12); do "$HARDY" exec -q --key "many$i" -- ./charge.sh "$i" >"many$i" & done
wait
is 'twelve keys at once' "$(effects)" 12
is 'each with its own result' "$(cat many? many??)" "$(seq -f 'receipt %g' 12)"

# --- other parameters are told while it runs
again
HOLD=1 "$HARDY" exec -q --key busy -- ./charge.sh 1 >/dev/null &
wait_for is_there running
code 'other parameters while it runs' 125 "$HARDY" exec --key busy -- ./charge.sh 2
code 'with --attach too' 125 "$HARDY" exec --attach --key busy -- ./charge.sh 2
code 'it waits no longer than its deadline' 124 "$HARDY" exec --attach --deadline 50ms --key busy -- ./charge.sh 1
like 'and says so' "$err" 'still runs elsewhere'
code 'resolving it while it runs' 1 "$HARDY" actions resolve busy --retry
like 'is refused' "$err" 'another hardy is at work on busy'
touch go
wait

# --- hardy killed while the command runs
again
HOLD=1 "$HARDY" exec -q --key orphan -- ./charge.sh >/dev/null &
hardy=$!
wait_for is_there running
kill_hard $hardy
code 'typed again while it runs: not run again' 73 "$HARDY" exec --key orphan -- ./charge.sh
like 'the list says that it runs' "$("$HARDY" actions list)" '^orphan +running'
code 'nor can it be resolved' 1 "$HARDY" actions resolve orphan --retry
like 'which is said' "$err" 'orphan is still running'
code 'other parameters are refused' 125 "$HARDY" exec --key orphan -- ./charge.sh 2
touch go
code 'with --attach: its result' 0 "$HARDY" exec --attach --key orphan -- ./charge.sh
is 'the receipt' "$out" 'receipt '
is 'one effect' "$(effects)" 1
code 'and from then on' 0 "$HARDY" exec --key orphan -- ./charge.sh
is 'nothing is left behind' "$(left_files)" ''

again
DELAY=0.1 "$HARDY" exec -q --key orphan2 -- ./charge.sh >/dev/null &
hardy=$!
wait_for is_there running
kill_hard $hardy
wait_for no_shims
code 'typed again after it ended: its result' 0 "$HARDY" exec --key orphan2 -- ./charge.sh
is 'the receipt' "$out" 'receipt '
like 'told' "$err" 'the key orphan2 ended while nobody watched'
is 'one effect' "$(effects)" 1

again
DELAY=0.1 CODE=4 "$HARDY" exec -q --key orphan3 -- ./charge.sh >/dev/null &
hardy=$!
wait_for is_there running
kill_hard $hardy
wait_for no_shims
code 'one that failed meanwhile runs again' 0 "$HARDY" exec --key orphan3 -- ./charge.sh
like 'told' "$err" 'the key orphan3 ended while nobody watched: exit code 4'
is 'two effects, both known' "$(effects)" 2

# --- hardy and the shim killed: nobody knows
again
DELAY=0.1 AFTER=5 "$HARDY" exec -q --key lost -- ./charge.sh >/dev/null &
hardy=$!
wait_for is_there effects
shim=$(shims)
kill_hard $hardy $shim
code 'hardy and its shim killed: in doubt' 79 "$HARDY" exec --key lost -- ./charge.sh
like 'why' "$err" '\./charge.sh is in doubt: attempt 1 was started and its process was lost before it left a result'
like 'the exact line' "$err" "^  hardy actions resolve lost --done --state $work/state/hardy.db +#"
is 'not run again' "$(effects)" 1
code 'again: the same' 79 "$HARDY" exec --key lost -- ./charge.sh
code 'also with --attach' 79 "$HARDY" exec --attach --key lost -- ./charge.sh
is 'not run again' "$(effects)" 1
line=$(sed -n 's/^  hardy \(.*--done.*\)#.*/\1/p' <<<"$err")
code 'the line, typed' 0 "$HARDY" $line
code 'settles it' 0 "$HARDY" exec --key lost -- ./charge.sh
is 'without output, for none was given' "$out" ''
is 'nor an effect' "$(effects)" 1
ok 'the command died with its shim' ended "$work/charge.sh"
is 'nothing is left behind' "$(left_files)" ''

# --- the files of a step are gone (a backup of the database restored without them)
again
HOLD=1 "$HARDY" exec -q --key gone -- ./charge.sh >/dev/null &
hardy=$!
wait_for is_there running
kill_hard $hardy $(shims)
rm -rf "$HARDY_STATE-steps"
code 'the files of a step that was begun are gone: in doubt' 79 "$HARDY" exec --key gone -- ./charge.sh
is 'not run again' "$(effects)" 0

# --- the shim alone killed
again
AFTER=5 "$HARDY" exec --key lost2 -- ./charge.sh >/dev/null 2>lost2.err &
hardy=$!
wait_for is_there effects
kill -9 $(shims)
wait $hardy
is 'the shim alone killed: in doubt too' $? 79
like 'and why' "$(cat lost2.err)" 'its process was lost'

# --- settled as not done
again
code 'settled: run it again' 0 "$HARDY" actions resolve lost2 --retry
code 'then it runs' 0 "$HARDY" exec --key lost2 -- ./charge.sh
is 'once' "$(effects)" 1
like 'as the second attempt' "$(cat effects)" 'attempt=2'

# --- Ctrl-C and TERM
for signal in INT TERM HUP; do
    again
    env --default-signal=INT "$HARDY" exec --key "sig$signal" -- sh -c 'trap "" HUP; echo >running; echo x >>effects; sleep 5' 2>"sig.err" &
    hardy=$!
    wait_for is_there effects
    kill -$signal $hardy
    wait $hardy
    is "$signal while it runs: it is stopped, and in doubt" $? 79
    like 'why' "$(cat sig.err)" 'attempt 1 was started and cancelled while it ran'
    like 'what to type' "$(cat sig.err)" "^  hardy actions resolve sig$signal --retry"
done
again
HOLD=1 "$HARDY" exec -q --key held -- ./charge.sh >/dev/null &
first=$!
wait_for is_there running
"$HARDY" exec --attach --key held -- ./charge.sh >second.out 2>second.err &
second=$!
wait_for grep -q waiting second.err
kill -TERM $second
wait $second
is 'TERM while attached: hardy ends' $? 143
touch go
wait $first
is 'the command goes on' $? 0
is 'to its end' "$(effects)" 1
