#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy run: groups of steps: at once, in order, for each of a list, under a condition, other workflows.
. "$(dirname "$0")/flow.sh"

# --- at once
workflow fan <<'END'
name: fan
steps:
  - name: fan
    parallel:
      - {name: a, run: "meet a; echo '{\"id\": 1}'"}
      - name: line
        steps:
          - {name: b, run: "meet b; echo b-$HARDY_STEP"}
          - {name: c, run: "echo \"after ${{ steps.b.output }}\""}
      - {name: d, run: "meet d; printf d"}
  - {name: join, run: ["echo", "${{ steps.fan.output }} ${{ steps.a.output.id }} ${{ steps.c.output }}"]}
END
cat >meet <<'END'
#!/bin/sh
# Ends when three are here at once.
touch "here.$1"
until [ "$(ls here.* | wc -l)" -ge 3 ]; do sleep 0.01; done
END
chmod +x meet
code 'three at once' 0 "$HARDY" run fan.yaml --id fan
is 'the group has a map of their results, each its own name' "$out" \
    '{"a":{"id":1},"line":"after b-fan/line/b","d":"d"} 1 after b-fan/line/b'
code 'as JSON' 0 "$HARDY" workflows show fan --json
is 'the steps of a group are below it' "$(shape <<<"$out")" \
    'fan=done(a=done line=done(b=done c=done) d=done) join=done'
is 'with what the contract says of each' "$(get 'sorted(set(step("fan")["steps"][0]) & {"name","state","attempts","started","ended","output"})' <<<"$out")" \
    "['attempts', 'ended', 'name', 'output', 'started', 'state']"
is 'results that are JSON are JSON' "$(get 'step("fan")["steps"][0]["output"]["id"]' <<<"$out")" 1

# --- at most so many at once
workflow limit <<'END'
name: limit
steps:
  - name: fan
    max_concurrent: 2
    parallel:
      - {name: a, run: "./busy a"}
      - {name: b, run: "./busy b"}
      - {name: line, steps: [{name: c, run: "./busy c"}, {name: d, run: "./busy d"}]}
      - {name: e, run: "./busy e"}
END
cat >busy <<'END'
#!/bin/sh
# busy NAME [SECONDS]: notes how many are at it at one time.
mkdir -p now; touch "now/$1"
ls now | wc -l >>crowd
echo "$1" >>order
sleep "${2:-0.05}"
rm "now/$1"
END
chmod +x busy
most() { sort -n crowd | tail -n 1; }
code 'at most two at once' 0 "$HARDY" run limit.yaml
is 'never more' "$(most)" 2
is 'begun in the order of the file' "$(sort order | tr -d '\n') $(head -n 2 order | sort | tr -d '\n')" 'abcde ab'
rm -f crowd order
sed 's/max_concurrent: 2/max_concurrent: 1/; s/name: limit/name: single/' limit.yaml >single.yaml
code 'one at a time' 0 "$HARDY" run single.yaml
is 'is one after another' "$(tr '\n' ' ' <order)$(most)" 'a b c d e 1'
rm -f crowd order

# --- one of them fails
workflow breaks <<'END'
name: breaks
steps:
  - name: fan
    max_concurrent: 2
    parallel:
      - {name: bad, run: "until [ -e here.slow ]; do sleep 0.01; done; exit ${BAD:-7}"}
      - name: line
        steps:
          - {name: slow, run: "touch here.slow; sleep 0.3; echo slow >>effects"}
          - {name: next, run: "echo next >>effects"}
      - {name: late, run: "echo late >>effects"}
  - {name: after, run: "echo after >>effects"}
END
again
code 'one fails' 1 "$HARDY" run breaks.yaml --id b1
like 'which, with the group above it' "$err" 'run b1 failed at fan/bad: exit code 7'
is 'its sibling ended, nothing new began' "$(tr '\n' ' ' <effects)" 'slow '
is 'as is shown' "$("$HARDY" workflows show b1 --json | shape)" 'fan=failed(bad=failed line=running(slow=done next=pending) late=pending) after=pending'
code 'resumed' 0 env BAD=0 "$HARDY" workflows resume b1
is 'does what is left, once each' "$(sort effects | tr '\n' ' ')" 'after late next slow '

workflow held <<'END'
name: held
steps:
  - name: fan
    parallel:
      - {name: bad, guard: rare, run: "echo bad >>effects; exit ${BAD:-4}"}
      - {name: held, guard: rare, run: "echo held >>effects"}
END
echo 'guards: {rare: {rate: {requests: 1/h, burst: 1}, retry: {max_retries: 0}}}' >hardy.yaml
again
code 'one fails while a limit keeps the other from beginning' 1 timeout 5 "$HARDY" run held.yaml --id held
is 'which does not begin then' "$(cat effects) $("$HARDY" workflows show held --json | shape)" 'bad fan=failed(bad=failed held=pending)'
rm hardy.yaml

# --- for each
workflow each <<'END'
name: each
steps:
  - {name: list, run: ["echo", '[{"n": "x", "deep": {"k": [1, 2]}}, "two words", 3, null, true]']}
  - name: each
    for_each: "${{ steps.list.output }}"
    run: ["printf", "%s", "${{ index }}=${{ item }}"]
  - {name: fixed, for_each: [p, "${{ input.q }}", {r: 1}], run: "echo \"$HARDY_STEP ${{ item }}\" >>order; echo \"$HARDY_IDEMPOTENCY_KEY\""}
  - {name: none, for_each: "${{ input.none }}", run: ["false"]}
  - {name: fields, for_each: [{a: 1, b: [x]}], run: ["echo", "${{ item.a }}${{ item.b[0] }}"]}
  - {name: all, run: ["echo", "${{ steps.each.output }} ${{ steps.each.output[1] }} ${{ steps.none.output }} ${{ steps.fields.output }}"]}
END
code 'for each item' 0 "$HARDY" run each.yaml --input <(echo '{"q": "Q Q", "none": []}') --id each
is 'objects, texts, numbers, null and truth come as they are; nothing for nothing' "$out" \
    '["0={\"n\":\"x\",\"deep\":{\"k\":[1,2]}}","1=two words","2=3","3=null","4=true"] 1=two words [] ["1x"]'
is 'one by one, each under its own name' "$(tr '\n' ';' <order)" 'fixed[0] p;fixed[1] Q Q;fixed[2] {"r":1};'
is 'and with a key of its own' "$("$HARDY" workflows show each --json | get 'len(set(s["output"] for s in step("fixed")["steps"]))')" 3
is 'is shown so' "$("$HARDY" workflows show each --json | shape | tr ' ' '\n' | grep -A 1 none)" 'none=done()
fields=done(fields[0]=done)'
for list in '"text"' '{"a": 1}' 7 null; do
    code "not for each of $list" 2 "$HARDY" run each.yaml --new --input <(echo "{\"q\": \"\", \"none\": $list}")
    like 'is told' "$err" 'step `none`: for_each needs a list, and `\$\{\{ input.none \}\}` is none'
done
rm -f order crowd

workflow items <<'END'
name: items
steps:
  - name: work
    for_each: "${{ env.LIST }}"
    max_concurrent: 3
    run: "[ ${{ item }} != ${BAD:-b} ] || exit 9; ./busy ${{ item }} 0.05; echo done-${{ item }}"
  - {name: all, run: ["echo", "${{ steps.work.output }}"]}
END
sed -i 's/"${{ env.LIST }}"/"${{ steps.list.output }}"/; s/^steps:/steps:\n  - {name: list, run: "cat list.json"}/' items.yaml
echo '["a", "b", "c", "d", "e", "f"]' >list.json
code 'an item fails' 1 "$HARDY" run items.yaml --id i1
like 'which' "$err" 'run i1 failed at work\[1\]: exit code 9'
is 'the three that had begun are all' "$(sort order | tr -d '\n')" ac
BAD=none code 'resumed: it and what is left' 0 "$HARDY" workflows resume i1
is 'and nothing twice' "$(sort order | tr -d '\n')" abcdef
is 'at most three at once' "$([ "$(most)" -le 3 ] && echo yes)" yes
is 'the results in the order of the list' "$out" '["done-a","done-b","done-c","done-d","done-e","done-f"]'
workflow moving <<'END'
name: moving
steps:
  - {name: work, for_each: ["${{ env.FIRST }}", b], run: "echo ${{ item }} >>effects; [ ${{ item }} != b ] || exit ${B:-1}"}
END
again
FIRST=a code 'a list of the environment' 1 "$HARDY" run moving.yaml --id m1
B=0 FIRST=z code 'that is another one when resumed' 1 "$HARDY" workflows resume m1
like 'is refused' "$err" 'the list of step `work` is not the one that it began with, of 2 items'
B=0 FIRST=a code 'and goes on with the one it was' 0 "$HARDY" workflows resume m1
is 'each once, but what failed' "$(tr '\n' ' ' <effects)" 'a b b '
workflow nest <<'END'
name: nest
steps:
  - name: rows
    for_each: [[1, 2], [3]]
    max_concurrent: 2
    steps:
      - name: cells
        for_each: "${{ item }}"
        steps:
          - {name: one, run: ["echo", "${{ index }}:${{ item }}"]}
          - {name: two, run: ["echo", "<${{ steps.one.output }}>"]}
      - {name: row, run: ["echo", "${{ index }} ${{ steps.cells.output }}"]}
  - {name: all, run: ["echo", "${{ steps.rows.output }}"]}
END
code 'lists in lists' 0 "$HARDY" run nest.yaml --id nest
is 'each item sees its own' "$out" '["0 [\"<0:1>\",\"<1:2>\"]","1 [\"<0:3>\"]"]'
code 'an item is named by its path' 1 "$HARDY" workflows approve nest 'rows[0]/cells[1]/two'
like 'also at its end' "$("$HARDY" workflows approve nest 'cells[1]/two' 2>&1)" 'is done, it does not wait'

# --- under a condition
workflow when <<'END'
name: when
steps:
  - {name: yes, when: "${{ input.env == 'prod' }}", run: "echo yes >>effects; echo y"}
  - {name: no, when: "${{ input.env != 'prod' }}", run: "echo no >>effects"}
  - name: group
    when: "${{ steps.no.output == null }}"
    parallel: [{name: ga, run: "echo ga >>effects"}, {name: gb, when: "${{ false }}", run: "echo gb >>effects"}]
  - {name: closed, when: "${{ steps.gb.output != null }}", steps: [{name: ca, run: "echo ca >>effects"}]}
  - {name: items, when: "${{ false }}", for_each: [1, 2], run: "echo item >>effects"}
  - {name: wait, when: "${{ false }}", sleep: 1h}
  - {name: ask, when: "${{ false }}", approve: {}}
  - {name: end, run: ["echo", "${{ steps.no.output }} ${{ steps.closed.output }} ${{ steps.ca.output }} ${{ steps.items.output }} ${{ steps.yes.output }}"]}
END
again
code 'conditions' 0 "$HARDY" run when.yaml --set env=prod --id w1
is 'what holds is done' "$(tr '\n' ' ' <effects)" 'yes ga '
is 'what was skipped is null' "$out" 'null null null null y'
is 'and shown as skipped' "$("$HARDY" workflows show w1 --json | shape)" \
    'yes=done no=skipped group=done(ga=done gb=skipped) closed=skipped(ca=pending) items=skipped() wait=skipped ask=skipped end=done'
like 'and counted as over' "$("$HARDY" workflows list)" '^w1 +done'
code 'the other way' 0 "$HARDY" run when.yaml --set env=test
workflow whenbad <<'END'
name: whenbad
steps:
  - {name: a, run: "echo a >>effects; echo '{\"x\": 1}'"}
  - {name: b, when: "${{ steps.a.output.y == 1 }}", run: "echo b >>effects"}
END
again
code 'a condition that cannot be told' 2 "$HARDY" run whenbad.yaml --id wb
like 'is an error with its step' "$err" 'when of step `b`: .*steps.a.output.y'
is 'the run is unfinished' "$("$HARDY" workflows show wb --json | get 'o["state"]')" running
sed -i 's/output.y/output.x/' whenbad.yaml
code 'mended, it goes on' 0 "$HARDY" workflows resume wb
is 'nothing twice' "$(tr '\n' ' ' <effects)" 'a b '
workflow stuck <<'END'
name: stuck
steps:
  - name: both
    parallel:
      - {name: ask, approve: {}}
      - {name: nap, sleep: 1h}
      - {name: line, steps: [{name: a, run: "echo {}"}, {name: b, when: "${{ steps.a.output.y == 1 }}", run: "true"}]}
END
code 'it is not waited for anything else then' 2 timeout 5 "$HARDY" run stuck.yaml

# --- other workflows
mkdir -p sub/deeper
cat >sub/child.yaml <<'END'
name: child
steps:
  - {name: a, run: ["./say", "${{ input.who }}"]}
  - {name: inner, workflow: deeper/leaf.yaml, input: {n: "${{ steps.a.output }}", list: [1, "${{ input.who }}"]}}
  - {name: last, run: ["echo", "child of ${{ input.who }}: ${{ steps.inner.output }}"]}
END
cat >sub/deeper/leaf.yaml <<'END'
name: leaf
steps:
  - {name: a, run: "pwd >../../where; echo \"leaf ${{ input.n }} ${{ input.list }}\""}
END
printf '#!/bin/sh\necho "say $*"\n' >sub/say
chmod +x sub/say
workflow parent <<'END'
name: parent
steps:
  - {name: a, run: ["echo", "outer"]}
  - {name: child, workflow: sub/child.yaml, input: {who: "${{ steps.a.output }}"}}
  - {name: many, for_each: [u, v], max_concurrent: 2, workflow: sub/child.yaml, input: {who: "${{ item }}"}}
  - {name: end, run: ["echo", "${{ steps.child.output }}; ${{ steps.many.output[1] }}"]}
END
code 'a workflow in a workflow' 0 "$HARDY" run parent.yaml --id p1
is 'has its own input, names and folder' "$out" \
    'child of outer: leaf say outer [1,"outer"]; child of v: leaf say v [1,"v"]'
is 'its commands begin beside its file' "$(cat where)" "$work/sub/deeper"
like 'its steps are below' "$("$HARDY" workflows show p1 --json | shape)" 'child=done\(a=done inner=done\(a=done\) last=done\)'
cat >sub/child2.yaml <<'END'
name: child2
steps: [{name: b, run: ["echo", "${{ steps.outer.output }}"]}]
END
workflow sees <<'END'
name: sees
steps: [{name: outer, run: "true"}, {name: c, workflow: sub/child2.yaml}]
END
code 'it sees nothing outside' 2 "$HARDY" run sees.yaml
like 'is told at its own place' "$err" 'sub/child2.yaml:2:[0-9]+: .*steps.outer.output'
cat >sub/cycle.yaml <<'END'
name: cycle
steps: [{name: back, workflow: ../cycle.yaml}]
END
workflow cycle <<'END'
name: cycle
steps: [{name: in, workflow: sub/cycle.yaml}]
END
code 'a workflow that contains itself' 2 "$HARDY" run cycle.yaml
like 'is refused at the place that closes the circle' "$err" 'sub/cycle.yaml:2:[0-9]+: step `back`: the workflow .*/cycle.yaml would contain itself'
workflow gone <<'END'
name: gone
steps: [{name: in, workflow: sub/nothing.yaml}]
END
code 'a workflow that is not there' 2 "$HARDY" run gone.yaml
like 'is missed at the place that names it' "$err" 'gone.yaml:2:[0-9]+: step `in`: there is no workflow .*sub/nothing.yaml'

# --- what a result is
workflow outputs <<'END'
name: outputs
steps:
  - {name: text, output: text, run: ["printf", '{"a": 1}\n\n']}
  - {name: json, output: json, run: ["echo", '"just a text"']}
  - {name: number, output: json, run: ["echo", '12.50']}
  - {name: auto, run: ["printf", ' [1, {"b": 2}]\n']}
  - {name: broken, run: ["echo", '{"a": ']}
  - {name: nothing, run: "true"}
  - {name: end, run: ["echo", "${{ steps.text.output }}|${{ steps.json.output }}|${{ steps.number.output }}|${{ steps.auto.output[1].b }}|${{ steps.broken.output }}|${{ steps.nothing.output }}|"]}
END
code 'text, JSON, or what it looks like' 0 "$HARDY" run outputs.yaml
is 'each as it says' "$out" '{"a": 1}|just a text|12.5|2|{"a": ||'
workflow nojson <<'END'
name: nojson
steps: [{name: a, output: json, run: ["echo", "no JSON"]}, {name: b, run: ["echo", "${{ steps.a.output }}"]}]
END
code 'a result that is not the JSON it should be' 2 "$HARDY" run nojson.yaml
like 'is told as such' "$err" '`steps.a.output` cannot be used: it is not JSON'
workflow lastgroup <<'END'
name: lastgroup
steps: [{name: fan, parallel: [{name: a, run: "echo 1"}, {name: b, for_each: [x, y], run: ["echo", "${{ item }}"]}]}]
END
code 'a group is the last' 0 "$HARDY" run lastgroup.yaml --id lg
is 'its result is printed' "$out" '{"a":"1","b":["x","y"]}'
code 'and when asked for again' 0 "$HARDY" run lastgroup.yaml --id lg
is 'too' "$out" '{"a":"1","b":["x","y"]}'
