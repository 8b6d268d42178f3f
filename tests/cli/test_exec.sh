#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy exec: exit codes, retries, time, output, input, signals, and what a command leaves behind.
. "$(dirname "$0")/../tap.sh"
fast=(--base-delay 1ms)

# A command that fails until its n-th run: ./nth N COMMAND...
cat >nth <<'SH'
#!/bin/sh
echo x >>runs
want=$1
shift
[ "$(wc -l <runs)" -ge "$want" ] || { echo "partial answer"; exit 9; }
exec "$@"
SH
chmod +x nth
runs() { cat runs 2>/dev/null | wc -l; }
fresh() { rm -f runs; }

# --- the command's own end
code 'success' 0 "$HARDY" exec -- true
code 'its own code' 7 "$HARDY" exec -- sh -c 'exit 7'
is 'hardy adds nothing' "$err" ''
code 'killed by a signal: 128 + N' 137 "$HARDY" exec -- sh -c 'kill -9 $$'
code 'not found' 127 "$HARDY" exec -- no-such-command
like 'named' "$err" 'no-such-command'
touch plain
code 'not executable' 126 "$HARDY" exec -- ./plain
like 'named too' "$err" '\./plain'
code 'a directory' 126 "$HARDY" exec -- /tmp
code 'no command' 125 "$HARDY" exec
code 'a wrong duration' 125 "$HARDY" exec --timeout 5 -- true
like 'what is right' "$err" '\-\-timeout: .*250ms'
code 'no configuration or state without a name' 0 env HARDY_STATE=/proc/nowhere/x "$HARDY" exec -- true

# --- retries
fresh
code 'an attempt succeeds in the end' 0 "$HARDY" exec --retries 3 "${fast[@]}" -- ./nth 3 echo whole answer
is 'standard output is only the answer' "$out" 'whole answer'
is 'as many runs as it took' "$(runs)" 3
like 'each retry is told, with why and the wait' "$err" 'attempt 1 of 4: exit code 9; trying again in [0-9.]+[a-z]+'
fresh
code 'retries used up' 75 "$HARDY" exec --retries 2 "${fast[@]}" -- ./nth 9 true
is 'one attempt and two retries' "$(runs)" 3
is 'nobody gets half an answer' "$out" ''
like 'why it gave up' "$err" 'gave up after 3 attempts: exit code 9; retries are used up'
like 'the person sees the last output' "$err" 'partial answer'
fresh
code '--max-retries is the same' 75 "$HARDY" exec --max-retries 1 "${fast[@]}" -- ./nth 9 true
is 'with one retry' "$(runs)" 2
fresh
code '--preserve-status' 9 "$HARDY" exec --preserve-status --retries 1 "${fast[@]}" -- ./nth 9 true
fresh
code '--quiet tells errors only' 75 "$HARDY" exec -q --retries 1 "${fast[@]}" -- ./nth 9 true
unlike 'no retry is told' "$err" 'trying again'
like 'but the end is' "$err" 'gave up'
fresh
code '--stream does not hold back' 0 "$HARDY" exec --stream --retries 1 "${fast[@]}" -- ./nth 2 echo whole answer
is 'so both are seen' "$out" $'partial answer\nwhole answer'
fresh
code '--retry-on lets other codes through' 9 "$HARDY" exec --retries 3 --retry-on 1,20-30 "${fast[@]}" -- ./nth 9 true
is 'after one run' "$(runs)" 1
is 'with what they printed: it is the answer' "$out" 'partial answer'
fresh
code '--retry-on retries its own' 75 "$HARDY" exec --retries 1 --retry-on 5-9 "${fast[@]}" -- ./nth 9 true
is 'twice' "$(runs)" 2
fresh
code '127 is not retried' 127 "$HARDY" exec --retries 3 "${fast[@]}" -- sh -c 'echo x >>runs; exit 127'
is 'one run' "$(runs)" 1
fresh
code 'death by TERM is not retried' 143 "$HARDY" exec --retries 3 "${fast[@]}" -- sh -c 'echo x >>runs; kill $$'
is 'one run only' "$(runs)" 1
fresh
code 'death by KILL is' 75 "$HARDY" exec --retries 1 "${fast[@]}" -- sh -c 'echo x >>runs; kill -9 $$'
is 'two runs' "$(runs)" 2
like 'killed by which signal' "$err" 'killed by signal 9'
fresh
code 'retries need a command that may be run' 75 "$HARDY" exec --retries 1 "${fast[@]}" -- sh -c 'echo "$HARDY_ATTEMPT" >>runs; exit 1'
is 'HARDY_ATTEMPT counts' "$(tr '\n' ' ' <runs)" '1 2 '
code 'settings of retries without retries' 125 "$HARDY" exec --base-delay 1s -- true

# --- time
start=$(milliseconds)
code 'a timeout' 124 "$HARDY" exec --timeout 100ms -- sleep "71.$$"
took=$(($(milliseconds) - start))
ok "ends it in time ($took ms)" test $took -lt 3000
like 'and says so' "$err" 'stopped at its timeout of 100ms'
code '--preserve-status with a timeout' 143 "$HARDY" exec --preserve-status --timeout 50ms -- sleep "71.$$"
code 'a timed-out attempt is retried' 75 "$HARDY" exec --retries 1 "${fast[@]}" --timeout 50ms -- sleep "71.$$"
like 'and told' "$err" 'attempt 1 of 2: stopped after'
code '--retry-on without 124 does not' 124 "$HARDY" exec --retries 1 --retry-on 1 "${fast[@]}" --timeout 50ms -- sleep "71.$$"
code 'a graceful end at the timeout is no success' 124 "$HARDY" exec --timeout 100ms -- sh -c 'trap "exit 0" TERM; while :; do sleep 0.01; done'
code 'the deadline ends everything' 124 "$HARDY" exec --deadline 250ms --timeout 100ms --retries 50 "${fast[@]}" -- sleep "71.$$"
like 'and says which' "$err" 'deadline of 250ms'
code 'a wait that would pass the deadline' 124 "$HARDY" exec --deadline 2s --retries 3 --base-delay 60s --jitter none -- false
like 'is not begun' "$err" 'gave up after 1 attempt: exit code 1; the deadline leaves no time'
code 'HARDY_DEADLINE is given' 0 "$HARDY" exec --deadline 1h -- sh -c 'echo "$HARDY_DEADLINE"'
like 'as a time' "$out" '^2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z$'
code 'and holds for a hardy exec inside' 0 "$HARDY" exec --deadline 1h -- sh -c \
    'echo "$HARDY_DEADLINE"; "$0" exec -- printenv HARDY_DEADLINE; "$0" exec --deadline 2h -- printenv HARDY_DEADLINE
     "$0" exec --deadline 30m -- printenv HARDY_DEADLINE' "$HARDY"
{ read -r around; read -r none; read -r longer; read -r shorter; } <<<"$out"
not_ok 'which has no longer one' test "$longer" '>' "$around" -o "$none" '>' "$around"
is 'but the same' "${longer%:*} ${none%:*}" "${around%:*} ${around%:*}"
ok 'or a shorter one' test "$shorter" '<' "$around"
code 'one that has passed' 124 env HARDY_DEADLINE=2026-01-02T03:04:05Z "$HARDY" exec --deadline 5s -- echo ran
is 'runs nothing' "$out" ''
like 'and says whose it was' "$err" 'the deadline around it \(HARDY_DEADLINE 2026-01-02T03:04:05\.000Z\) had passed: nothing was run'
code 'with a key too' 124 env HARDY_DEADLINE=2026-01-02T03:04:05Z "$HARDY" exec --key passed -- echo ran
is 'nothing is run' "$out" ''
code 'an attempt is stopped at it' 124 "$HARDY" exec --deadline 300ms --kill-after 5s -- "$HARDY" exec --timeout 1h -- sleep "71.$$"
code 'what is no time' 125 env HARDY_DEADLINE=soon "$HARDY" exec -- true
like 'is refused' "$err" 'HARDY_DEADLINE: "soon" is not a time such as 2026-11-28T16:04:05Z'
start=$(milliseconds)
code 'who ignores TERM gets KILL' 124 "$HARDY" exec --timeout 50ms --kill-after 50ms -- sh -c "trap '' TERM; while :; do sleep 0.01; done"
took=$(($(milliseconds) - start))
ok "soon ($took ms)" test $took -lt 4000

# --- nothing stays
code 'children and grandchildren, also in their own session' 124 "$HARDY" exec --timeout 100ms --kill-after 100ms -- \
    sh -c "sleep 72.$$ & setsid sleep 73.$$ & sleep 74.$$"
ok 'are ended' ended "72.$$"
ok 'all' ended "73.$$"
ok 'of them' ended "74.$$"
start=$(milliseconds)
code 'a command that forks and exits' 0 "$HARDY" exec --deadline 30s -- sh -c "sleep 75.$$ & echo out"
took=$(($(milliseconds) - start))
is 'its output' "$out" out
ok "does not hang ($took ms)" test $took -lt 3000
like 'what is left is told' "$err" 'ended 1 process that the command left running'
ok 'and ended' ended "75.$$"
code 'the same with output that is held' 0 "$HARDY" exec --retries 1 -- sh -c "sleep 75.$$ & echo out"
is 'the output is complete' "$out" out
ok 'ended too' ended "75.$$"
code 'a daemon' 0 "$HARDY" exec -- sh -c 'setsid sleep 5.0001 >/dev/null 2>&1 & sleep 0.1'
ok 'is left alone' grep -qsF 5.0001 /proc/[0-9]*/cmdline
code 'what is about to end may end' 0 "$HARDY" exec -- bash -c 'echo late > >(sleep 0.02; cat >late)'
is 'without being hurried' "$(cat late)" late
unlike 'or mentioned' "$err" 'left running'
sh -c 'sleep 2.5001 & exec "$0" exec --timeout 50ms -- sleep 9' "$HARDY" 2>/dev/null
ok 'a child that was there before is left alone' grep -qsF 2.5001 /proc/[0-9]*/cmdline

# --- input
is 'input is handed on' "$(echo hello | "$HARDY" exec -- cat)" hello
fresh
is 'a pipe is given again to each attempt' \
    "$(printf 'a\nb\n' | "$HARDY" exec -q --retries 3 "${fast[@]}" -- sh -c 'cat >got; ./nth 3 cat got')" $'a\nb'
fresh
printf 'c\nd\n' >file
is 'so is a file' \
    "$("$HARDY" exec -q --retries 3 "${fast[@]}" -- sh -c 'cat >got; ./nth 3 cat got' <file)" $'c\nd'
fresh
head -c 3000000 /dev/urandom >big
ok 'more than fits into memory' cmp big <(cat big | "$HARDY" exec -q --retries 2 "${fast[@]}" -- sh -c 'cat >got; ./nth 2 cat got')
{
    read -r first
    "$HARDY" exec --retries 1 -- true
    read -r second
} < <(cat file) <file
is 'a file that the command does not read is not read' "$second" d
fresh
code 'input that is longer than can be kept' 126 sh -c 'head -c 300000 /dev/zero | "$@"' sh "$HARDY" exec --max-output 64KiB --retries 2 "${fast[@]}" -- sh -c 'wc -c >>runs; exit 1'
is 'is given once, whole' "$(tr -d ' ' <runs)" 300000
like 'and the reason told' "$err" 'cannot be run again: standard input is longer than 65536 bytes'
code 'a command that reads nothing' 0 sh -c 'head -c 1000000 /dev/zero | "$@"' sh "$HARDY" exec --retries 2 -- true
mkfifo never
exec 9<>never
code 'input that never ends is not waited for' 0 "$HARDY" exec --retries 1 -- true <never
exec 9>&-

# --- output
is '1 GiB passes' "$("$HARDY" exec -- head -c 1073741824 /dev/zero | wc -c)" 1073741824
# The second attempt tells what the first has cost hardy, its parent.
cat >costs <<'SH'
#!/bin/sh
if [ "$HARDY_ATTEMPT" = 1 ]; then head -c 200000000 /dev/zero; exit 1; fi
sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' /proc/$PPID/status
SH
chmod +x costs
memory=$(TMPDIR=$work "$HARDY" exec -q --retries 1 "${fast[@]}" -- ./costs)
ok "200 MB held do not take memory ($memory kB)" test "$memory" -lt 60000
code 'more output than may be held' 125 "$HARDY" exec --max-output 64KiB --retries 1 -- head -c 100000 /dev/zero
like 'is told' "$err" 'standard output is longer than 65536 bytes'
is 'and nothing of it written' "$out" ''
code 'a place to spill that is not there' 125 env TMPDIR=/nonexistent "$HARDY" exec --retries 1 -- head -c 2000000 /dev/zero
like 'is named' "$err" '/nonexistent'
set +o pipefail
"$HARDY" exec --retries 1 -- head -c 3000000 /dev/zero | true
is 'nobody reads: as for any program' "${PIPESTATUS[0]}" 141
set -o pipefail
ok 'standard error passes' test "$("$HARDY" exec --retries 1 -- sh -c 'echo e >&2' 2>&1)" = e

# --- signals
"$HARDY" exec --retries 3 -- sh -c "echo up >up; exec sleep 76.$$" 2>err &
pid=$!
wait_for test -e up
kill -TERM $pid
wait $pid
is 'TERM ends the command and hardy' $? 143
ok 'the command is gone' ended "76.$$"
rm -f up
"$HARDY" exec -- sh -c 'trap "exit 0" HUP; echo up >up; while :; do sleep 0.01; done' &
pid=$!
wait_for test -e up
kill -HUP $pid
wait $pid
is 'HUP is handed on as it is' $? 129
rm -f up
"$HARDY" exec --kill-after 1h -- sh -c 'trap "" TERM; echo up >up; while :; do sleep 0.01; done' &
pid=$!
wait_for test -e up
kill -TERM $pid
sleep 0.1
kill -TERM $pid
wait $pid
is 'a second TERM kills' $? 143
"$HARDY" exec --retries 3 --base-delay 60s --jitter none -- false 2>err &
pid=$!
wait_for grep -q 'trying again' err
kill -TERM $pid
wait $pid
is 'TERM during a wait' $? 143
sh -c 'trap "" HUP; exec "$0" exec -- sh -c "kill -HUP $$; kill -HUP \$\$; echo alive"' "$HARDY" >alive 2>/dev/null
is 'nohup holds for the command too' "$(cat alive)" alive

# --- the report
code 'a report' 75 "$HARDY" exec --json report.json --retries 1 "${fast[@]}" -- sh -c 'exit 9'
report() { python3 -c 'import json,sys; d=json.load(open("report.json")); print(eval(sys.argv[1]))' "$1"; }
is 'has both codes' "$(report '(d["exit_code"], d["command_ended"]["exit_code"], d["status"])')" "(75, 9, 'E_EXHAUSTED')"
is 'and each attempt' "$(report '[(a["exit_code"], a["timed_out"]) for a in d["attempts"]]')" '[(9, False), (9, False)]'
code 'of a timeout' 124 "$HARDY" exec --json report.json --timeout 50ms -- sleep 9
is 'has the signal' "$(report '(d["command_ended"]["signal"], d["status"])')" "(15, 'E_TIMEOUT')"
code 'of success' 0 "$HARDY" exec --json report.json -- true
is 'is there too' "$(report '(d["exit_code"], d["status"], d["name"])')" "(0, 'OK', None)"
code 'a report that cannot be written' 125 "$HARDY" exec --json /nonexistent/r.json -- true
is 'a report into a pipe' "$("$HARDY" exec --json /dev/stderr -- true 2>&1 | head -n 1)" '{'
