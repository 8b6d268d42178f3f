#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The end: what is being answered is answered, who comes late is told to come again, and it is over in
# bounded time.
. "$(dirname "$0")/support.sh"

cat >c.yaml <<END
gateway: {drain: 20s}
upstreams:
  anthropic: {url: "$upstream/held", protocol: anthropic}
  endless:   {url: "$upstream/endless", protocol: anthropic}
  mute:      {url: "$upstream/mute", protocol: anthropic}
  ok:        {url: "$upstream/ok", protocol: anthropic}
END

stream() { # stream NAME: in the background, into the file NAME
    curl -sN --max-time 20 -o "$1" -w '%{http_code}' "$gateway/$1/v1/messages" -H 'content-type: application/json' \
        -d '{"model":"claude-test","max_tokens":10,"stream":true}' >"$1.status" &
    client=$!
    wait_for grep -qs content_block_delta "$1"
}

# An agent whose connection is open already: asks when the file `late` is there, tells what it got.
cat >late.py <<'END'
import http.client, os, sys, time
c = http.client.HTTPConnection(sys.argv[1])
c.request('HEAD', '/ok')
c.getresponse().read()
print('open', flush=True)
while not os.path.exists('late'):
    time.sleep(0.01)
c.request('POST', '/ok/v1/messages', '{"model":"claude-test","max_tokens":10}', {'content-type': 'application/json'})
r = c.getresponse()
print(r.status, r.getheader('retry-after'), r.getheader('x-should-retry'), r.read().decode())
END

# --- SIGTERM while a stream runs
serve -c c.yaml
python3 late.py "${gateway#http://}" >late.out 2>&1 &
late=$!
wait_for grep -q open late.out
stream anthropic
kill -TERM "$daemon"
wait_for logged '^info shutting down requests=1$'
touch late
wait "$late"
like 'a late request is told to come again' "$(sed -n 2p late.out)" '^529 [1-9][0-9]? None \{"type":"error","error":\{"type":"overloaded_error"'
retry=$(sed -n 2p late.out | cut -d' ' -f2)
ok 'within what agents obey' test "$retry" -ge 1 -a "$retry" -le 59
ask "$admin/health/ready"
is 'not ready at once' "$status $(json 'd["status"], d["output"]')" "503 ('fail', 'hardy is shutting down')"
ask "$admin/health/live"
is 'live while it ends' "$status" 200
ask "$admin/api/v1/status"
is 'the API tells it' "$(json '(d["gateway"]["state"], d["ready"])')" "('draining', False)"
ask "$admin/metrics"
like 'so do the metrics' "$body" '^hardy_gateway_draining 1$'
ask "$gateway/ok/v1/messages" -d 1
is 'nobody new is let in' "$status" 000
ok 'it does not end before the stream' kill -0 "$daemon"
from=$(milliseconds)
touch upstream/finish
wait "$client"
is 'the stream is whole' "$(cat anthropic.status) $(grep -c '^event: content_block_delta' anthropic) $(grep -c '^event: message_stop' anthropic)" '200 15 1'
ended_by_itself
took=$(($(milliseconds) - from))
is 'exit 0' "$code" 0
ok "soon after the stream ($took ms)" test "$took" -lt 5000

# --- what does not end by itself
sed -i 's/drain: 20s/drain: 500ms/' c.yaml
serve -c c.yaml
stream endless
end TERM
wait "$client"
is 'at the limit of drain it is over' "$code" 0
ok "within a few seconds ($took ms)" test "$took" -ge 450 -a "$took" -lt 6000
like "the stream ends with its protocol's error" "$(grep -A1 '^event: error' endless)" \
    '^data: \{"type":"error","error":\{"type":"overloaded_error","message":"hardy: .*shutting down'
is 'as a whole answer' "$(cat endless.status)" 200
ok 'the upstream saw that nobody listens' wait_for grep -q endless upstream/left

message_in_background() { # what came back in mute.status
    curl -s --max-time 20 -o mute -D mute.head -w '%{http_code}' "$gateway/mute/v1/messages" -H 'content-type: application/json' \
        -d '{"model":"claude-test","max_tokens":10}' >mute.status &
    client=$!
    wait_for sh -c "curl -s '$admin/api/v1/requests' | grep -q '\"upstream\":\"mute\"'"
}
serve -c c.yaml
message_in_background
end TERM
wait "$client"
like 'who has got no answer by then comes again' "$(cat mute.status) $(tr -d '\r' <mute.head | sed -n 's/^retry-after: //p')" '^529 [1-9][0-9]?$'
is 'exit 0 then too' "$code" 0

# --- a second signal
sed -i 's/drain: 500ms/drain: 1h/' c.yaml
serve -c c.yaml
stream endless
kill -TERM "$daemon"
wait_for logged '^info shutting down'
end TERM
is 'a second SIGTERM ends it at once' "$code" 143
wait "$client"
serve -c c.yaml
stream endless
kill -TERM "$daemon"
wait_for logged '^info shutting down'
end INT
is 'so does Ctrl-C' "$code" 130
wait "$client"

# --- somebody follows the requests
serve -c c.yaml
curl -sN --max-time 20 "$admin/api/v1/requests?follow=1" >followed &
follower=$!
sleep 0.3
end TERM
wait "$follower"
is 'who follows sees a clean end' "$?" 0
ok "and does not hold it up ($took ms)" test "$took" -lt 4000
is 'exit 0 at last' "$code" 0
