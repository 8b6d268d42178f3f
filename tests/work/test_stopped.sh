#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_stopped.sh LEASE_HOLDER
# Processes that are stopped (SIGSTOP): in the middle of a write, whoever else wants to write says whose
# fault it is and ends; as the driver of a run, it is taken over, and hears of it when it goes on.
holder_program=$(realpath "$1") # meson hands out paths relative to its build folder
. "$(dirname "$0")/common.sh"

# --- inside the writer lease
code 'a state' 0 "$HARDY" exec -q --key old -- ./charge.sh
again
echo '{name: one, steps: [{name: s1, run: ["./charge.sh"]}]}' >one.yaml
"$holder_program" "$HARDY_STATE" >held &
holder=$!
wait_for test -s held
began=$(milliseconds)
"$HARDY" exec --key new -- ./charge.sh >exec.out 2>exec.err &
exec_pid=$!
"$HARDY" run one.yaml --id r1 >run.out 2>run.err &
run_pid=$!
code 'what is recorded can be read meanwhile' 0 "$HARDY" exec --key old -- ./charge.sh
is 'and is' "$out" 'receipt '
wait $exec_pid
is 'exec --key: refused' $? 125
wait $run_pid
is 'run: the state cannot be used' $? 1
took=$(($(milliseconds) - began))
ok "both within their patience ($took ms)" test $took -ge 9000 -a $took -lt 40000
like 'exec names the holder' "$(cat exec.err)" "pid $holder \(holder\) has kept its writer lease"
like 'run too' "$(cat run.err)" "pid $holder \(holder\) has kept its writer lease"
is 'nothing was done' "$(effects)" 0
kill -CONT $holder
wait $holder
is 'the holder goes on' $? 0
code 'then exec --key goes on' 0 "$HARDY" exec --key new -- ./charge.sh
code 'and run' 0 "$HARDY" run one.yaml --id r1
is 'each once' "$(effects)" 2
like 'nothing is corrupt' "$("$HARDY" doctor 2>&1)" '^ok +store '

# --- past the lease of a run
again
mkdir leased
cat >leased/hardy.yaml <<EOF
state: $HARDY_STATE
workflows: {lease: 1s}
EOF
export HARDY_CONFIG=$work/leased/hardy.yaml
echo '{name: two, steps: [{name: s1, run: ["./charge.sh", "1"]}, {name: s2, run: ["./charge.sh", "2"]}]}' >two.yaml
HOLD=1 "$HARDY" run two.yaml --id r2 >first.out 2>first.err &
first=$!
wait_for is_there running
kill -STOP $first
HOLD=1 "$HARDY" run two.yaml --id r2 >second.out 2>second.err &
second=$!
wait_for grep -q 'attached to it' second.err
touch go
wait $second
is 'a second one takes the run over and ends it' $? 0
is 'each effect once' "$(sort effects | cut -d' ' -f1,2 | tr '\n' ';')" 'charged 1;charged 2;'
kill -CONT $first
wait $first
first_code=$?
is 'the first, going on, ends' $first_code 1
like 'and says that it was taken over' "$(cat first.err)" 'run r2 was taken over by another hardy'
is 'and repeats nothing' "$(effects)" 2
code 'the run is done' 0 "$HARDY" run two.yaml --id r2
is 'once' "$(effects)" 2
