#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The admin API about what hardy keeps its hands off, and about incidents.
. "$(dirname "$0")/support.sh"
export TZ=UTC
cat >c.yaml <<END
upstreams: {plain: {url: "$upstream/ok"}}
checks: [{name: up, command: ["false"], interval: 50ms, timeout: 50ms, failure_threshold: 1}]
incidents:
  services:
    web:
      check: up
      rules: [{name: r, when: "true", cause: it is down, actions: [mend]}]
      actions: {mend: {run: ["true"]}}
END
serve -c c.yaml
good=(-H 'content-type: application/json' -H "authorization: Bearer $(cat run/hardy/token)")
say() { # say pause|resume BODY
    ask -X POST "$admin/api/v1/$1" "${good[@]}" -d "$2"
}
paused() { ask "$admin/api/v1/${1:-pause}" && json '[(p["target"], p["by"], p["who"], p["reason"]) for p in d["paused"]]'; }
metric() { curl -s --max-time 20 "$admin/metrics" | grep -F "$1" | grep -v '^#'; }

# --- who may
ask -X POST "$admin/api/v1/pause" -H 'content-type: application/json' -d '{}'
is 'without the token' "$status" 401
ask -X POST "$admin/api/v1/resume" -H "authorization: Bearer $(cat run/hardy/token)" -d '{}'
is 'without the type' "$status" 415
is 'nothing is paused' "$(paused)" '[]'
is 'as a metric' "$(metric hardy_paused)" 'hardy_paused{target="*"} 0'

# --- pause
say pause '{"target": "web", "for": "2h", "reason": "new disks", "by": "ada"}'
is 'a service' "$status $(json '(d["target"], d["who"], d["reason"], d["until"] > d["at"])')" "200 ('web', 'ada', 'new disks', True)"
is 'is told' "$(paused)" "[('web', 'person', 'ada', 'new disks')]"
is 'in the status too' "$(paused status)" "[('web', 'person', 'ada', 'new disks')]"
is 'as metrics' "$(metric hardy_paused)" 'hardy_paused{target="web"} 1
hardy_paused{target="*"} 0'
ok 'and logged' logged '^warning paused by hand .*target=web by=ada'
code 'the commands see it' 0 "$HARDY" status -c c.yaml --admin "${admin#http://}"
like 'first of all' "$(sed -n 1p <<<"$out")" '^hands off  web is paused by ada until .*: new disks$'
say pause '{}'
is 'everything, by nobody in particular' "$status $(json '(d["target"], d["who"], d["until"])')" "200 ('*', 'the admin API', None)"
is 'as a metric' "$(metric 'hardy_paused{target="*"}')" 'hardy_paused{target="*"} 1'
say pause '{"target": "wob"}'
is 'a name that stands for nothing' "$status" 404
like 'the nearest' "$body" 'did you mean `web`\?'
say pause '{"target": "wob", "force": true}'
is 'by force' "$status $(json 'd["target"]')" '200 wob'
say resume '{"target": "wob"}'
is 'and it is ended' "$status" 200
say pause '{"target": "web", "for": "2"}'
is 'no duration' "$status" 400
say pause '{"for": "0s"}'
is 'no time at all' "$status" 400
say pause '{"traget": "web"}'
is 'an unknown member' "$status" 400
say pause '{"target": 1}'
is 'no text' "$status" 400

# --- resume
say resume '{"target": "web", "by": "bob"}'
is 'resume' "$status $(json '(d["target"], d["resumed"], d["by"])')" "200 ('web', True, 'bob')"
say resume '{"target": "web"}'
is 'what is not paused' "$status" 404
like 'what is' "$body" 'web is not paused; paused: everything'
say resume '{}'
is 'everything' "$status" 200
is 'nothing is paused' "$(paused)" '[]'
say resume '{"for": "1h"}'
is 'resume is not for a while' "$status" 400

# --- windows: read again with the file
cat >>c.yaml <<END
maintenance: [{targets: [web], from: "00:00", to: "00:00", zone: utc, reason: move}]
END
kill -HUP "$daemon"
ok 'the file is read again' wait_for logged 'configuration loaded'
is 'a window' "$(paused)" "[('web', 'window', None, 'move')]"
is 'as metrics' "$(metric hardy_maintenance)" 'hardy_maintenance{target="web"} 1
hardy_maintenance{target="*"} 0'
sed -i 's/from: "00:00"/from: "24:00"/' c.yaml
kill -HUP "$daemon"
ok 'one that is wrong is refused' wait_for logged 'configuration refused.*no time of day'
is 'and the old one goes on' "$(paused)" "[('web', 'window', None, 'move')]"
sed -i 's/from: "24:00"/from: "00:00"/' c.yaml

# --- incidents
ask "$admin/api/v1/incidents"
is 'no incidents' "$status $body" '200 {"incidents":[]}'
code 'one is opened' 3 timeout 20 "$HARDY" incidents handle -c c.yaml --service web
ask "$admin/api/v1/incidents"
is 'the list is that of the command' "$(json 'd["incidents"]')" "$("$HARDY" incidents list -c c.yaml --json | python3 -c 'import json, sys; print(json.load(sys.stdin))')"
id=$(json 'd["incidents"][0]["id"]')
ask "$admin/api/v1/incidents/$id"
is 'one is that of the command' "$(json 'd')" "$("$HARDY" incidents show "$id" -c c.yaml --json | python3 -c 'import json, sys; print(json.load(sys.stdin))')"
is 'with what happened' "$(json 'd["timeline"][0]["what"]')" opened
ask "$admin/api/v1/incidents/inc-0"
is 'no such incident' "$status" 404
ask "$admin/api/v1/incidents?n=0"
is 'no such number' "$status" 400
end
is 'the end' "$code" 0
