#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What `hardy validate` says of files, to the letter, and its exit code.
. "$(dirname "$0")/../tap.sh"

# expect WHAT CODE ARGUMENTS...: the exit code, and standard output as in the lines of stdin
expect() {
    local what=$1 wanted=$2 lines
    shift 2
    lines=$(cat)
    code "$what" "$wanted" timeout 20 "$HARDY" validate "$@"
    is "$what: the lines" "$out" "$lines"
}

cat >good.yaml <<'YAML'
state: h.db
guards:
  search:
    deadline: 60s
    timeout: 5s
    retry: {max_retries: 2, repeatable: true, max_delay: 4s}
YAML
expect 'a configuration without problems' 0 good.yaml <<'OUT'
good.yaml: a configuration, nothing wrong
OUT

cat >bad.yaml <<'YAML'
guards:
  search:
    breaker: {failure_treshold: 3, recovery_timeout: 30}
    retry: {max_retries: -1}
  my guard: {}
chekcs: []
YAML
expect 'every problem of shape, each with its place' 2 bad.yaml <<'OUT'
bad.yaml:3:15: unknown key `failure_treshold` in guards.search.breaker; did you mean `failure_threshold`?
bad.yaml:3:54: `recovery_timeout`: expected a duration such as 250ms, 30s, 2m, 1h30m or 7d; "30" has no unit
bad.yaml:4:26: `max_retries`: expected a whole number from 0 to 1000, not "-1"
bad.yaml:5:3: `my guard` cannot be a name: letters, digits, ".", "_", "-", at most 63, first a letter or digit
bad.yaml:6:1: unknown key `chekcs` at the top; did you mean `checks`?
OUT

cat >together.yaml <<'YAML'
guards:
  a: {retry: {base_delay: 2m}}
  b: {rate: {burst: 3}}
checks: [{name: x, tcp: "127.0.0.1:1"}]
incidents: {services: {web: {check: up, escalate: [ops]}, db: {check: x}}}
maintenance: [{from: "22:00", to: "04:00", targets: [web, weeb]}, {from: "22:00", to: "4:00"}]
YAML
expect 'values that cannot hold together, names that stand for nothing' 2 together.yaml <<'OUT'
together.yaml:2:27: base_delay 2m is longer than max_delay 1m; no wait is longer than max_delay
together.yaml:3:13: says nothing of how many: `requests` (--rate) is missing, such as 10/s
together.yaml:6:87: to: `4:00` is no time of day from 00:00 to 23:59, such as "22:00"
together.yaml:6:53: the configuration knows no `weeb`; did you mean `web`?
together.yaml:5:37: service `web` names the check `up`, which is not under checks:
together.yaml:5:51: service `web` escalates to `ops`, which is not under notify:
together.yaml:5:63: warning: service `db` has no escalate: nobody is told when it cannot be repaired
OUT

cat >doomed.yaml <<'YAML'
guards:
  slow: {deadline: 120s, timeout: 30s, retry: {max_retries: 3, repeatable: true}}
YAML
expect "the documents' own time-outs cannot all hold" 0 doomed.yaml <<'OUT'
doomed.yaml:2:3: warning: guard `slow`: 4 attempts of 30s and their waits can take 2m7s, the deadline is 2m: not all retries will be made
doomed.yaml: a configuration that works, 1 warning
OUT

printf 'a: 1\nb: 2\na: 3\n' >twice.yaml
printf 'state: \xff\n' >bytes.yaml
printf 'state: ${HARDY_TEST_NOT_SET}\n' >unset.yaml
: >empty.yaml
expect 'several files; what cannot be read is told too' 2 twice.yaml bytes.yaml unset.yaml gone.yaml empty.yaml <<'OUT'
twice.yaml:3:1: key `a` is given twice, first in line 1
bytes.yaml:1:8: byte 0xff is not UTF-8; save the file as UTF-8
unset.yaml:1:8: the environment has no HARDY_TEST_NOT_SET; set it, or write ${HARDY_TEST_NOT_SET:-default}
gone.yaml: cannot open it: No such file or directory
empty.yaml: a configuration, nothing wrong
OUT

cat >flow.yaml <<'YAML'
name: provision
steps:
  - {name: vpc, run: [./create-vpc, "${NAME}"], guard: sarch}
  - {name: two, run: "echo ${{ steps.vpc.output.id }}", guard: search}
YAML
expect 'a workflow: its guards are looked up in the configuration' 2 -c good.yaml flow.yaml <<'OUT'
flow.yaml:3:56: step `vpc`: no guard is called "sarch"; did you mean "search"?, in good.yaml
flow.yaml:4:64: warning: step `two`: guard `search` repeats what may have had its effect already (repeatable: true), and the step has no probe
OUT

cat >quotes.yaml <<'YAML'
name: quotes
steps:
  - {name: a, run: "echo '${{ input.x }}'"}
  - {name: b, run: "echo \"it's ${{ input.x == 'y' }}\" # don't ${{ input.x }}"}
  - {name: c, run: [echo, "'${{ input.x }}'"]}
YAML
expect 'a value where the shell does not put it in' 0 quotes.yaml <<'OUT'
quotes.yaml:3:20: warning: step `a`: `${{ input.x }}'` stands between single quotes, where the shell does not put the value in; use double quotes
quotes.yaml: a workflow that works, 1 warning
OUT

printf 'name: x\nsteps:\n  - {nmae: a, run: []}\n' >flow2.yaml
expect 'a workflow of the wrong shape' 2 flow2.yaml <<'OUT'
flow2.yaml:3:6: unknown key `nmae` in steps[0]; did you mean `name`?
flow2.yaml:3:20: `run` is an empty list; its first item names the program
flow2.yaml:3:5: `name` is missing in steps[0] (of the step; its record is found by it)
OUT

expect 'as JSON' 2 --json twice.yaml empty.yaml <<'OUT'
[
  {
    "file": "twice.yaml",
    "kind": null,
    "problems": [
      {
        "severity": "error",
        "line": 3,
        "column": 1,
        "message": "key `a` is given twice, first in line 1"
      }
    ],
    "ok": false
  },
  {
    "file": "empty.yaml",
    "kind": "configuration",
    "problems": [],
    "ok": true
  }
]
OUT

expect 'no file' 2 <<'OUT'
OUT
like 'no file: what is missing' "$err" 'which file\?'
expect '--schema with a file' 2 --schema good.yaml <<'OUT'
OUT
like '--schema with a file: why not' "$err" '--schema takes no file'

code 'the schema' 0 "$HARDY" validate --schema
like 'the schema has the keys of a configuration' "$out" '^ +failure_threshold +whole number 1 to 64 +5 +so many'
like 'the schema has the keys of a workflow' "$out" '^steps: +list of maps +required'

printf 'guards: {a: {timeout: 5}}\n' >flat.yaml
code 'standard input' 2 "$HARDY" validate - <flat.yaml
like 'standard input has a name' "$out" '^standard input:1:23: `attempt`: expected a duration'
code 'a workflow from standard input' 2 "$HARDY" validate - <flow.yaml
like 'a workflow needs its folder' "$out" 'its folder: give its file'

# The gateway: what hardy serve would refuse.
mkdir gateway
cat >gateway/hardy.yaml <<'END'
gateway: {listen: "0.0.0.0:4273"}
upstreams:
  anthropic: {url: "https://api.example.com", protocol: anthropic, key_file: key}
admin: {listen: "0.0.0.0:4274"}
END
code 'a gateway for everybody with a key' 2 "$HARDY" validate gateway/hardy.yaml
like 'is refused' "$out" '^gateway/hardy\.yaml:1:19: gateway: `0\.0\.0\.0:4273` lets others connect, and upstream `anthropic` has a key_file'
like 'so is an admin address for everybody' "$out" '^gateway/hardy\.yaml:4:17: admin: `0\.0\.0\.0:4274` lets others connect: give token_file'
sed -i '1d; $d' gateway/hardy.yaml
code 'a key file that is not there' 2 "$HARDY" validate gateway/hardy.yaml
like 'has a place' "$out" '^gateway/hardy\.yaml:2:78: key: .*No such file'
echo secret >gateway/key
code 'beside the file' 0 "$HARDY" validate gateway/hardy.yaml
printf 'sk-first\nsk-second\n' >gateway/key
code 'two lines are no key' 2 "$HARDY" validate gateway/hardy.yaml
unlike 'which are not shown' "$out" 'sk-'
cat >gateway/hardy.yaml <<'END'
guards: {llm: {}, other: {}}
upstreams:
  a: {url: "https://api.example.com", protocol: anthropic, guard: llm}
  b: {url: "https://api.example.com", guard: lllm}
END
code 'a guard that is not there' 2 "$HARDY" validate gateway/hardy.yaml
like 'the nearest' "$out" '^gateway/hardy\.yaml:4:46: upstream `b`: no guard is called "lllm"; did you mean "llm"\?'
sed -i 's/lllm/llm/' gateway/hardy.yaml
code 'the guard of a model' 0 "$HARDY" validate gateway/hardy.yaml
like 'has its deadlines, another has none' "$out" 'warning: guard `other`: no timeout and no deadline'
unlike 'so there is nothing to warn of' "$out" 'guard `llm`'
