#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy validate --checklist: what holds, what does not, and that the lines to add make it hold.
. "$(dirname "$0")/../tap.sh"

cat >bare.yaml <<'YAML'
guards:
  bare: {}
  rough: {retry: {jitter: none, budget: off}}
  decided: {deadline: 2m, retry: off, breaker: off}
  none: {deadline: 2m, retry: {max_retries: 0}}
upstreams: {tool: {url: "http://127.0.0.1:9"}}
degrade: {gatherings: {g: {components: {c: {command: [x], cache: 0s}, d: {command: [x], strategy: fail_fast}}}}}
supervise: {child: {command: [x]}}
heal: {services: {s: {checks: [k], actions: {restart: {run: [x]}}, remedies: [{actions: [restart]}]}}}
state: memory
checks: [{name: k, tcp: "127.0.0.1:1"}]
YAML
# The same with every line that was missing.
cat >mended.yaml <<'YAML'
guards:
  bare: {timeout: 30s, deadline: 5m}
  rough: {retry: {jitter: full, budget: {ratio: 0.1, floor: 10/s}}, timeout: 30s, deadline: 5m}
  decided: {deadline: 2m, retry: off, breaker: off}
  none: {deadline: 2m, retry: {max_retries: 0}}
upstreams: {tool: {url: "http://127.0.0.1:9"}}
degrade: {gatherings: {g: {components: {c: {command: [x], guard: bare, cache: 1h}, d: {command: [x], strategy: fail_fast, guard: bare}}}}}
supervise: {child: {command: [x], ready: "tcp 127.0.0.1:8080", escalate: [pager]}}
heal: {services: {s: {checks: [k], actions: {restart: {run: [x], probe: [./is-done], in_doubt: probe}}, remedies: [{actions: [restart]}], escalate: [pager]}}}
state: hardy.db
checks: [{name: k, tcp: "127.0.0.1:5432"}]
notify: {pager: {type: webhook, url: "https://example.com/page"}}
health: {listen: "0.0.0.0:4275"}
YAML

code 'a bare configuration' 0 "$HARDY" validate --checklist bare.yaml
lines=$(sed -n '/^  guard bare$/,/^  guard none$/p; /^  upstream tool$/,$p' <<<"$out")
is 'item by item' "$lines" '  guard bare
    no   an attempt that hangs is ended
         add timeout: 30s
    no   the whole has a deadline
         add deadline: 5m
    yes  what can pass is tried again
    yes  retries are spread by jitter
    yes  retries have a budget
    yes  a breaker spares what is away
  guard rough
    no   an attempt that hangs is ended
         add timeout: 30s
    no   the whole has a deadline
         add deadline: 5m
    yes  what can pass is tried again
    no   retries are spread by jitter
         add retry: {jitter: full}
    no   retries have a budget
         add retry: {budget: {ratio: 0.1, floor: 10/s}}
    yes  a breaker spares what is away
  guard decided
    yes  an attempt that hangs is ended
    yes  the whole has a deadline
    off  what can pass is tried again
    off  a breaker spares what is away
  guard none
  upstream tool
    yes  an attempt that hangs is ended
    yes  the whole has a deadline
    yes  what can pass is tried again
    yes  retries are spread by jitter
    yes  retries have a budget
    yes  a breaker spares what is away
  component c of g
    no   it is asked under a guard
         add guard: NAME
    no   something stands in for it
         add cache: 1h
  component d of g
    no   it is asked under a guard
         add guard: NAME
    off  something stands in for it
  service s
    no   a person is told when it is not mended
         add escalate: [NAME]
  action restart of s
    no   a doubt how it ended is settled without a person
         add probe: [./is-done], in_doubt: probe
  child child
    no   it is ready when it says or shows it
         add ready: "tcp 127.0.0.1:8080"
    no   a person is told when it is given up
         add escalate: [NAME]
  the whole
    no   an orchestrator can ask /health/live and /health/ready
         add health: {listen: "0.0.0.0:4275"}
    yes  something is looked at before callers notice
    no   a person can be told
         add notify: {pager: {type: webhook, url: "https://example.com/page"}}
    no   the state outlasts a restart
         add state: hardy.db
  18 of 34 hold'
code 'with the lines added' 0 "$HARDY" validate --checklist mended.yaml
unlike 'nothing is missing' "$out" '^    no '
like 'which is counted' "$out" '^  ([0-9]+) of \1 hold$'
like 'and warned of nothing' "$out" '^mended.yaml: a configuration, nothing wrong$'
code 'not asked for' 0 "$HARDY" validate bare.yaml
unlike 'it is not there' "$out" 'hold|^ '

cat >flow.yaml <<'YAML'
name: flow
steps:
  - {name: bare, run: [x]}
  - {name: whole, run: [x], probe: [y], timeout: 5m, retry: {max_retries: 3}}
  - {name: guarded, run: [x], probe: [y], guard: decided}
  - {name: up, until: [x]}
  - {name: rest, sleep: 1s}
YAML
code 'a workflow' 0 "$HARDY" validate --checklist -c mended.yaml flow.yaml
is 'step by step' "$(sed 1d <<<"$out")" '  step bare
    no   an attempt that hangs is ended
         add timeout: 5m
    no   a doubt how it ended is settled without a person
         add probe: [./find-it]
    no   what can pass is tried again
         add retry: {max_retries: 3}
  step whole
    yes  an attempt that hangs is ended
    yes  a doubt how it ended is settled without a person
    yes  what can pass is tried again
  step guarded
    yes  an attempt that hangs is ended
    yes  a doubt how it ended is settled without a person
    off  what can pass is tried again
  step up
    no   an attempt that hangs is ended
         add timeout: 5m
  5 of 9 hold'

code 'as JSON' 0 "$HARDY" validate --checklist --json bare.yaml
is 'one document' "$(python3 -c '
import json, sys
d = json.load(sys.stdin)[0]
print(d["ok"], len(d["checklist"]), [i for i in d["checklist"] if i["holds"] is None][0]["of"], d["checklist"][0])' <<<"$out")" \
    "True 38 guard decided {'of': 'guard bare', 'item': 'an attempt that hangs is ended', 'holds': False, 'add': 'timeout: 30s'}"
echo 'guards: {a: {timeout: 5}}' >wrong.yaml
code 'what is wrong is told first' 2 "$HARDY" validate --checklist wrong.yaml
unlike 'and has no checklist' "$out" 'hold'
