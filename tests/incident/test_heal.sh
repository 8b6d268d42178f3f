#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# heal: with real checks and remedies: a request to a real server, a number of replicas, a person who is
# asked, and hardy killed while it waits for one.
. "$(dirname "$0")/../tap.sh"

cat >server.py <<'END'
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        with open("calls", "a") as f:
            f.write("%s %s %s %s\n" % (self.path, self.headers.get("Idempotency-Key"), self.headers.get("X-Why"), body))
        open("well", "w").close()
        self.send_response(200); self.end_headers()
    def log_message(self, *a): pass
s = http.server.HTTPServer(("127.0.0.1", 0), H)
print(s.server_port, flush=True)
s.serve_forever()
END
python3 server.py >port & server=$!
trap 'kill $server 2>/dev/null; tap_end' EXIT
wait_for test -s port

configure() { # configure AUTOMATION
    cat >hardy.yaml <<END
automation: $1
checks:
  - {name: shop, command: [test, -e, well], interval: 100ms, timeout: 90ms, failure_threshold: 2, success_threshold: 1, grace: 0s}
notify: {screen: {type: stderr}}
heal:
  services:
    shop:
      escalate: [screen]
      verify: {passes: 2, window: 5s}
      sources: {replicas: {command: [cat, replicas]}}
      remedies: [{actions: [call]}]
      actions:
        call: {http: {url: "http://127.0.0.1:$(cat port)/restart", body: "please", headers: ["X-Why: down"]}}
        grow: {run: "echo \$HARDY_SCALE_FROM \$HARDY_SCALE_TO >scaled; touch well", scale: {source: replicas, by: 3, max: 4}}
END
}
watch() { # watch NAME: in the background
    : >"$1.log"
    "$HARDY" supervise -c hardy.yaml >"$1.log" 2>&1 &
    watcher=$!
}
says() { grep -qE -- "$1" "$2.log"; }
stop() { kill -TERM "$watcher"; wait "$watcher" || :; }

# --- act: one request, which carries a key
touch well; echo 2 >replicas
configure act
code 'it is valid' 0 "$HARDY" validate hardy.yaml
watch act
wait_for says ' up ' act
rm well
wait_for says 'resolved .*call helped' act
like 'the request' "$(cat calls)" '^/restart "?[^ ]+"? down please$'
is 'once' "$(wc -l <calls)" 1
stop
id=$("$HARDY" incidents list --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["id"])')
code 'the whole story' 0 "$HARDY" incidents show "$id"
like 'of what the checks said' "$out" 'checks +fresh'
like 'the result is known' "$("$HARDY" incidents show "$id" --json)" '"level":"critical"'

# --- another configuration: HUP
before=$HARDY_STATE
export HARDY_STATE=$work/loading/hardy.db
watch hup
wait_for says ' up ' hup
sed -i 's/^automation: act/automation: observe/' hardy.yaml
kill -HUP "$watcher"
ok 'HUP loads it again' wait_for says 'configuration loaded again' hup
rm well
ok 'it only proposes now' wait_for says 'proposed +call' hup
sed -i 's/^heal:/heel:/' hardy.yaml
kill -HUP "$watcher"
ok 'a wrong one is refused' wait_for says 'configuration refused, the old one goes on' hup
like 'with its place' "$(cat hup.log)" 'hardy.yaml:[0-9]+:[0-9]+: .*heel'
ok 'and hardy still watches' kill -0 "$watcher"
touch well
stop
export HARDY_STATE=$before
configure act

# --- scale: the number is made of the evidence
sed -i 's/actions: \[call\]/actions: [grow]/' hardy.yaml
watch scale
wait_for says ' up ' scale
rm well
wait_for says 'resolved .*grow helped' scale
is 'from 2 to the most' "$(cat scaled)" '2 4'
stop

# --- ask: a person says yes; hardy was killed while it waited
configure ask
export HARDY_STATE=asking/hardy.db # the page tells the whole path of it
: >calls
watch ask
wait_for says ' up ' ask
rm well
wait_for says 'asked .*may call be run' ask
code 'hardy status' 0 "$HARDY" status --since 1h
like 'says it, too' "$out" '^  incident inc-[0-9a-f-]+: may call be run\? '
like 'with what to type' "$out" '^    hardy incidents approve inc-[0-9a-f-]+ call$'
like 'the page says what to type' "$(cat ask.log)" "PAGE \[screen\] shop: .*Type: hardy --state $work/asking/hardy.db incidents approve inc-[0-9a-f-]* call"
{ kill -9 "$watcher"; wait "$watcher"; } 2>/dev/null
id=$("$HARDY" incidents list --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["id"])')
like 'it is seen to wait' "$("$HARDY" incidents show "$id")" 'waits: may call be run'
code 'another remedy' 1 "$HARDY" incidents approve "$id" restart
like 'is not the one' "$err" "$id waits for the approval of call, not of restart"
code 'no such incident' 1 "$HARDY" incidents approve inc-none call
code 'approved' 0 "$HARDY" incidents approve "$id" call --comment 'go ahead'
code 'only once' 1 "$HARDY" incidents approve "$id" call --refuse
like 'by whom before' "$err" 'call of inc-.* was approved before, by '
is 'nothing ran yet' "$(wc -l <calls)" 0
watch again
wait_for says 'resolved .*call helped' again
like 'it says who' "$(cat again.log)" 'approved +call by '
is 'one request' "$(wc -l <calls)" 1
code 'over, nothing waits' 1 "$HARDY" incidents approve "$id" call
like 'as it says' "$err" 'is resolved, nothing of it waits for approval'
stop
code 'approve needs two' 2 "$HARDY" incidents approve "$id"
code '--refuse goes with approve' 2 "$HARDY" incidents list --refuse

# --- observe: what it would have done, by itself well again
configure observe
export HARDY_STATE=$work/observing/hardy.db
watch observe
wait_for says ' up ' observe
rm well
wait_for says 'proposed +call' observe
touch well
wait_for says 'resolved' observe
code 'last night' 0 "$HARDY" status --since 1h
like 'is told' "$out" 'call'
stop
