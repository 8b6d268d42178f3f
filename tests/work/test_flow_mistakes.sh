#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy validate of workflow files: every mistake with its place, before anything runs.
. "$(dirname "$0")/flow.sh"

# steps PLACE PATTERN: the steps of a file, on standard input, beginning in line 3.
steps() {
    { printf 'name: bad\nsteps:\n'; cat; } >bad.yaml
    code "$2" 2 "$HARDY" validate bad.yaml
    like "at $1" "$err$out" "bad.yaml:$1: .*$2"
}
good() { # the same for a file without mistakes
    { printf 'name: good\nsteps:\n'; cat; } >good.yaml
    code "$1" 0 "$HARDY" validate good.yaml
}

# --- kinds
steps 3:5 'step `a` has both `run` and `sleep`; one step is one' <<<'  - {name: a, run: "true", sleep: 1s}'
steps 3:5 'step `a` has both `until` and `approve`' <<<'  - {name: a, approve: {}, until: ["true"]}'
steps 3:5 'step `a` has both `parallel` and `steps`' <<<'  - {name: a, parallel: [{name: b, run: "true"}], steps: [{name: c, run: "true"}]}'
steps 3:5 'step `a` does nothing: one of run, http, ensure' <<<'  - {name: a, timeout: 3s}'
steps '3:[0-9]+' 'name' <<<'  - {run: "true"}'
steps '3:[0-9]+' 'a list of steps is needed, with at least one' <<<'  - {name: a, parallel: []}'
steps '3:[0-9]+' 'a list of steps is needed' <<<'  - {name: a, steps: {name: b, run: "true"}}'
steps '3:[0-9]+' 'slep.*sleep' <<<'  - {name: a, slep: 3s}'
steps '4:5' 'there are two steps of the name `a`; the first is in line 3' <<'END'
  - {name: fan, parallel: [{name: a, run: "true"}]}
  - {name: a, run: "true"}
END
steps '3:[0-9]+' 'name' <<<'  - {name: "a b", run: "true"}'

# --- what goes with what
while read -r key with kind; do
    steps '3:[0-9]+' "step \`a\`: ${key%%:*} goes with" <<<"  - {name: a, $kind, $key $with}"
done <<'END'
every: 2s run: "true"
input: {} run: "true"
probe: "x" sleep: 1s
probe: "x" ensure: {probe: "x", create: "y"}
in_doubt: ask until: "x"
timeout: 2s approve: {}
timeout: 2s parallel: [{name: b, run: "true"}]
retry: {} sleep: 1s
guard: g steps: [{name: b, run: "true"}]
compensate: "x" approve: {}
output: json file: {folder: f, content: c}
max_concurrent: 2 run: "true"
END
steps '3:[0-9]+' 'max_concurrent would be of for_each or of parallel' <<<'  - {name: a, for_each: [1], max_concurrent: 2, parallel: [{name: b, run: "true"}]}'
steps '3:[0-9]+' 'max_concurrent' <<<'  - {name: a, for_each: [1], max_concurrent: 0, run: "true"}'
steps '3:[0-9]+' 'for_each takes a list, or an expression' <<<'  - {name: a, for_each: text, run: "true"}'
steps '3:[0-9]+' 'for_each takes a list, or an expression' <<<'  - {name: a, for_each: {a: 1}, run: "true"}'
steps '3:[0-9]+' 'input is a map, not a list' <<<'  - {name: a, workflow: w.yaml, input: [1]}'
steps '3:[0-9]+' '"30" has no unit' <<<'  - {name: a, sleep: 30}'
steps '3:[0-9]+' 'soon' <<<'  - {name: a, sleep: soon}'
steps '3:[0-9]+' 'expires' <<<'  - {name: a, approve: {expires: 10ms}}'
steps '3:[0-9]+' 'has both `json` and `body`' <<<'  - {name: a, http: {url: "http://x/", json: 1, body: x}}'
steps '3:[0-9]+' 'a map of headers is needed' <<<'  - {name: a, http: {url: "http://x/", headers: [1]}}'
steps '3:[0-9]+' 'create' <<<'  - {name: a, ensure: {probe: "x"}}'

# --- expressions
steps '3:[0-9]+' '`step.a`.*known are input.NAME, env.NAME and steps.NAME.output of the steps above' <<<'  - {name: a, run: ["echo", "${{ step.a }}"]}'
steps '3:[0-9]+' 'item.*known are input.NAME' <<<'  - {name: a, run: ["echo", "${{ item }}"]}'
steps '3:[0-9]+' 'index' <<<'  - {name: a, run: ["echo", "${{ index }}"]}'
steps '3:[0-9]+' 'item' <<<'  - {name: a, for_each: ["${{ item }}"], run: "true"}'
steps '3:[0-9]+' 'item' <<<'  - {name: a, for_each: [1], when: "${{ item == 1 }}", run: "true"}'
steps '3:[0-9]+' 'steps.b.output' <<'END'
  - {name: a, run: ["echo", "${{ steps.b.output }}"]}
  - {name: b, run: "true"}
END
steps '3:[0-9]+' 'steps.a.output' <<<'  - {name: a, run: ["echo", "${{ steps.a.output }}"]}'
steps '6:[0-9]+' 'steps.a.output' <<'END'
  - name: fan
    parallel:
      - {name: a, run: "true"}
      - {name: b, run: ["echo", "${{ steps.a.output }}"]}
END
steps '3:[0-9]+' 'steps.fan.output' <<<'  - {name: fan, steps: [{name: a, run: "true"}, {name: b, run: ["echo", "${{ steps.fan.output }}"]}]}'
steps '4:[0-9]+' 'steps.in.output' <<'END'
  - {name: each, for_each: [1], steps: [{name: in, run: "true"}]}
  - {name: b, run: ["echo", "${{ steps.in.output }}"]}
END
steps '3:[0-9]+' 'steps.a.outptu' <<<'  - {name: z, steps: [{name: a, run: "true"}, {name: b, run: ["echo", "${{ steps.a.outptu }}"]}]}'
steps '3:[0-9]+' 'steps.zz' <<<'  - {name: a, when: "${{ steps.zz.output == 1 }}", run: "true"}'
steps '3:[0-9]+' 'nope' <<<'  - {name: a, approve: {message: "${{ nope }}"}}'
steps '3:[0-9]+' 'nope' <<<'  - {name: a, sleep: "${{ nope }}"}'
steps '3:[0-9]+' 'nope' <<<'  - {name: a, http: {url: "http://x/", json: {deep: [{er: "${{ nope }}"}]}}}'
steps '3:[0-9]+' 'nope' <<<'  - {name: a, file: {folder: f, content: "${{ nope }}"}}'
steps '3:[0-9]+' 'nope' <<<'  - {name: a, ensure: {probe: "x", create: ["y", "${{ nope }}"]}}'
steps '3:[0-9]+' 'nope' <<<'  - {name: a, run: "true", probe: ["y", "${{ nope }}"]}'
steps '3:[0-9]+' 'nope' <<<'  - {name: a, run: "true", compensate: ["y", "${{ nope }}"]}'
steps '3:[0-9]+' 'nope' <<<'  - {name: a, until: ["y", "${{ nope }}"]}'
steps '3:[0-9]+' 'steps.b.output' <<<'  - {name: a, run: "true", compensate: ["y", "${{ steps.b.output }}"]}'
steps '3:[0-9]+' '' <<<'  - {name: a, when: "${{ input.x == }}", run: "true"}'
steps '3:[0-9]+' '' <<<'  - {name: a, run: "echo ${{ input.x"}'
good 'what may be named' <<'END'
  - {name: a, run: "true", compensate: "echo ${{ steps.a.output.id }}"}
  - {name: dots.a.output.b, run: "true"}
  - name: fan
    parallel:
      - {name: b, run: ["echo", "${{ steps.a.output }}", "${{ steps.dots.a.output.b.output[0].x }}"]}
      - {name: line, steps: [{name: c, run: "true"}, {name: d, run: ["echo", "${{ steps.c.output }}"]}]}
  - {name: e, run: ["echo", "${{ steps.fan.output.b }}${{ steps.d.output }}${{ steps.line.output }}"]}
  - name: each
    for_each: "${{ steps.e.output }}"
    when: "${{ steps.e.output != null }}"
    steps:
      - {name: f, run: ["echo", "${{ item.x }}${{ index }}"]}
      - {name: g, for_each: "${{ item.list }}", run: ["echo", "${{ item }}${{ steps.f.output }}"], compensate: "echo ${{ item }} ${{ steps.g.output }}"}
  - {name: h, sleep: "${{ steps.each.output[0] }}"}
END

# --- depth
deep() { # deep LEVELS
    python3 - "$1" <<'END'
import sys
n = int(sys.argv[1])
print('name: deep\nsteps:')
pad = '  '
for i in range(n):
    print(f'{pad}- name: g{i}\n{pad}  steps:')
    pad += '    '
print(f'{pad}- {{name: leaf, run: "echo deep"}}')
END
}
deep 7 >deep.yaml
code 'groups as deep as they may be' 0 "$HARDY" run deep.yaml
is 'are done' "$out" deep
deep 8 >deep.yaml
code 'and deeper' 2 "$HARDY" validate deep.yaml
like 'are refused with the place' "$err$out" 'deep.yaml:[0-9]+:[0-9]+: groups are nested deeper than 8'
for i in 1 2 3 4 5 6 7 8; do
    printf 'name: n\nsteps: [{name: g, for_each: [1, 2], steps: [{name: in, workflow: nest%d.yaml}]}]\n' $((i + 1)) >nest$i.yaml
done
printf 'name: n\nsteps: [{name: leaf, run: ["echo", "x"]}]\n' >nest9.yaml
code 'workflows in workflows' 2 "$HARDY" validate nest1.yaml
like 'deeper than they may be' "$err$out" 'nest[0-9].yaml:2:[0-9]+: workflows are nested deeper than 6'
code 'and as deep as they may be' 0 "$HARDY" run -q nest4.yaml
is 'each for each' "$(get 'str(o).count("x")' <<<"$out")" 32
long=$(printf 'n%.0s' $(seq 63))
python3 - "$long" >longnames.yaml <<'END'
import sys
print('name: long\nsteps:')
pad = '  '
for i in range(7):
    print(f'{pad}- name: {sys.argv[1][:-1]}{i}\n{pad}  for_each: [1]\n{pad}  steps:')
    pad += '    '
print(f'{pad}- {{name: leaf, run: "echo deep"}}')
END
code 'names that are too long together' 2 "$HARDY" validate longnames.yaml
like 'are told' "$err$out" 'longnames.yaml:[0-9]+:[0-9]+: step `n+[0-9]`: its name and those of the groups above it are together longer than 512 bytes'

# --- the whole file
whole() { # whole PATTERN
    cat >bad.yaml
    code "$1" 2 "$HARDY" validate bad.yaml
    like 'with its place' "$err$out" "bad.yaml.*$1"
}
whole 'name' <<<'steps: [{name: a, run: "true"}]'
whole 'at least one step' <<<$'name: bad\nsteps: []'
whole 'setps' <<<$'name: bad\nsetps: []'
whole '' <<<$'name: bad\nname: bad\nsteps: [{name: a, run: "true"}]'
whole '' <<<$'name: bad\nsteps: [{name: a, run: "\xff"}]'
whole '' <<<$'name: bad\nsteps: [{name: a, run: "true", run: "false"}]'
printf 'name: pipe\nsteps: [{name: a, run: "true"}]\n' >pipe.yaml
for file in - /dev/stdin; do
    code "a workflow from a pipe: $file" 2 sh -c 'cat pipe.yaml | "$0" run $1' "$HARDY" "$file"
    like 'could not be gone on with' "$err" 'a file is needed'
done

# --- input
code 'a key twice' 2 "$HARDY" run pipe.yaml --input <(echo '{"x": 1, "x": 2}')
like 'is told with its place' "$err" 'line 1, column 12: duplicate object key'
code 'no UTF-8' 2 "$HARDY" run pipe.yaml --input <(printf '{"x": "\377"}')
code 'more than a megabyte' 2 "$HARDY" run pipe.yaml --input <(printf '{"x": "%01100000d"}' 0)
code 'thousands deep' 2 "$HARDY" run pipe.yaml --input <(python3 -c 'print("{\"x\":" + "[" * 3000 + "]" * 3000 + "}")')
code 'nearly a megabyte' 0 "$HARDY" run pipe.yaml --input <(printf '{"x": "%0900000d"}' 0) --id large
is 'is kept' "$("$HARDY" workflows show large --json | get 'len(o["input"]["x"])')" 900000
is 'nothing was recorded' "$("$HARDY" workflows list | grep -c bad)" 0
