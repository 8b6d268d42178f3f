#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What hardy serve does besides serving: it heals, keeps a child running, fails over; also after a kill,
# and with another configuration.
. "$(dirname "$0")/support.sh"
export HARDY_STATE=$work/state/hardy.db
cat >child.sh <<'END'
#!/bin/sh
echo $$ >>pids
exec sleep 1000
END
chmod +x child.sh
touch well first
configure() { # configure AUTOMATION
    cat >c.yaml <<END
automation: $1
upstreams: {plain: {url: "$upstream/ok"}}
checks:
  - {name: shop, command: [test, -e, well], interval: 100ms, timeout: 90ms, failure_threshold: 2, success_threshold: 1, grace: 0s, critical: true}
  - {name: first, command: [test, -e, first], interval: 100ms, timeout: 90ms, failure_threshold: 1, success_threshold: 1, grace: 0s}
  - {name: second, command: ["true"], interval: 100ms, timeout: 90ms, success_threshold: 1}
notify: {screen: {type: stderr}}
heal:
  services:
    shop:
      escalate: [screen]
      verify: {passes: 2, window: 1s}
      pause: 100ms
      remedies: [{actions: [restart, mend]}]
      actions:
        restart: {restart: worker, cooldown: 0s}
        mend: {run: [touch, well], cooldown: 0s}
supervise:
  worker: {command: [./child.sh], critical: true, min_uptime: 100ms}
fail_over:
  db:
    after: 200ms
    dwell: 1s
    file: active
    candidates:
      - {name: one, address: "127.0.0.1:1", check: first}
      - {name: two, address: "127.0.0.1:2", check: second}
END
}
child() { ask "$admin/api/v1/children" && json '[(c["name"], c["state"], c["pid"] or 0) for c in d["children"]][0]['"$1"']'; }
is_child() { [ "$(child "$1")" = "$2" ]; }
pid() { child 2; }
is_level() { # is_level CHECK LEVEL
    ask "$admin/api/v1/checks" && [ "$(json "[c['level'] for c in d['checks'] if c['name'] == '$1'][0]")" = "$2" ]
}

configure act
serve -c c.yaml
ok 'the child runs' wait_for is_child 1 ready
ok 'the checks are known' wait_for is_level shop up
ask "$admin/health/ready"
is 'ready' "$status" 200
is 'the primary is active' "$(cat active)" 127.0.0.1:1

# --- a child that dies, and one that a remedy restarts
before=$(pid)
kill -9 "$before"
again() { [ "$(pid)" != "$before" ] && [ "$(pid)" != 0 ]; }
ok 'it is started again' wait_for again
ok 'and that is logged' logged 'about=worker'
before=$(pid)
rm well
ok 'the service is healed' wait_for logged '^info resolved .*about=shop.*mend helped'
ok 'the first remedy restarted the child' logged 'restart done: worker is being restarted'
ok 'with another pid' again
ask "$admin/api/v1/incidents"
is 'one incident' "$(json '[(i["service"], i["state"]) for i in d["incidents"]]')" "[('shop', 'resolved')]"

# --- fail-over
rm first
switched() { grep -q :2 active; }
ok 'the backup is active' wait_for switched
ask "$admin/api/v1/fail_over"
is 'and told' "$(json 'd["fail_over"][0]["active"]')" two
like 'in the metrics too' "$(curl -s --max-time 20 "$admin/metrics")" 'hardy_fail_over_'
touch first

# --- killed: the child is adopted, not started twice
before=$(pid)
starts=$(wc -l <pids)
{ kill -9 "$daemon"; wait "$daemon"; } 2>/dev/null
serve -c c.yaml
ok 'the next one has it' wait_for is_child 2 "$before"
is 'it was not started again' "$(wc -l <pids)" "$starts"

# --- another configuration: what is known of the checks stays
ok 'known' wait_for is_level shop up
configure observe
kill -HUP "$daemon"
wait_for logged 'configuration loaded'
ok 'known still' is_level shop up
is 'the child is the same' "$(pid)" "$before"
rm well
ok 'now it only proposes' wait_for logged 'proposed .*about=shop'
ask "$admin/health/ready"
is 'not ready' "$status" 503
sed -i 's/, supervise/&/; s/min_uptime: 100ms/min_uptime: 200ms/' c.yaml
kill -HUP "$daemon"
ok 'children want a restart of hardy' wait_for logged 'this change needs a restart.*supervise'
sed -i 's/checks: /checkss: /; s/^checks:/chekcs:/' c.yaml
kill -HUP "$daemon"
ok 'a broken one is refused' wait_for logged 'configuration refused'
is 'and the child still runs' "$(pid)" "$before"

# --- the end: the children end with it
end
is 'TERM ends it' "$code" 0
runs() { grep -qs '^State:.[^Z]' "/proc/$1/status"; } # whoever has adopted it may not have looked yet
not_ok 'and the child' runs "$before"

# --- without a state on disk there is nothing to go by
configure observe
serve -c c.yaml --state memory
ok 'that is said' logged 'nothing is healed, supervised or failed over.*it needs a state that is a file'
ask "$admin/health/live"
is 'and the rest is served' "$status" 200
ok 'the checks too' wait_for is_level second up
end
