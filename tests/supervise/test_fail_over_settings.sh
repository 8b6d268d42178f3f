#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What is refused under fail_over:, with the place and what would be right; nothing is started.
. "$(dirname "$0")/../tap.sh"

checks='checks: [{name: first, tcp: "127.0.0.1:1"}, {name: second, tcp: "127.0.0.1:2"}]'
pair='candidates: [{name: one, address: "127.0.0.1:1", check: first}, {name: two, address: "127.0.0.1:2", check: second}]'
refuses() { # refuses WHAT PATTERN KEYS: the keys of the fail-over `db`
    printf '%s\nnotify: {pager: {type: stderr}}\nfail_over:\n  db: {%s}\n' "$checks" "$3" >c.yaml
    code "$1: exit code 2" 2 timeout 20 "$HARDY" supervise -c c.yaml
    like "$1" "$err" "^hardy supervise: c\.yaml:4:[0-9]+: $2"
    code "$1: validate" 2 "$HARDY" validate c.yaml
    like "$1: validate" "$out" "^c\.yaml:4:[0-9]+: $2"
}

refuses 'no candidates' 'fail_over `db`: candidates: at least two are needed, the primary first$' 'after: 1s'
refuses 'one candidate' 'fail_over `db`: candidates: at least two' \
    'candidates: [{name: one, address: "127.0.0.1:1", check: first}]'
refuses 'a candidate without a check' '.*check' \
    'candidates: [{name: one, address: "127.0.0.1:1"}, {name: two, address: "127.0.0.1:2", check: second}]'
refuses 'one name for two' 'fail_over `db`: there are two candidates of the name `one`$' \
    'candidates: [{name: one, address: "127.0.0.1:1", check: first}, {name: one, address: "127.0.0.1:2", check: second}]'
refuses 'one check for two' 'fail_over `db`: `one` and `two` have the same check, `first`: each candidate needs its own$' \
    'candidates: [{name: one, address: "127.0.0.1:1", check: first}, {name: two, address: "127.0.0.1:2", check: first}]'
refuses 'a check that is not there' 'fail_over `db`, candidate `two`, names `secnd`, which is not under checks: \(did you mean `second`\?\)$' \
    'candidates: [{name: one, address: "127.0.0.1:1", check: first}, {name: two, address: "127.0.0.1:2", check: secnd}]'
refuses 'a place to tell that is not there' 'fail_over `db`, escalate, names `pagre`, which is not under notify: \(did you mean `pager`\?\)$' \
    "$pair, escalate: [pagre]"
refuses 'listening on nothing' 'fail_over `db`: listen: `6379` is not HOST:PORT, such as 127.0.0.1:6380$' "$pair, listen: \"6379\""
refuses 'listening for what has no port' 'fail_over `db`: connections cannot be handed on to `db1`' \
    'listen: "127.0.0.1:3", candidates: [{name: one, address: db1, check: first}, {name: two, address: "127.0.0.1:2", check: second}]'
refuses 'a probe that is not there' 'fail_over `db` says in_doubt: probe and has no probe$' "$pair, in_doubt: probe"
refuses 'an unknown key' 'unknown key `dwel` in fail_over\.db; did you mean `dwell`\?' "$pair, dwel: 1m"
refuses 'out of range' '.*passes' "$pair, passes: 0"
printf '%s\nfail_over: [x]\n' "$checks" >c.yaml
code 'a list: exit code 2' 2 timeout 20 "$HARDY" supervise -c c.yaml

# Every key there is, once.
cat >c.yaml <<YAML
$checks
notify: {pager: {type: stderr}}
fail_over:
  db:
    candidates:
      - {name: one, address: "127.0.0.1:1", check: first}
      - {name: two, address: "http://127.0.0.1:2/x", check: second}
    after: 1s
    dwell: 2m
    passes: 3
    fail_back: false
    listen: 127.0.0.1:3
    max_connections: 10
    connect_timeout: 1s
    drain: 5s
    run: ["true"]
    probe: ["true"]
    in_doubt: probe
    timeout: 10s
    file: active
    escalate: [pager]
    escalate_after: 1m
    severity: critical
    automation: act
YAML
code 'all of it is accepted' 0 "$HARDY" validate c.yaml
