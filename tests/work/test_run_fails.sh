#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy run: steps that fail or are in doubt, changed files, guards, hostile values, states that cannot
# be used.
. "$(dirname "$0")/common.sh"
workflow() { cat >"$1.yaml"; }
state_of() { "$HARDY" workflows show "$1" --json | sed -n 's/^  "state": "\(.*\)",/\1/p'; }

# --- a step that fails
workflow fails <<'EOF'
name: fails
steps:
  - {name: one, run: "echo one >>effects; echo 1"}
  - {name: two, run: "echo two >>effects; exit ${TWO:-3}"}
  - {name: three, run: "echo three ${{ steps.one.output }} >>effects"}
EOF
code 'a step fails' 1 "$HARDY" run fails.yaml --id f1
like 'which, and why' "$err" 'two: exit code 3'
like 'and how to go on' "$err" 'run f1 failed at two: exit code 3; hardy workflows resume f1 begins again at that step'
is 'the third did not run' "$(cat effects | tr '\n' ' ')" 'one two '
like 'the list says so' "$("$HARDY" workflows list)" '^f1 +failed .* 1/3 +two: exit code 3'
code 'asked for again: its result' 1 "$HARDY" run fails.yaml --id f1
is 'nothing ran' "$(effects)" 2
code 'resumed: it begins again there' 0 env TWO=0 "$HARDY" workflows resume f1
is 'and only there' "$(cat effects | tr '\n' ' ')" 'one two two three 1 '
is 'it is done' "$(state_of f1)" 'done'
code 'resumed once more: its result' 0 "$HARDY" workflows resume f1
is 'nothing ran' "$(effects)" 4
again
code 'fails' 1 "$HARDY" run fails.yaml
failed=$(sed -n 's/.*run \(fails-[^ ]*\) begins.*/\1/p' <<<"$err")
code 'the same line: another run' 1 "$HARDY" run fails.yaml
like 'and what is with the old one' "$err" "run $failed of this file and input has failed and is left as it is \\(hardy workflows resume $failed goes on"
sed -i 's/exit ${TWO:-3}/true # mended/' fails.yaml
code 'the failed step is mended, and resumed' 0 "$HARDY" workflows resume "$failed"
workflow missing <<'EOF'
name: missing
steps: [{name: one, run: [./no-such-command]}]
EOF
code 'a command that is not there' 1 "$HARDY" run missing.yaml --id m1
like 'is named' "$err" 'one: ./no-such-command: No such file or directory'
is 'the run has failed' "$(state_of m1)" 'failed'
printf '#!/bin/sh\necho there\n' >no-such-command
chmod +x no-such-command
code 'made, and resumed' 0 "$HARDY" workflows resume m1
is 'runs' "$out" there

# --- in doubt
again
workflow doubt <<'EOF'
name: doubt
steps:
  - {name: pay, run: "echo paid >>effects; echo '{\"id\": \"ch_1\"}'; [ -z \"${KILL:-}\" ] || kill -9 $$"}
  - {name: ship, run: ["echo", "shipped for ${{ steps.pay.output.id }}"]}
EOF
code 'a step is killed: in doubt' 4 env KILL=1 "$HARDY" run doubt.yaml --id d1
like 'which' "$err" 'step pay of d1 is in doubt: find out whether it took effect, then type one of these, and the same line again'
like 'done' "$err" "^  hardy workflows resolve d1 pay --done --state $HARDY_STATE +#"
like 'not done' "$err" "^  hardy workflows resolve d1 pay --retry --state $HARDY_STATE +#"
like 'never' "$err" "^  hardy workflows resolve d1 pay --fail --state $HARDY_STATE +#"
like 'it is listed so' "$("$HARDY" workflows list)" '^d1 +in_doubt '
like 'and shown with the lines' "$("$HARDY" workflows show d1)" '^  hardy workflows resolve d1 pay --retry'
code 'the same line: the same' 4 "$HARDY" run doubt.yaml --id d1
code 'without the id too' 4 "$HARDY" run doubt.yaml
is 'one effect' "$(effects)" 1
code 'resolved as done, with its result' 0 "$HARDY" workflows resolve d1 pay --done --result '{"id": "ch_9"}'
like 'and what then' "$err" 'step pay is settled; hardy workflows resume d1 goes on'
code 'the same line goes on' 0 "$HARDY" run doubt.yaml
is 'with that result' "$out" 'shipped for ch_9'
is 'one effect' "$(effects)" 1
code 'settled is settled' 1 "$HARDY" workflows resolve d1 pay --retry
code 'in doubt' 4 env KILL=1 "$HARDY" run doubt.yaml --id d2
code 'resolved as not done' 0 "$HARDY" workflows resolve d2 pay --retry
code 'goes on' 0 "$HARDY" workflows resume d2
is 'with the step run again' "$out" 'shipped for ch_1'
is 'which a person has said' "$(effects)" 3
code 'in doubt' 4 env KILL=1 "$HARDY" run doubt.yaml --id d3
code 'resolved as failed' 0 "$HARDY" workflows resolve d3 pay --fail
code 'it has failed' 1 "$HARDY" run doubt.yaml --id d3
like 'and who said so' "$err" 'pay: resolved as failed by .* \(uid'
code 'a step that has not begun' 1 "$HARDY" workflows resolve d3 ship --retry
like 'has nothing to settle' "$err" 'step ship of d3 has not begun'
code 'which may be tried again' 0 "$HARDY" workflows resume d3
code 'a step that is not there' 1 "$HARDY" workflows resolve d3 pai --done
like 'the nearest is named' "$err" 'run d3 has no step `pai`; did you mean `pay`\?'
code 'a run that is not there' 1 "$HARDY" workflows resolve nothing pay --done
code 'a step that is done' 1 "$HARDY" workflows resolve d3 ship --retry
like 'is named as in the file' "$err" 'step ship of d3 is .*, not in doubt'

# --- hardy and its shim killed
again
workflow lost <<'EOF'
name: lost
steps:
  - {name: ask, run: "echo ask >>effects; touch running; sleep 5"}
  - {name: rerun, run: "echo rerun >>effects; touch running; sleep ${SLEEP:-5}", in_doubt: rerun}
  - {name: fail, run: "echo fail >>effects; touch running; sleep 5", in_doubt: fail}
EOF
lose() { # the run, killed with its shim while a step runs
    rm -f running
    "$HARDY" run lost.yaml --id lost >/dev/null 2>&1 &
    local hardy=$!
    wait_for is_there running
    kill_hard $hardy $(shims)
}
lose
code 'ask: in doubt' 4 "$HARDY" run lost.yaml --id lost
like 'why' "$err" 'ask is in doubt: attempt 1 was started and its process was lost before it left a result'
code 'resolved' 0 "$HARDY" workflows resolve lost ask --done
lose
lose
SLEEP=0 "$HARDY" run lost.yaml --id lost >/dev/null 2>&1 &
hardy=$!
wait_for grep -q fail effects
kill_hard $hardy $(shims)
is 'rerun: again each time' "$(grep -c rerun effects)" 3
code 'fail: failed' 1 "$HARDY" run lost.yaml --id lost
is 'once each but what may be repeated' "$(sort effects | uniq -c | tr -s ' ' | tr '\n' ' ')" ' 1 ask  1 fail  3 rerun '

# --- too late
workflow late <<'EOF'
name: late
steps:
  - {name: ask, run: "sleep 5", timeout: 50ms}
EOF
code 'too late: in doubt' 4 "$HARDY" run late.yaml
like 'why' "$err" 'ask is in doubt: attempt 1 was started and stopped at its deadline'
workflow late2 <<'EOF'
name: late2
steps:
  - {name: ask, run: "sleep 5", timeout: 50ms, probe: ["sh", "-c", "echo found"]}
  - {name: then, run: "echo ${{ steps.ask.output }}"}
EOF
code 'with a probe' 0 "$HARDY" run late2.yaml
is 'that finds it' "$out" found

# --- guards
cat >hardy.yaml <<'EOF'
guards:
  retried: {retry: {max_retries: 3, base_delay: 1ms}}
  patient: {retry: {max_retries: 3, base_delay: 500ms, jitter: none}}
  open: {retry: {max_retries: 0}, breaker: {failure_threshold: 1, recovery_timeout: 1h}}
  timed: {timeout: 50ms, retry: {max_retries: 0}}
EOF
again
workflow guarded <<'EOF'
name: guarded
steps:
  - {name: third, guard: retried, run: "echo $HARDY_ATTEMPT >>effects; [ $HARDY_ATTEMPT -ge ${FROM:-3} ]"}
EOF
code 'a guard tries again' 0 "$HARDY" run guarded.yaml --id g1
like 'is told' "$err" 'third: exit code 1; tries again in'
is 'three attempts' "$(cat effects | tr '\n' ' ')" '1 2 3 '
again
code 'until its retries are used up' 75 env FROM=9 "$HARDY" run guarded.yaml --id g2
is 'four attempts' "$(effects)" 4
code 'asked for again: the same' 75 "$HARDY" run guarded.yaml --id g2
again
sed 's/guard: retried/guard: patient/' guarded.yaml >patient.yaml
FROM=9 "$HARDY" run -c hardy.yaml patient.yaml --id g3 >/dev/null 2>&1 &
hardy=$!
wait_for grep -q 2 effects # then it waits a second for the third
kill_hard $hardy
wait_for no_shims
code 'killed between attempts: it goes on trying' 0 env FROM=3 "$HARDY" run patient.yaml --id g3
workflow open <<'EOF'
name: open
steps:
  - {name: before, run: "echo before"}
  - {name: fails, guard: open, run: "exit ${CODE:-1}"}
EOF
again
code 'a failure opens the breaker' 1 "$HARDY" run open.yaml --id o1
code 'the next run is refused at that step' 69 "$HARDY" run open.yaml --id o2
like 'and says so' "$err" 'fails: circuit breaker'
is 'it is not failed but unfinished' "$(state_of o2)" running
like 'and what was done is recorded' "$("$HARDY" workflows show o2)" 'before +done'
code 'reset' 0 "$HARDY" guards reset open
code 'it goes on' 0 env CODE=0 "$HARDY" run open.yaml --id o2
unlike 'at that step' "$err" 'before: started'
workflow timed <<'EOF'
name: timed
steps: [{name: slow, guard: timed, in_doubt: fail, run: "sleep 5"}]
EOF
code 'the guard ends what takes too long' 124 "$HARDY" run timed.yaml
workflow noguard <<'EOF'
name: noguard
steps: [{name: s, guard: retrid, run: "true"}]
EOF
code 'a guard that is not there' 2 "$HARDY" run noguard.yaml
like 'the nearest is named' "$err" 'retried'
rm hardy.yaml

# --- a changed file
again
workflow changes <<'EOF'
name: changes
steps:
  - {name: a, run: "echo a >>effects"}
  - {name: b, run: "echo b >>effects; exit ${B:-1}"}
  - {name: c, run: "echo c >>effects"}
EOF
cp changes.yaml original.yaml
code 'begun' 1 "$HARDY" run changes.yaml --id c1
sed -i 's/name: a,/name: aa,/' changes.yaml
code 'a finished step is renamed' 1 "$HARDY" workflows resume c1
like 'refused' "$err" 'changes.yaml: step `a` of run c1 is done, and the file has `aa` in its place now'
is 'the run is as it was' "$(state_of c1)" failed
cp original.yaml changes.yaml
sed -i 's/echo a >>/echo A >>/' changes.yaml
code 'a finished step does something else' 1 "$HARDY" workflows resume c1
like 'refused' "$err" 'step `a` of run c1 is done, and its definition has changed since'
printf 'name: changes\nsteps:\n  - {name: b, run: "true"}\n' >changes.yaml
code 'a finished step is gone' 1 "$HARDY" workflows resume c1
like 'refused' "$err" 'step `a` of run c1 is done, and the file has `b` in its place now'
is 'nothing ran meanwhile' "$(cat effects | tr '\n' ' ')" 'a b '
cp original.yaml changes.yaml
sed -i 's/name: c,/name: d,/; s/echo c >>/echo d >>/' changes.yaml
echo '  - {name: e, run: "echo e >>effects"}' >>changes.yaml
code 'what has not begun may change' 0 env B=0 "$HARDY" workflows resume c1
is 'and is done as it is now' "$(cat effects | tr '\n' ' ')" 'a b b d e '
rm changes.yaml
code 'the file is gone' 1 "$HARDY" workflows resume c1

# --- values are never pasted into a shell
workflow hostile <<'EOF'
name: hostile
steps:
  - {name: text, run: "printf '%s' \"${{ input.x }}\"; : ${{ input.x }}"}
  - {name: list, run: ["printf", "%s", "${{ input.x }}"]}
  - {name: output, run: "printf '[%s]' \"${{ steps.text.output }}\" '$${{ literal }}' \"${NAME}\""}
EOF
export NAME="the shell's"
for x in '$(touch pwned)' '`touch pwned`' '"; touch pwned; "' "'; touch pwned; '" '${IFS}' '\' '*' '-n' $'two\nlines' '%s%n' '}}' '${{ input.x }}' 'ünï' ''; do
    code "a value of $(printf '%q' "$x")" 0 "$HARDY" run hostile.yaml --set "x=$x"
    is 'comes through as it is' "$out" "[$x][\${{ literal }}][the shell's]"
done
not_ok 'and is not obeyed' is_there pwned
workflow big <<'EOF'
name: big
steps:
  - {name: make, run: "head -c 300000 /dev/zero | tr '\\0' x"}
  - {name: use, run: "printf '%s' \"${{ steps.make.output }}\" | wc -c"}
EOF
code 'a value larger than an environment takes' 1 "$HARDY" run big.yaml --id big
like 'is told' "$err" 'use: its arguments, or the values in its environment, are larger than the kernel allows'
workflow nul <<'EOF'
name: nul
steps:
  - {name: make, run: "printf 'a\\0b'"}
  - {name: use, run: ["echo", "${{ steps.make.output }}"]}
EOF
code 'a value with a NUL byte' 2 "$HARDY" run nul.yaml
like 'is told' "$err" 'step `use`: .*holds a NUL byte'
workflow bytes <<'EOF'
name: bytes
steps:
  - {name: make, run: "printf '\\377'"}
  - {name: use, run: ["echo", "${{ steps.make.output }}"]}
EOF
code 'a value that is no text' 2 "$HARDY" run bytes.yaml
like 'is told' "$err" 'step `use`: .*steps.make.output'

workflow inputs <<'EOF'
name: inputs
steps:
  - {name: first, run: "echo first >>first"}
  - {name: second, run: ["echo", "${{ input.size }}", "${{ env.NO_SUCH }}"]}
EOF
code 'input that only a later step needs' 2 "$HARDY" run inputs.yaml
like 'is missed at once' "$err" 'step `second`: there is no `input.size`'
not_ok 'before anything runs' is_there first
code 'a variable that is not there' 2 "$HARDY" run inputs.yaml --set size=1
like 'too' "$err" 'step `second`: there is no `env.NO_SUCH`'

# --- files with mistakes: the place of each
bad() { # bad WHAT PATTERN: the file is standard input
    cat >bad.yaml
    code "$1" 2 "$HARDY" run bad.yaml
    like 'is told with its place' "$err" "$2"
}
bad 'two steps of one name' 'bad.yaml:4:5: there are two steps of the name `a`; the first is in line 3' <<'EOF'
name: bad
steps:
  - {name: a, run: "true"}
  - {name: a, run: "true"}
EOF
bad 'an unknown key' 'bad.yaml:3:2[0-9]: .*timeut.*timeout' <<'EOF'
name: bad
steps:
  - {name: a, run: "true", timeut: 5s}
EOF
bad 'a time without a unit' 'bad.yaml:3:[0-9]+: .*"30" has no unit' <<'EOF'
name: bad
steps:
  - {name: a, run: "true", timeout: 30}
EOF
bad 'a negative time' 'bad.yaml:3:[0-9]+: ' <<'EOF'
name: bad
steps:
  - {name: a, run: "true", timeout: -5s}
EOF
bad 'an unknown reference' 'bad.yaml:3:[0-9]+: .*step.a' <<'EOF'
name: bad
steps:
  - {name: a, run: ["echo", "${{ step.a }}"]}
EOF
bad 'a later step' 'bad.yaml:3:[0-9]+: .*steps.b.output' <<'EOF'
name: bad
steps:
  - {name: a, run: ["echo", "${{ steps.b.output }}"]}
  - {name: b, run: "true"}
EOF
bad 'the step itself' 'bad.yaml:3:' <<'EOF'
name: bad
steps:
  - {name: a, run: ["echo", "${{ steps.a.output }}"]}
EOF
bad 'an expression that does not end' 'bad.yaml:3:' <<'EOF'
name: bad
steps:
  - {name: a, run: "echo ${{ input.x"}
EOF
bad 'in_doubt: probe without one' 'bad.yaml:3:5: step `a` says in_doubt: probe and has no probe' <<'EOF'
name: bad
steps:
  - {name: a, run: "true", in_doubt: probe}
EOF
bad 'no steps' 'bad.yaml:2:' <<'EOF'
name: bad
steps: []
EOF
bad 'no name' 'bad.yaml:' <<'EOF'
steps:
  - {name: a, run: "true"}
EOF
bad 'no command' 'bad.yaml:2:' <<'EOF'
name: bad
steps: [{name: a}]
EOF
bad 'an empty command' 'bad.yaml:2:' <<'EOF'
name: bad
steps: [{name: a, run: []}]
EOF
bad 'no YAML' 'bad.yaml:3:' <<'EOF'
name: bad
steps: [
EOF
bad 'an empty file' 'bad.yaml' </dev/null
code 'a file that is not there' 2 "$HARDY" run nothing.yaml
like 'is named' "$err" 'nothing.yaml'
code 'no file' 2 "$HARDY" run
code 'two files' 2 "$HARDY" run lost.yaml late.yaml
is 'no run of them' "$("$HARDY" workflows list | grep -c '^bad')" 0

# --- a state that cannot be used
workflow fine <<'EOF'
name: fine
steps: [{name: a, run: "echo ran >>ran"}]
EOF
echo 'not a database' >text.db
code 'a state that is no database' 1 "$HARDY" run --state text.db fine.yaml
is 'is left as it is' "$(cat text.db)" 'not a database'
if [ "$(id -u)" -ne 0 ]; then
    mkdir locked
    chmod 500 locked
    code 'a folder that cannot be written to' 1 "$HARDY" run --state locked/h.db fine.yaml
    chmod 700 locked
fi
not_ok 'nothing ran' is_there ran
