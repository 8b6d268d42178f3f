#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What hardy supervise refuses, with the place and what would be right; nothing is started.
. "$(dirname "$0")/../tap.sh"
PATH=$PATH:/usr/sbin:/sbin

refuses() { # refuses WHAT PATTERN: the configuration on standard input
    cat >c.yaml
    code "$1: exit code 2" 2 timeout 20 "$HARDY" supervise -c c.yaml --once
    like "$1" "$err" "$2"
    is "$1: nothing on standard output" "$out" ''
}

refuses 'a check that does not exist' '^hardy supervise: c.yaml:4:18: service `web` names the check `we`, which is not under checks: \(did you mean `web`\?\)$' <<'YAML'
checks: [{name: web, tcp: "127.0.0.1:1"}]
incidents:
  services:
    web: {check: we}
YAML
refuses 'a place that does not exist' '^hardy supervise: c.yaml:5:33: service `web` escalates to `pagre`, which is not under notify: \(did you mean `pager`\?\)$' <<'YAML'
checks: [{name: web, tcp: "127.0.0.1:1"}]
notify: {pager: {type: stderr}}
incidents:
  services:
    web: {check: web, escalate: [pagre]}
YAML
refuses 'every wrong name at once' 'escalates to `b`' <<'YAML'
checks: [{name: web, tcp: "127.0.0.1:1"}]
incidents: {services: {web: {check: web, escalate: [a, b]}}}
YAML
like 'the other one too' "$err" 'escalates to `a`'
refuses 'a remedy restarts a child that does not exist' "^hardy supervise: c.yaml:6:34: action .again. names .wep., which is not under supervise: .did you mean .web.\\?.\$" <<'YAML'
checks: [{name: web, tcp: "127.0.0.1:1"}]
supervise: {web: {command: ["true"]}}
heal:
  services:
    web:
      actions: {again: {restart: wep}, other: {fail_over: web}, third: {reload: web}}
YAML
like 'and one goes to a backup of nothing' "$err" 'c.yaml:6:59: action `other` names `web`, which is not under fail_over:$'
unlike 'what exists is not complained about' "$err" third
code 'validate says the same' 2 "$HARDY" validate c.yaml
is 'of both' "$(grep -c 'which is not under' <<<"$out")" 2
refuses 'no checks' 'nothing to watch: c.yaml has no checks:' <<'YAML'
incidents: {}
YAML
refuses 'no services, and --once' 'nothing to handle: c.yaml has no services under incidents:' <<'YAML'
checks: [{name: web, tcp: "127.0.0.1:1"}]
YAML
refuses 'broken YAML' '^hardy supervise: c.yaml:2:' <<'YAML'
checks: [{name: web, tcp: "127.0.0.1:1"}
incidents: }
YAML
refuses 'a wrong address to listen on' '^hardy supervise: c.yaml:2:18: health: `4275` is not HOST:PORT, such as 127.0.0.1:4275$' <<'YAML'
checks: [{name: web, tcp: "127.0.0.1:1"}]
health: {listen: "4275"}
YAML
refuses 'an unknown key at the top' 'did you mean `incidents`' <<'YAML'
checks: [{name: web, tcp: "127.0.0.1:1"}]
incident: {}
YAML
code 'no file' 2 timeout 20 "$HARDY" supervise --once
like 'no file: it is said' "$err" 'nothing to watch: there is no configuration file'
code 'a file that is not there' 2 timeout 20 "$HARDY" supervise -c gone.yaml --once
like 'it is named' "$err" 'gone.yaml'
printf 'checks: [{name: web, tcp: "127.0.0.1:1"}]\nhealth: {listen: "127.0.0.1:4275", host: x}\n' >c.yaml
code 'validate knows the section' 2 "$HARDY" validate c.yaml
like 'validate: the nearest key' "$out" 'c.yaml:2:36: unknown key `host` in health; did you mean `hosts`\?'
printf 'checks: [{name: web, tcp: "127.0.0.1:1"}]\nhealth: {listen: "nowhere"}\n' >c.yaml
code 'validate looks at the address' 2 "$HARDY" validate c.yaml
like 'validate: what would be right' "$out" 'c.yaml:2:18: health: `nowhere` is not HOST:PORT'
code 'an operand too much' 2 "$HARDY" supervise now
