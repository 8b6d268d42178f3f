#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What is refused under supervise:, with the place and what would be right; nothing is started. And what
# `hardy supervise explain` says of what is right.
home=$(cd "$(dirname "$0")/../.." && pwd)
. "$home/tests/tap.sh"
guide=$home/docs/supervise.md

refuses() { # refuses WHAT PATTERN KEYS: the keys of the child `web`
    printf 'checks: [{name: up, tcp: "127.0.0.1:1"}]\nnotify: {pager: {type: stderr}}\nsupervise:\n  web: {%s}\n' "$3" >c.yaml
    code "$1: exit code 2" 2 timeout 20 "$HARDY" supervise -c c.yaml
    like "$1" "$err" "^hardy supervise: c\.yaml:4:[0-9]+: $2"
    code "$1: validate" 2 "$HARDY" validate c.yaml
    like "$1: validate" "$out" "^c\.yaml:4:[0-9]+: $2"
}
refuses 'no command' '.command. is missing in supervise.web' 'restart: always'
refuses 'an unknown readiness' 'child `web`: ready: `port 80` is none of notify, tcp HOST:PORT, check NAME, none$' 'command: ["true"], ready: port 80'
refuses 'no port' 'child `web`: ready: `tcp localhost` is none of' 'command: ["true"], ready: tcp localhost'
refuses 'a check that is not there' 'child `web`: there is no check `upp`$' 'command: ["true"], ready: check upp'
refuses 'a place to tell that is not there' 'child `web`: escalate: there is no `pagre` under notify:$' 'command: ["true"], escalate: [pagre]'
refuses 'after one that is not there' 'child `web`: after: there is no child `db`$' 'command: ["true"], after: db'
refuses 'after itself' 'child `web`: after: it would have to start after itself' 'command: ["true"], after: web'
refuses 'no such signal' 'child `web`: stop: there is no signal `TREM`$' 'command: ["true"], stop: TREM'
refuses 'no such signal to reload' 'child `web`: reload: there is no signal `HUPP`$' 'command: ["true"], reload: HUPP'
refuses 'two ways to reload' 'child `web`: reload: signal or command, not both$' 'command: ["true"], reload: {signal: HUP, command: ["true"]}'
refuses 'a delay that cannot grow' 'child `web`: backoff: max is below min$' 'command: ["true"], backoff: {min: 2s, max: 1s}'
refuses 'a rest too short' 'child `web`: retry_after: it is below intensity.within' 'command: ["true"], retry_after: 30s'
refuses 'no exit code' 'child `web`: never_restart_on: `300` is no exit code \(0 to 255\)$' 'command: ["true"], never_restart_on: [300]'
refuses 'no way to die' 'child `web`: permanent_if: `BOOM` is neither a signal nor a code$' 'command: ["true"], permanent_if: {on: [BOOM]}'
refuses 'env is no list' 'child `web`: env: a map' 'command: ["true"], env: [A=1]'
refuses 'an unknown key' 'unknown key `comand` in supervise\.web; did you mean `command`\?' 'comand: ["true"]'
printf 'supervise:\n  a: {command: ["true"], after: b}\n  b: {command: ["true"], after: c}\n  c: {command: ["true"], after: a}\n' >c.yaml
code 'a circle' 2 "$HARDY" validate c.yaml
like 'a circle is told' "$out" '^c.yaml:2:[0-9]+: child `a`: after: it would have to start after itself, or after one that would$'
printf 'supervise: [x]\n' >c.yaml
code 'a list: exit code 2' 2 timeout 20 "$HARDY" supervise -c c.yaml

# The guide's example.
awk '/^```yaml/ { on = 1; next } /^```/ { on = 0 } on' "$guide" >guide.yaml
code "the guide's example" 0 "$HARDY" validate guide.yaml
is "the guide's example has no warnings" "$out" 'guide.yaml: a configuration, nothing wrong'
code "the guide's schedule" 0 "$HARDY" supervise explain -c guide.yaml api
is 'is what is printed' "$out" "$(sed -n '/^api: restart/,/^  ready for/p' "$guide")"

# Every key there is, once.
cat >c.yaml <<'YAML'
checks: [{name: up, tcp: "127.0.0.1:1"}]
notify: {pager: {type: stderr}}
supervise:
  db: {command: ["db"]}
  web:
    command: ["./web", "--port", "80"]
    cwd: .
    env: {A: "1", B: two}
    after: [db]
    ready: check up
    start_timeout: 10s
    min_uptime: 2s
    restart: on_failure
    backoff: {min: 1s, max: 8s, steps: 3, jitter: 0}
    reset_after: 30s
    intensity: {restarts: 4, within: 2m}
    on_exhausted: delay
    retry_after: 5m
    never_restart_on: [2, 3]
    permanent_if: {deaths: 3, within: 30s, on: [SEGV, 139]}
    stop: {signal: INT, timeout: 3s}
    watchdog: 5s
    reload: {signal: HUP}
    log: {file: web.log, max_size: 1MiB, keep: 2}
    critical: true
    restart_dependents: true
    escalate: [pager]
YAML
code 'every key at once' 0 "$HARDY" validate c.yaml
is 'without a warning' "$out" 'c.yaml: a configuration, nothing wrong'

code 'explain' 0 "$HARDY" supervise explain -c c.yaml web
is 'explain tells the schedule' "$out" 'web: restart: on_failure
  when it lives for no time each time and fails:
  restart  delay               after the first start
        1  1s                  1s
        2  2s                  3s
        3  4s                  7s
        4  8s                  15s
  more than 4 restarts within 2m are too many: reached after 15s; then a person is told, and it is tried again every 5m
  ready for 1s it is restarted at once, the first time; ready for 30s the delays begin anew'
code 'explain with a life' 0 "$HARDY" supervise explain -c c.yaml --life 1m web
like 'who lives long enough is restarted for ever' "$out" '  it never has more than 4 restarts within 2m, and is restarted for ever$'
is 'the delays that are alike are told once' "$(grep -c '  at once  ' <<<"$out") $(grep -c '^      \.\.\.$' <<<"$out")" '2 1'
code 'explain as JSON' 0 "$HARDY" supervise explain -c c.yaml --json
is 'the same as JSON' "$(python3 -c 'import json, sys
web = json.load(sys.stdin)[1]
print(web["name"], [r["delay_min_s"] for r in web["restarts"]], web["exhausted"])' <<<"$out")" \
    "web [1, 2, 4, 8] {'at_min_s': 15, 'at_max_s': 15, 'retry_after_s': 300}"
code 'explain of nobody' 2 "$HARDY" supervise explain -c c.yaml wbe
code 'a command needs its dashes' 2 "$HARDY" supervise -c c.yaml sleep 1
like 'and is told so' "$err" 'a command to supervise stands after --'
code 'options of a command without one' 2 "$HARDY" supervise -c c.yaml --restart never
