#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A real Alertmanager pages the same far side as hardy does. What PagerDuty gets of both has the same required
# fields, types and words, and each of them keeps the key of a trouble from its begin to its end; Slack gets
# the text of both in JSON, and answers both alike.
home=$(cd "$(dirname "$0")/../.." && pwd)
. "$home/tests/notify/far_side.sh"
command -v prometheus-alertmanager >/dev/null || {
    skip "Alertmanager's pages and ours" 'prometheus-alertmanager is not here'
    exit 0
}

key=0123456789abcdef0123456789abcdef
am=$(free_port)
cat >am.yml <<EOY
global: {resolve_timeout: 5s}
route: {receiver: both, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}
receivers:
- name: both
  pagerduty_configs: [{routing_key: "$key", url: "http://127.0.0.1:$port/v2/enqueue", severity: error}]
  slack_configs: [{api_url: "http://127.0.0.1:$port/hook/am", channel: "#inc", send_resolved: true}]
EOY
timeout 100 prometheus-alertmanager --config.file=am.yml --storage.path=am --web.listen-address="127.0.0.1:$am" \
    --web.external-url="http://127.0.0.1:$am" --cluster.listen-address= >am.log 2>&1 &
others=$!
ready() { curl -sf "http://127.0.0.1:$am/-/ready" >none; }
ok 'Alertmanager is ready' wait_for ready

alert() { # alert SECONDS: it ends so much later
    curl -sf -H 'Content-Type: application/json' -o none "http://127.0.0.1:$am/api/v2/alerts" -d "[{\"labels\":
        {\"alertname\": \"WebDown\", \"severity\": \"critical\"}, \"annotations\": {\"summary\": \"web is down\"},
        \"startsAt\": \"$(date -u -d '-1 minute' +%FT%TZ)\", \"endsAt\": \"$(date -u -d "$1 seconds" +%FT%TZ)\"}]"
}
has() { [ "$(wc -l <got)" -ge "$1" ]; }
ok 'an alert begins' alert 60
wait_for has 2
ok 'and ends' alert -1
wait_for has 4
mv got theirs
: >got

cat >hardy.yaml <<EOY
notify:
  duty: {type: pagerduty, routing_key: "$key", url: "http://127.0.0.1:$port/v2/enqueue", client_url: "http://127.0.0.1:1/"}
  room: {type: slack, url: "http://127.0.0.1:$port/hook/hardy"}
EOY
code 'hardy pages PagerDuty' 0 timeout 20 "$HARDY" notify test duty
code 'hardy tells Slack' 0 timeout 20 "$HARDY" notify test room
mv got ours

python3 - >verdict <<'PY'
import json


def read(name):
    rows = [json.loads(line) for line in open(name)]
    return ([r for r in rows if r["path"] == "/v2/enqueue"], [r for r in rows if r["path"].startswith("/hook")])


def shape(value):
    return {k: shape(v) for k, v in value.items()} if isinstance(value, dict) else type(value).__name__


def say(good, what):
    print("ok" if good else "not ok", what)


(am, am_slack), (our, our_slack) = read("theirs"), read("ours")
actions = ["trigger", "resolve"]
for who, events in (("Alertmanager", am), ("hardy", our)):
    say([e["body"]["event_action"] for e in events] == actions, f"{who}: a trigger and a resolve")
    say(len({e["body"]["dedup_key"] for e in events}) == 1, f"{who}: under one key")
required = {"routing_key": "str", "event_action": "str", "dedup_key": "str"}
payload = {"summary": "str", "source": "str", "severity": "str"}
severities = {"critical", "error", "warning", "info"}
known = {"routing_key", "event_action", "dedup_key", "payload", "client", "client_url", "links", "images"}
known_payload = {"summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"}
for theirs, ours in zip(am, our):
    action = ours["body"]["event_action"]
    for fields, t, o in ((required, theirs["body"], ours["body"]),
                         (payload, theirs["body"]["payload"], ours["body"]["payload"])):
        for field, kind in fields.items():
            say(shape(t).get(field) == kind == shape(o).get(field), f"{action}: {field} is {kind} in both")
    both = ours["body"].keys() & theirs["body"].keys()
    say(all(shape(ours["body"])[k] == shape(theirs["body"])[k] for k in both - {"payload"}),
        f"{action}: what both send besides is of one type: {sorted(both)}")
    for who, body in (("Alertmanager", theirs["body"]), ("hardy", ours["body"])):
        say(body["payload"]["severity"] in severities, f"{action}: {who} has a severity that PagerDuty knows")
        say(body.keys() <= known and body["payload"].keys() <= known_payload, f"{action}: {who} sends nothing unknown")
    say(ours["body"]["routing_key"] == theirs["body"]["routing_key"], f"{action}: the routing key of both is the same")
    say(ours["headers"]["Content-Type"] == theirs["headers"]["Content-Type"] == "application/json",
        f"{action}: both are JSON")
say(len(am_slack) == len(our_slack) == 2, "Slack: two messages of each")
for theirs, ours in zip(am_slack, our_slack):
    say(ours["headers"]["Content-Type"].startswith("application/json") and
        theirs["headers"]["Content-Type"].startswith("application/json"), "Slack: both are JSON")
    say(isinstance(ours["body"]["text"], str) and isinstance(theirs["body"]["attachments"][0]["fallback"], str),
        "Slack: each has a text for notifications")
PY
while read -r line; do
    case $line in
    ok*) ok "${line#ok }" true ;;
    *) ok "${line#not ok }" false ;;
    esac
done <verdict
ok 'all was compared' test "$(wc -l <verdict)" -eq 35
