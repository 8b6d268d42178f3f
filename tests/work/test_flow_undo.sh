#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy run: what was done is undone, when a later step fails or the run is cancelled.
. "$(dirname "$0")/flow.sh"

# A step that does not obey, meanwhile.
workflow stubborn <<'END'
name: stubborn
steps: [{name: b, run: "trap '' TERM; touch stubborn; sleep 98763; sleep 98763; echo b >>effects"}]
END
"$HARDY" run stubborn.yaml --id c3 >/dev/null 2>&1 &
stubborn=$!
wait_for is_there stubborn
"$HARDY" workflows cancel c3 >/dev/null 2>err3 &
canceller=$!
busy=$(shims) # its, which is not to be killed

# --- a later step fails
workflow undo <<'END'
name: undo
steps:
  - {name: a, run: "echo a >>effects; echo '{\"id\": 7}'", compensate: ["./undo", "a", "${{ steps.a.output.id }}"]}
  - {name: plain, run: "echo plain >>effects"}
  - name: fan
    parallel:
      - {name: b, run: "echo b >>effects", compensate: "./undo b"}
      - {name: c, run: "sleep 0.1; echo c >>effects", compensate: "./undo c"}
  - {name: each, for_each: [x, y], run: ["./make", "${{ item }}"], compensate: ["./undo", "${{ item }}", "${{ steps.each.output }}"]}
  - {name: bad, run: "echo bad >>effects; exit ${BAD:-3}", compensate: "./undo bad"}
  - {name: later, run: "echo later >>effects", compensate: "./undo later"}
END
printf '#!/bin/sh\necho "$1" >>effects; echo "made $1"\n' >make
cat >undo <<'END'
#!/bin/sh
# UNDO_NAME=CODE makes one fail.
eval "code=\${UNDO_$1:-0}"
[ "${SLOW:-}" != "$1" ] || { touch slow; sleep 0.5; }
echo "undo $* $HARDY_STEP" >>effects
exit "$code"
END
chmod +x make undo
code 'a later step fails' 1 "$HARDY" run undo.yaml --id u1
is 'what was done is undone, last first, each with its own result' "$(tr '\n' ';' <effects | sed 's/b;c\|c;b/bc/')" \
    'a;plain;bc;x;y;bad;undo y made y each[1];undo x made x each[0];undo c fan/c;undo b fan/b;undo a 7 a;'
like 'is told' "$err" 'fan/c: is being undone.*'
like 'each' "$err" 'a: undone in '
like 'and in the end' "$err" 'run u1 failed at bad: exit code 3; what it had done is undone$'
is 'is shown so' "$("$HARDY" workflows show u1 --json | shape)" \
    'a=compensated plain=done fan=done(b=compensated c=compensated) each=done(each[0]=compensated each[1]=compensated) bad=failed later=pending'
is 'with what undoing it was' "$("$HARDY" workflows show u1 --json | get 'step("a")["undo"]["state"], step("a")["undo"]["attempts"]')" "('done', 1)"
code 'its id again' 1 "$HARDY" run undo.yaml --id u1
code 'resumed' 1 "$HARDY" workflows resume u1
like 'there is nothing to go on with' "$err" 'run u1 has been undone; begin a new one with --new, or hardy workflows fork'
is 'nothing ran' "$(effects)" 12
again
BAD=0 code 'nothing fails' 0 "$HARDY" run undo.yaml
unlike 'nothing is undone' "$(cat effects)" undo

# --- undoing fails
again
UNDO_x=5 UNDO_b=6 code 'two cannot be undone' 1 "$HARDY" run undo.yaml --id u2
is 'the others are' "$(grep -c ^undo effects)" 5
like 'it is said' "$err" 'each\[0\]: cannot be undone: exit code 5'
like 'and kept with the run' "$("$HARDY" workflows list)" '^u2 +failed .*bad: exit code 3; undoing .*(each\[0\]|fan/b) failed: exit code'
like 'which can be tried again' "$err" 'run u2 failed at bad: .*; hardy workflows resume u2 tries to undo the rest again$'
code 'once more in vain' 1 env UNDO_b=6 "$HARDY" workflows resume u2
code 'and then' 1 "$HARDY" workflows resume u2
is 'only what was left is undone again' "$(grep ^undo effects | sort | uniq -c | tr -s ' ' | tr '\n' ';')" \
    ' 1 undo a 7 a; 3 undo b fan/b; 1 undo c fan/c; 2 undo x made x each[0]; 1 undo y made y each[1];'
like 'all of it is' "$err" 'run u2 failed at bad: exit code 3; what it had done is undone$'
workflow sibling <<'END'
name: sibling
steps:
  - name: fan
    parallel:
      - {name: bad, run: "until [ -e there ]; do sleep 0.01; done; exit 3"}
      - {name: good, run: "touch there", compensate: "exit 4"}
END
code 'a sibling after the one that failed cannot be undone' 1 "$HARDY" run sibling.yaml --id sib
like 'is told with both' "$err" 'run sib failed at fan/bad: exit code 3; undoing fan/good failed: exit code 4; hardy workflows resume sib tries'

workflow blind <<'END'
name: blind
steps:
  - {name: a, run: "true", compensate: "echo undo-a >>effects"}
  - {name: b, run: "echo '{}'", compensate: ["./undo", "${{ steps.b.output.id }}"]}
  - {name: c, run: "true", compensate: [./no-such-command]}
  - {name: bad, run: "exit 3"}
END
again
code 'compensations that cannot begin' 1 "$HARDY" run blind.yaml --id blind
is 'the others are not kept from it' "$(cat effects)" undo-a
is 'they have failed' "$("$HARDY" workflows show blind --json | get '[step(n)["undo"]["state"] for n in "abc"]')" "['done', 'failed', 'failed']"
sed -i 's/output.id/output/; s/no-such-command/undo/' blind.yaml

# --- killed in the middle of undoing
again
for step in y c a; do
    rm -f slow
    SLOW=$step "$HARDY" run undo.yaml --id u3 >/dev/null 2>&1 &
    hardy=$!
    wait_for is_there slow
    kill_hard $hardy
done
code 'killed while it is undone' 1 "$HARDY" run undo.yaml --id u3
is 'each is undone once' "$(grep ^undo effects | sort | uniq -c | awk '$1 != 1' | wc -l) $(grep -c ^undo effects)" '0 5'
is 'in that order' "$(grep ^undo effects | cut -d' ' -f2 | tr '\n' ' ' | sed 's/c b\|b c/bc/')" 'y x bc a '
again
rm -f slow
SLOW=x "$HARDY" run undo.yaml --id u4 >/dev/null 2>&1 &
hardy=$!
wait_for is_there slow
kill_hard $hardy $(shims | grep -vxF "$busy")
code 'hardy and its shim killed while it is undone: nobody knows' 4 "$HARDY" run undo.yaml --id u4
like 'which' "$err" 'the compensation of step each\[0\] of u4 is in doubt: find out'
like 'and what to type' "$err" "^  hardy workflows resolve u4 'each\[0\]' --done --state"
is 'what stands before waits' "$(grep -c ^undo effects)" 1
like 'it is listed so' "$("$HARDY" workflows list)" '^u4 +in_doubt .*undoing each\[0\]: '
code 'resolved: not done' 0 "$HARDY" workflows resolve u4 'each[0]' --retry
code 'goes on' 1 "$HARDY" workflows resume u4
is 'all are undone' "$(grep -c ^undo effects)" 5

# --- cancelled
workflow long <<'END'
name: long
steps:
  - {name: a, run: "echo a >>effects", compensate: "echo undo-a >>effects"}
  - name: fan
    parallel:
      - {name: b, run: "touch running; sleep 9; echo b >>effects", in_doubt: fail}
      - {name: nap, sleep: 1h}
      - {name: ask, approve: {}}
      - {name: c, run: "echo c >>effects", compensate: "echo undo-c >>effects"}
  - {name: d, run: "echo d >>effects"}
END
again
: >err1
"$HARDY" run long.yaml --id c1 >/dev/null 2>err1 &
hardy=$!
wait_for is_there running
wait_for grep -q 'fan/c: done' err1
code 'cancelled, while another drives it' 0 "$HARDY" workflows cancel c1 --comment 'not needed'
like 'says so' "$err" 'run c1 is driven by another hardy; waiting for it'
like 'and who and why' "$err" 'run c1 is cancelled: cancelled by .*\(uid [0-9]+\): not needed'
wait $hardy
is 'the other one has failed' $? 1
like 'and knows why' "$(cat err1)" 'run c1 is being cancelled'
is 'what ran is ended, what was done is undone, nothing more begins' "$(tr '\n' ' ' <effects | sed 's/undo-c undo-a/undone/')" 'a c undone '
is 'as is shown' "$("$HARDY" workflows show c1 --json | get 'o["state"]')" cancelled
code 'twice' 1 "$HARDY" workflows cancel c1
like 'it is over' "$err" 'run c1 is cancelled'
code 'resumed' 1 "$HARDY" workflows resume c1
like 'nor gone on with' "$err" 'run c1 was cancelled; begin a new one with --new'
code 'its id again' 1 "$HARDY" run long.yaml --id c1
is 'nothing ran' "$(effects)" 4
code 'a run that is not there' 1 "$HARDY" workflows cancel zz
code 'one that is done' 1 "$HARDY" workflows cancel "$(BAD=0 "$HARDY" run undo.yaml 2>&1 >/dev/null | sed -n 's/.*run \(undo-[^ ]*\) begins/\1/p')"
like 'is told' "$err" 'run undo-.* is done'
again
: >err1
"$HARDY" run long.yaml --id c2 >/dev/null 2>err1 &
hardy=$!
wait_for is_there running
wait_for grep -q 'fan/c: done' err1
kill_hard $hardy
code 'cancelled, while nobody drives it and its step runs' 0 "$HARDY" workflows cancel c2
is 'the same' "$(tr '\n' ' ' <effects | sed 's/undo-c undo-a/undone/')" 'a c undone '
unlike 'what ran is ended' "$(for s in $(shims); do tr '\0' ' ' </proc/$s/cmdline; done)" 'c2'
workflow waits <<'END'
name: waits
steps: [{name: a, run: "true", compensate: "echo undo-a >>effects"}, {name: ask, approve: {}}]
END
again
: >err1
"$HARDY" run waits.yaml --id c4 >/dev/null 2>err1 &
hardy=$!
wait_for grep -q 'waits for approval' err1
code 'one that waits' 0 "$HARDY" workflows cancel c4
is 'is undone' "$(cat effects)" undo-a
wait $hardy
workflow doubt <<'END'
name: doubt
steps:
  - {name: a, run: "true", compensate: "echo undo-a >>effects"}
  - {name: pay, run: "kill -9 $$", compensate: "echo undo-pay >>effects"}
END
again
code 'one in doubt' 4 "$HARDY" run doubt.yaml --id c5
code 'cancelled' 4 "$HARDY" workflows cancel c5
like 'has to be settled first' "$err" 'step pay of c5 is in doubt'
not_ok 'before anything is undone' is_there effects
code 'settled' 0 "$HARDY" workflows resolve c5 pay --done
code 'cancelled again' 0 "$HARDY" workflows cancel c5
is 'all is undone' "$(tr '\n' ' ' <effects)" 'undo-pay undo-a '
again
sed 's/name: waits/name: waits2/; s/compensate: "/compensate: "[ -e mend ]; /' waits.yaml >waits2.yaml
: >err1
"$HARDY" run waits2.yaml --id c6 >/dev/null 2>err1 &
hardy=$!
wait_for grep -q 'waits for approval' err1
code 'one that cannot be undone' 1 "$HARDY" workflows cancel c6
like 'is told' "$err" 'cancelled by .*; undoing a failed: exit code 1; hardy workflows resume c6 tries to undo the rest again'
wait $hardy
touch mend
code 'and is when resumed' 1 "$HARDY" workflows resume c6
is 'undone' "$(cat effects) $(state_of c6)" 'undo-a cancelled'
workflow asked <<'END'
name: asked
steps:
  - {name: b, run: "echo b >>begun; exec sleep 98764", probe: "test -e never"}
END
: >err1
"$HARDY" run asked.yaml --id c8 >/dev/null 2>err1 &
hardy=$!
wait_for test -s begun
code 'a step that is ended has its probe asked' 0 "$HARDY" workflows cancel c8
wait $hardy
is 'by the hardy that drives' "$? $(state_of c8)" '1 cancelled'
wait $canceller
is 'a step that does not obey is killed: nobody knows' $? 4
like 'is said' "$(cat err3)" 'b is in doubt: attempt 1 was started and cancelled while it ran'
ok 'nothing of it is left' ended 'sleep 98763'
wait $stubborn
is 'nothing is left behind' "$(left_files)" ''
