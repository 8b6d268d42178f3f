#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy exec --key: once to success, however often it is typed.
. "$(dirname "$0")/common.sh"

# --- typed three times
for i in 1 2 3; do
    code "typed for the ${i}th time" 0 "$HARDY" exec --key order-12345 -- ./charge.sh 5
    is 'the receipt' "$out" 'receipt 5'
done
like 'it says that this is the result of before' "$err" 'the key order-12345 was done before: its result again'
is 'one effect' "$(effects)" 1
is 'the command was given its key, its attempt and its fence' "$(cat effects)" \
    'charged 5 key=order-12345 attempt=1 fence=1'
code 'nothing is said with -q' 0 "$HARDY" exec -q --key order-12345 -- ./charge.sh 5
is 'but the receipt' "$out$err" 'receipt 5'
is 'nothing is left behind' "$(left_files)" ''

# --- other parameters
code 'other parameters under this key' 125 "$HARDY" exec --key order-12345 -- ./charge.sh 6
like 'both are named' "$err" 'the key order-12345 was used for other parameters: \["./charge.sh","5"\]; now: \["./charge.sh","6"\]'
many=$(seq -s ' ' 100 300)
code 'a long line' 0 "$HARDY" exec --key long-line -- true $many 1
code 'that differs at its end' 125 "$HARDY" exec --key long-line -- true $many 2
like 'both ends are shown' "$err" '\.\.\..*"300","1"\]; now: \.\.\..*"300","2"\]$'
code 'another key' 0 "$HARDY" exec --key order-12346 -- ./charge.sh 6
is 'another effect' "$(effects)" 2
ln -s "$HARDY_STATE" link.db
code 'a link to the state is the same state' 0 "$HARDY" exec --state link.db --key order-12345 -- ./charge.sh 5
is 'no effect' "$(effects)" 2
code 'another state' 0 "$HARDY" exec --state other.db --key order-12345 -- ./charge.sh 5
is 'knows nothing of the first' "$(effects)" 3

# --- a clean failure may run again
again
code 'a clean failure' 3 env CODE=3 "$HARDY" exec --key fails -- ./charge.sh
is 'its output came through' "$out" 'refused '
like 'is recorded' "$("$HARDY" actions list)" '^fails +failed .* 1  exit code 3'
code 'may run again' 0 "$HARDY" exec --key fails -- ./charge.sh
code 'and is done then' 0 env CODE=3 "$HARDY" exec --key fails -- ./charge.sh
is 'two runs in all' "$(effects)" 2
like 'the second with the same key' "$(tail -n 1 effects)" 'key=fails attempt=2 fence=2'
code 'other parameters also after a failure' 1 env CODE=1 "$HARDY" exec --key fails2 -- ./charge.sh 1
code 'are refused' 125 "$HARDY" exec --key fails2 -- ./charge.sh 2

# --- a command that is not there
again
code 'missing' 127 "$HARDY" exec --key free -- ./chrage.sh
like 'is named' "$err" 'chrage.sh: No such file or directory'
unlike 'no record is left' "$("$HARDY" actions list)" '^free'
code 'the key is free for the right one' 0 "$HARDY" exec --key free -- ./charge.sh
echo 'no program' >text.txt
code 'not executable' 126 "$HARDY" exec --key free2 -- ./text.txt
code 'leaves the key free too' 0 "$HARDY" exec --key free2 -- ./charge.sh
code 'a shell that finds no command' 127 "$HARDY" exec --key shell -- sh -c 'no-such-command'
code 'has begun, and failed' 125 "$HARDY" exec --key shell -- true

# --- output
bytes='i=0; while [ $i -lt 256 ]; do printf "\\$(printf %03o $i)"; i=$((i+1)); done; echo 1 >>effects'
"$HARDY" exec -q --key bytes -- sh -c "$bytes" >bytes.1
is 'binary output' $? 0
"$HARDY" exec -q --key bytes -- sh -c "$bytes" >bytes.2
is 'replayed' $? 0
ok 'as it was' cmp bytes.1 bytes.2
is 'all 256 of them' "$(wc -c <bytes.2)" 256
big='head -c 100000000 /dev/zero | tr "\0" x; echo 1 >>effects2'
"$HARDY" exec --key big -- sh -c "$big" | cksum >big.sum
is '100 MB come through' "$(cat big.sum)" "$(head -c 100000000 /dev/zero | tr '\0' x | cksum)"
code 'but cannot be given again' 125 "$HARDY" exec --key big -- sh -c "$big"
is 'not even in part' "$out" ''
like 'which is said' "$err" 'the key big is done, but its output was longer than what is kept of one'
is 'one effect all the same' "$(wc -l <effects2)" 1
like 'its beginning is shown' "$("$HARDY" actions show big)" ' xxxxxxxx'
four='head -c 4194304 /dev/zero; echo 1 >>effects3'
"$HARDY" exec -q --key four -- sh -c "$four" >four.1
"$HARDY" exec -q --key four -- sh -c "$four" >four.2
ok '4 MiB of NUL bytes come again' cmp four.1 four.2
is 'once' "$(wc -l <effects3)" 1
code 'nobody reads it: as any program in a pipe' 0 sh -c '"$0" exec -q --key big2 -- sh -c "echo done >>done4; yes | head -c 3000000" | true' "$HARDY"
wait_for no_shims
code 'the same again to nobody' 0 sh -c '"$0" exec -q --key big2 -- sh -c "echo done >>done4; yes | head -c 3000000" | head -n 1' "$HARDY"
is 'one effect' "$(wc -l <done4)" 1

# --- standard input
code 'standard input is given' 0 sh -c 'echo text | "$0" exec --key stdin -- cat' "$HARDY"
is 'whole' "$out" text
echo from-file >input
code 'a file, to each attempt from the beginning' 75 "$HARDY" exec --key stdin2 --retries 2 --base-delay 1ms -- \
    sh -c 'cat >>got; exit 1' <input
is 'three times' "$(cat got)" $'from-file\nfrom-file\nfrom-file'
code 'a pipe cannot be given twice' 125 sh -c 'echo text | "$0" exec --key stdin3 --retries 2 -- cat' "$HARDY"
like 'which is said' "$err" 'standard input is a pipe.*redirect it from a file, or from /dev/null'

# --- environment
code 'hardy in hardy: each has its own key' 0 "$HARDY" exec --key outer -- \
    "$HARDY" exec -q --key inner -- sh -c 'env | grep ^HARDY_IDEMPOTENCY_KEY'
is 'and only one' "$out" 'HARDY_IDEMPOTENCY_KEY=inner'
code 'a deadline is told' 0 "$HARDY" exec --key told --deadline 1h -- sh -c 'echo "$HARDY_DEADLINE"'
like 'as a time' "$out" '^20[0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9:.]+Z$'
code 'one around it is handed on' 0 env HARDY_DEADLINE=2099-01-01T00:00:00Z "$HARDY" exec --key told2 -- sh -c 'echo "$HARDY_DEADLINE"'
like 'to the millisecond' "$out" '^2098-12-31T23:59:59.999Z|^2099-01-01T00:00:00'
code 'one that is no time' 125 env HARDY_DEADLINE=x "$HARDY" exec --key told3 -- sh -c 'echo "${HARDY_DEADLINE-none}"'
like 'is named' "$err" 'HARDY_DEADLINE: "x" is not a time'

# --- how long a result is kept
again
code 'kept for a moment' 0 "$HARDY" exec --key short --key-ttl 50ms -- ./charge.sh 1
sleep 0.1
code 'then the key is free, also for something else' 0 "$HARDY" exec --key short --key-ttl 1h -- ./charge.sh 2
is 'two effects' "$(effects)" 2
is 'its result' "$out" 'receipt 2'
code 'then kept for an hour' 0 "$HARDY" exec --key short -- ./charge.sh 2
is 'no third' "$(effects)" 2
like 'its own parameters' "$("$HARDY" actions show short --json)" '"params": \["./charge.sh","2"\]'

# --- retries
again
code 'retries: clean failures are tried again' 75 env CODE=7 "$HARDY" exec --key retried --retries 2 --base-delay 1ms -- ./charge.sh
is 'three attempts' "$(effects)" 3
like 'each is told' "$err" 'exit code 7; tries again in'
like 'and the end' "$err" 'exit code 7; retries are used up'
is 'nothing of them on standard output' "$out" ''
code 'the same line tries again' 0 "$HARDY" exec --key retried --retries 2 --base-delay 1ms -- ./charge.sh
is 'with success' "$out" 'receipt '
is 'in the fourth' "$(cut -d' ' -f4 effects | tail -n 1)" attempt=4
code 'the code itself, when asked for' 7 env CODE=7 "$HARDY" exec --key retried2 --preserve-status --retries 1 --base-delay 1ms -- ./charge.sh
code '--retry-on narrows it' 8 env CODE=8 "$HARDY" exec --key retried3 --retries 3 --retry-on 7 --base-delay 1ms -- ./charge.sh
is 'then the command has ended the matter: its output' "$out" 'refused '
again
cat >third.sh <<'EOF'
#!/bin/sh
echo $HARDY_ATTEMPT >>effects
echo "attempt $HARDY_ATTEMPT"
[ "$HARDY_ATTEMPT" -eq 3 ]
EOF
chmod +x third.sh
code 'the third succeeds' 0 "$HARDY" exec --key third --retries 5 --base-delay 1ms -- ./third.sh
is 'only its output counts' "$out" 'attempt 3'
is 'nothing is left behind' "$(left_files)" ''

# --- the breaker, slots
again
for i in 1 2 3; do
    code "failure $i" 1 env CODE=1 "$HARDY" exec --key b$i --name pay --failure-threshold 3 -- ./charge.sh
done
like 'the third opens the breaker' "$err" 'breaker pay was closed and is now open'
code 'refused' 69 "$HARDY" exec --key b4 --name pay -- ./charge.sh
like 'with the time until' "$err" 'pay: circuit breaker; may try again in'
is 'it did not run' "$(effects)" 3
unlike 'and left no record' "$("$HARDY" actions list)" '^b4'
code 'what is done is replayed also then' 0 "$HARDY" exec --key short --name pay -- ./charge.sh 2
like 'a person sees them' "$("$HARDY" actions list)" '^b1 +failed'
code 'one slot' 0 "$HARDY" exec --key s0 --name one --max-concurrent 1 -- true
DELAY=5 "$HARDY" exec -q --key s1 --name one -- ./charge.sh 2>/dev/null &
slow=$!
again
wait_for is_there running
code 'taken by another key' 75 "$HARDY" exec --key s2 --name one --when-limited reject -- true
like 'which is said' "$err" 'all 1 slots are taken'
code 'until the deadline' 124 "$HARDY" exec --key s3 --name one --deadline 50ms -- true
kill $slow
wait $slow 2>/dev/null

# --- the report
code 'a report' 0 "$HARDY" exec --json report.json --key order-12345 -- ./charge.sh 5
like 'of a replay' "$(tr -d '\n' <report.json)" '"key": "order-12345",  "exit_code": 0,  "status": "OK",.*"replayed": true,  "action": \{'
code 'into a pipe' 0 sh -c '"$0" exec -q --json /dev/stderr --key order-12345 -- ./charge.sh 5 2>&1 >/dev/null | grep -q replayed' "$HARDY"

# --- mistakes
code 'an empty key' 125 "$HARDY" exec --key '' -- true
code 'no key' 125 "$HARDY" exec --attach -- true
code 'a probe that is not there' 125 "$HARDY" exec --key k --in-doubt probe -- true
code 'an unknown policy' 125 "$HARDY" exec --key k --in-doubt maybe -- true
like 'which is named' "$err" '"maybe" is not one of rerun, probe, ask, fail'
code 'a time without a unit' 125 "$HARDY" exec --key k --key-ttl 30 -- true
code 'a state that is no file' 125 "$HARDY" exec --state memory --key k -- true
like 'is said' "$err" 'does not outlive this command'
long=$(printf 'k%.0s' $(seq 400))
code 'a key of 400 bytes' 0 "$HARDY" exec --key "$long" -- true
code 'a key with everything in it' 0 "$HARDY" exec --key "a b/'\"\$(touch pwned)
%s" -- true
like 'is shown' "$("$HARDY" actions show "a b/'\"\$(touch pwned)
%s" --json)" '"state": "done"'
not_ok 'and not obeyed' is_there pwned
