#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy run: files that change under a run, forks, retries of a step's own, what is told while it runs.
. "$(dirname "$0")/flow.sh"

# --- a file that has changed
workflow base <<'END'
name: base
steps:
  - {name: a, run: ["./make", "a", "${{ input.x }}"]}
  - name: fan
    parallel:
      - {name: b, run: "./make b"}
      - {name: c, when: "${{ input.x != '0' }}", run: "./make c"}
  - {name: each, for_each: [p, q], run: ["./make", "${{ item }}"]}
  - {name: bad, run: "./make bad; exit ${BAD:-3}"}
  - {name: end, run: "./make end"}
END
printf '#!/bin/sh\necho "$1" >>effects; echo "made $*"\n' >make
chmod +x make
code 'a run to go on with' 1 "$HARDY" run base.yaml --set x=1 --id b1
cp base.yaml original.yaml
changed() { # changed WHAT WHY SCRIPT: the file edited with sed is refused
    cp original.yaml base.yaml
    sed -i "$3" base.yaml
    code "$1" 1 env BAD=0 "$HARDY" workflows resume b1
    like 'is refused' "$err" "$2"
    like 'with the difference' "$err" 'what is recorded \(-\) and what the file says now \(\+\):'
    like 'and the way out' "$err" '^  hardy workflows fork b1 --from STEP'
    is 'and nothing is changed' "$(state_of b1)" failed
}
changed 'a finished step says something else' 'base.yaml: step `a` of run b1 is done, and its definition has changed' 's|"./make", "a", |"./make", "A", |'
like 'both are there' "$err" '^- a +done +\{"run":\["./make","a"'
like 'both' "$err" '^\+ a +says something else now'
like 'what is the same is, too' "$err" '^  b +done|^  fan/b +done'
changed 'a finished step in a group has another name' 'step `fan/b` of run b1 is done, and the file has `bb` in its place now' 's/name: b,/name: bb,/'
changed 'a finished step in a group is gone' 'step `fan/c` of run b1 is done, and is not in the file any more' '/name: c,/d'
changed 'a group has become another kind' 'step `fan` of run b1 is failed|step `fan` of run b1 is done, and in the file it is a step of another kind now' 's/    parallel:/    steps:/'
changed 'the list of a for_each has changed' 'step `each` of run b1 is done, and its definition has changed' 's/\[p, q\]/[p, q, r]/'
changed 'a finished step has another condition' 'step `fan/c` of run b1 is done, and its definition has changed|step `fan/c`' "s/input.x != '0', run: \"/input.x != '9'/; s/run: \"\.\/make c\"/run: \".\/make  c\"/"
changed 'the order has changed' 'step `a` of run b1 is done, and the file has `first` in its place now' 's/^steps:/steps:\n  - {name: first, run: "true"}/'
is 'nothing ran' "$(tr '\n' ' ' <effects | sed 's/b c\|c b/bc/')" 'a bc p q bad '
cp original.yaml base.yaml
sed -i 's|"${{ input.x }}"\]|"1"]|' base.yaml
code 'a text that comes to the same with its values filled in' 0 env BAD=0 "$HARDY" workflows resume b1
is 'goes on' "$(tail -n 2 effects | tr '\n' ' ')" 'bad end '
cp original.yaml base.yaml

# --- fork
again
code 'forked from the step that failed' 0 env BAD=0 "$HARDY" workflows fork b1 --from bad --id f1
like 'says from which' "$err" 'run f1 has taken over what b1 had finished before bad'
is 'only what follows is done' "$(tr '\n' ' ' <effects)" 'bad end '
is 'all is there' "$("$HARDY" workflows show f1 --json | shape)" \
    'a=done fan=done(b=done c=done) each=done(each[0]=done each[1]=done) bad=done end=done'
is 'with its results and whence' "$("$HARDY" workflows show f1 --json | get 'o["forked_from"], step("a")["output"], step("each")["steps"][1]["output"]')" "('b1', 'made a 1\\n', 'made q\\n')"
like 'the one before is as it was' "$(state_of b1)" 'done'
again
BAD=0 code 'from a group' 0 "$HARDY" workflows fork b1 --from each
is 'it is done anew' "$(tr '\n' ' ' <effects)" 'p q bad end '
like 'under an id of its own' "$err" 'run base-20[^ ]* has taken over'
again
BAD=0 code 'from the first' 0 "$HARDY" workflows fork b1 --from a -q
is 'everything is' "$(wc -l <effects)" 7
again
BAD=0 code 'from a step in a group' 0 "$HARDY" workflows fork b1 --from fan/c -q
is 'the one before it in the group is kept' "$(tr '\n' ' ' <effects)" 'c p q bad end '
again
sed -i 's/name: a,/name: alpha,/; s/name: b,/name: beta,/; s/name: each,/name: every,/' base.yaml
BAD=0 code 'steps that have another name now' 1 "$HARDY" workflows fork b1 --from bad
like 'are missed' "$err" 'step `alpha` stands before `bad` and is not there in run b1; --map OLD=NEW says what it was called'
BAD=0 code 'and are told' 0 "$HARDY" workflows fork b1 --from bad --map a=alpha --map b=beta --map each=every
is 'nothing is done again' "$(tr '\n' ' ' <effects)" 'bad end '
cp original.yaml base.yaml
workflow items <<'END'
name: items
steps: [{name: e, for_each: [1, 2, 3], run: "echo ${{ item }} >>effects; [ ${{ item }} != 2 ] || exot"}]
END
again
code 'an item fails for a mistake in the file' 1 "$HARDY" run items.yaml --id it
sed -i 's/exot/exit 0/' items.yaml
code 'which is mended: the items that are done say something else' 1 "$HARDY" workflows resume it
code 'forked from that item' 0 "$HARDY" workflows fork it --from 'e[1]' --id it2
is 'the ones before it are kept' "$(tr '\n' ' ' <effects) $("$HARDY" workflows show it2 --json | shape)" '1 2 2 3  e=done(e[0]=done e[1]=done e[2]=done)'
code 'from an item that is not there' 1 "$HARDY" workflows fork it --from 'e[7]'
code 'from a step that is not there' 1 "$HARDY" workflows fork b1 --from bat
like 'the nearest is named' "$err" 'has no step `bat`; did you mean `bad`'
code 'under an id that there is' 1 "$HARDY" workflows fork b1 --from bad --id f1
like 'is refused' "$err" 'there is a run `f1`'
code 'a fork of nothing' 1 "$HARDY" workflows fork zz --from a
code 'from nowhere' 2 "$HARDY" workflows fork b1
code 'a run that failed' 1 "$HARDY" run base.yaml --set x=2 --id b2
code 'from behind the step that failed' 1 "$HARDY" workflows fork b2 --from end
like 'which is not finished' "$err" 'step `bad` stands before `end` and is failed in run b2'
workflow undone <<'END'
name: undone
steps:
  - {name: a, run: "echo a >>effects", compensate: "echo undo-a >>effects"}
  - {name: b, run: "exit ${BAD:-3}"}
END
again
code 'a run that was undone' 1 "$HARDY" run undone.yaml --id un
code 'from a step after one that was undone' 1 "$HARDY" workflows fork un --from b
like 'which would have to be done again' "$err" 'step `a` stands before `b` and is compensated in run un'
BAD=0 code 'from that one' 0 "$HARDY" workflows fork un --from a
is 'it is' "$(tr '\n' ' ' <effects)" 'a undo-a a '

# --- a retry of its own
workflow retry <<'END'
name: retry
steps:
  - {name: a, run: "echo $HARDY_ATTEMPT >>effects; [ $HARDY_ATTEMPT -ge ${FROM:-3} ]", retry: {max_retries: 3, base_delay: 1ms}}
  - {name: b, for_each: [x, y], run: "echo ${{ item }}$HARDY_ATTEMPT >>effects; [ $HARDY_ATTEMPT -ge 2 ]", retry: {max_retries: 1, base_delay: 1ms}}
END
again
code 'it tries again' 0 "$HARDY" run retry.yaml
is 'each by itself' "$(tr '\n' ' ' <effects)" '1 2 3 x1 x2 y1 y2 '
again
FROM=9 code 'until they are used up' 75 "$HARDY" run retry.yaml
is 'four attempts' "$(effects)" 4
workflow badretry <<'END'
name: badretry
steps: [{name: a, run: "true", retry: {max_retris: 3}}]
END
code 'a mistake in it' 2 "$HARDY" run badretry.yaml
like 'has its place' "$err" 'badretry.yaml:2:[0-9]+: .*max_retris.*max_retries'
workflow late <<'END'
name: late
steps: [{name: a, in_doubt: fail, timeout: 100ms, run: "sleep 98764"}]
END
code 'a step that takes too long' 124 "$HARDY" run late.yaml
ok 'is ended' ended 'sleep 98764'

# --- what is told while it runs
workflow told <<'END'
name: told
steps:
  - {name: a, run: "echo 1"}
  - {name: fan, parallel: [{name: b, run: "until [ -e go ]; do sleep 0.01; done; echo 2"}, {name: c, when: "${{ false }}", run: "true"}]}
  - {name: d, for_each: [1, 2], run: "echo d"}
END
rm -f go
"$HARDY" run told.yaml --id t1 --watch --json >lines1 2>/dev/null &
first=$!
wait_for grep -q '"fan/b","detail"\|"fan/b"' lines1
"$HARDY" run told.yaml --id t1 --watch --json >lines2 2>/dev/null &
second=$!
wait_for grep -q waiting lines2
"$HARDY" run told.yaml --id t1 --json >doc3 2>/dev/null &
third=$!
sleep 0.4
touch go
wait $first && wait $second && wait $third
is 'all three end well' $? 0
events() { python3 -c '
import json, sys
lines = [json.loads(l) for l in open(sys.argv[1])]
assert all(l["id"] == "t1" and l["at"].endswith("Z") and l["event"] for l in lines)
print(" ".join((l.get("step", "") + ":" + l["event"]).lstrip(":") for l in lines), lines[-1]["run"]["state"])' "$1"; }
is 'JSON Lines, each of them JSON' "$(events lines1)" \
    'begun a:started a:done fan/c:skipped fan/b:started fan/b:done d:items d[0]:started d[0]:done d[1]:started d[1]:done ended done'
like 'also when another one drives it' "$(events lines2)" '^waiting a:done fan:running fan/b:running fan/c:skipped .*ended done$'
is 'without --watch one document' "$(get 'o["state"], o["id"]' <doc3)" "('done', 't1')"
is 'which is what is shown afterwards' "$(cat doc3)" "$("$HARDY" workflows show t1 --json)"
is 'lists are JSON' "$("$HARDY" workflows list --json | get 'sum(r["id"] == "t1" for r in o)')" 1
is 'nothing is left behind' "$(left_files)" ''
