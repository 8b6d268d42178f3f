#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy run: steps that are requests, that make sure of a thing, that keep a text; secrets.
. "$(dirname "$0")/flow.sh"

# /STATUS: that status; /flaky: 503 once for each key, then 200; /lost: no answer; /json: an object.
# Every request is a line of JSON in `asked`.
cat >server.py <<'END'
import http.server, json, os, sys
seen = set()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *args): pass
    def answer(self):
        body = self.rfile.read(int(self.headers.get('content-length', 0))).decode()
        key = self.headers.get('idempotency-key')
        with open('asked', 'a') as f:
            f.write(json.dumps({'method': self.command, 'path': self.path, 'key': key, 'body': body,
                                'auth': self.headers.get('authorization')}) + '\n')
        what = self.path[1:].split('?')[0]
        if what == 'lost':
            self.connection.close()
            self.close_connection = True
            return
        status, text = 200, b'{"id": "srv-1", "key": "%s"}' % (key or '').strip('"').encode()
        if what == 'flaky' and key not in seen:
            seen.add(key)
            status, text = 503, b'later'
        elif what.isdigit():
            status = int(what)
        self.send_response(status)
        self.send_header('content-length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    do_GET = do_POST = do_PUT = do_DELETE = answer
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
END
python3 server.py >port 2>server.err &
server=$!
trap 'status=$?; { kill -9 $server; wait $server; } 2>/dev/null; (exit $status); tap_end' EXIT
wait_for test -s port || exit 1
export URL=http://127.0.0.1:$(cat port)
asked() { cat asked 2>/dev/null | wc -l; }

# --- requests
workflow http <<'END'
name: http
steps:
  - {name: get, http: "${{ env.URL }}/json"}
  - name: post
    http: {method: POST, url: "${{ env.URL }}/json?q=1", headers: {authorization: "Bearer ${{ input.who }}"}, json: {from: "${{ steps.get.output.id }}", list: [1, null], n: "${{ input.n }}"}}
  - {name: body, http: {method: PUT, url: "${{ env.URL }}/204", body: "plain ${{ steps.post.output.id }}", expect: ["204"]}}
  - {name: end, run: ["echo", "${{ steps.post.output.key }}"]}
END
code 'requests' 0 "$HARDY" run http.yaml --input <(echo '{"who": "me", "n": 5}') --id h1
is 'each is sent once, filled in' "$(python3 -c '
import json
for l in map(json.loads, open("asked")): print(l["method"], l["path"], l["auth"], "-" if not l["body"] else (l["body"] if l["body"][0] != "{" else json.dumps(json.loads(l["body"]), sort_keys=True)))')" \
    'GET /json None -
POST /json?q=1 Bearer me {"from": "srv-1", "list": [1, null], "n": 5}
PUT /204 None plain srv-1'
is 'with a key of the step' "$out" "$("$HARDY" workflows show h1 --json | get 'step("post")["idempotency_key"]')"
for row in 'GET 404 1' 'POST 404 1' 'GET 503 1' 'POST 429 1' 'GET 500 1' 'POST 500 4' 'DELETE 301 1' 'POST 501 1'; do
    read -r method status wanted <<<"$row"
    printf 'name: s\nsteps: [{name: a, http: {method: %s, url: "${{ env.URL }}/%s"}}]\n' "$method" "$status" >status.yaml
    code "$method that is answered $status" "$wanted" "$HARDY" run status.yaml --new
    like 'is told' "$err" "answered $status"
done
rm -f asked
workflow flaky <<'END'
name: flaky
steps:
  - {name: a, http: {method: POST, url: "${{ env.URL }}/flaky"}, retry: {max_retries: 2, base_delay: 1ms}}
  - {name: b, run: ["echo", "${{ steps.a.output.id }}"]}
END
code 'POST that is answered 503 and then 200, with a retry' 0 "$HARDY" run flaky.yaml
is 'is sent twice, under one key' "$(asked) $(get 'o["key"]' <<<"$(tail -n 1 asked)" | grep -c "$(get 'o["key"]' <<<"$(head -n 1 asked)" | tr -d '"')")" '2 1'
rm -f asked
workflow lost <<'END'
name: lost
steps:
  - {name: pay, http: {method: POST, url: "${{ env.URL }}/lost"}, retry: {max_retries: 2, base_delay: 1ms}}
  - {name: end, run: ["echo", "${{ steps.pay.output.id }}"]}
END
code 'POST that nobody answers' 4 "$HARDY" run lost.yaml --id l1
is 'is not sent again, retry or not' "$(asked)" 1
like 'a person has to look' "$err" '^  hardy workflows resolve l1 pay --done'
code 'and says how it was' 0 "$HARDY" workflows resolve l1 pay --done --result '{"id": "by-hand"}'
code 'it goes on' 0 "$HARDY" workflows resume l1
is 'with that' "$out $(asked)" 'by-hand 1'
sed 's/POST/GET/; s/name: lost/name: lostget/' lost.yaml >lostget.yaml
rm -f asked
code 'GET that nobody answers' 75 "$HARDY" run lostget.yaml
is 'is sent again, as it may' "$(asked)" 3

# --- making sure, keeping a text
workflow ensure <<'END'
name: ensure
steps:
  - {name: dir, ensure: {probe: ["sh", "-c", "test -d thing-${{ input.n }} && echo '{\"id\": 1}'"], create: ["mkdir", "thing-${{ input.n }}"]}}
  - {name: again, ensure: {probe: ["test", "-d", "thing-${{ input.n }}"], create: ["false"]}}
  - {name: note, file: {folder: notes, content: "n=${{ input.n }}\n", prefix: "note-", suffix: .md}}
  - {name: end, run: ["echo", "${{ steps.dir.output.status }} ${{ steps.dir.output.resource.id }} ${{ steps.again.output.status }} ${{ steps.note.output.status }}"]}
END
code 'makes sure' 0 "$HARDY" run ensure.yaml --set n=1
is 'made, there, written' "$out" 'created 1 already_exists created'
is 'beside the workflow' "$(cat notes/note-*.md)" n=1
code 'once more' 0 "$HARDY" run ensure.yaml --set n=1 --new
is 'all is there' "$out" 'already_exists 1 already_exists already_exists'
workflow once <<'END'
name: once
steps:
  - name: many
    max_concurrent: 8
    for_each: [1, 2, 3, 4, 5, 6, 7, 8]
    ensure: {probe: ["test", "-d", "one"], create: ["mkdir", "one"]}
  - {name: end, run: ["echo", "${{ steps.many.output }}"]}
END
code 'eight make sure of one thing' 0 "$HARDY" run once.yaml
is 'one has made it' "$(grep -o created <<<"$out" | wc -l) $(grep -o already_exists <<<"$out" | wc -l)" '1 7'

# --- secrets
export TOKEN='s3cr3t "quoted" Token/42'
workflow secret <<'END'
name: secret
secrets: [TOKEN]
steps:
  - {name: argv, run: ["printf", "argv %s", "${{ env.TOKEN }}"]}
  - {name: shell, run: "printf 'out %s' \"${{ env.TOKEN }}\"; printf %s \"$TOKEN\" | base64"}
  - {name: json, run: ["python3", "-c", "import json, os; print(json.dumps({'t': os.environ['TOKEN']}))"]}
  - {name: http, http: {method: POST, url: "${{ env.URL }}/json", headers: {authorization: "Bearer ${{ env.TOKEN }}"}, body: "${{ env.TOKEN }}"}}
  - {name: ask, until: "echo \"$TOKEN\""}
  - name: fan
    parallel:
      - {name: bad, run: "echo \"$TOKEN\"; exit ${BAD:-3}", compensate: "echo $TOKEN"}
      - {name: item, for_each: ["${{ env.TOKEN }}"], run: "printf %s \"${{ item }}\""}
  - {name: ok, approve: {message: "with ${{ env.TOKEN }}?", expires: 1s}}
END
rm -f asked
code 'a run with a secret fails' 1 "$HARDY" run secret.yaml --id sec -v --log-level debug
told=$out$err
code 'goes on' 5 env BAD=0 "$HARDY" workflows resume sec -v --json
told=$told$out$err$("$HARDY" workflows show sec)$("$HARDY" workflows show sec --json)$("$HARDY" workflows list --json)
like 'it reached where it was to go' "$(cat asked)" 'Bearer s3cr3t'
secret_in() { # in the files named: as it is, a piece of it, in JSON, in base64
    grep -qaF -e 's3cr3t' -e "$(printf %s "$TOKEN" | base64 | cut -c1-20)" "$@"
}
not_ok 'it is told nowhere' secret_in <(printf %s "$told")
like 'but what stands in its place' "$told" 'argv \*\*\*'
not_ok 'it is in no file of the state' secret_in -r state
is 'nothing is left behind' "$(left_files)" ''
unset TOKEN
code 'a secret that is not there' 2 "$HARDY" run secret.yaml --new
like 'is missed before anything runs' "$err" 'secret.yaml: the secret TOKEN is not in the environment'
TOKEN=abc code 'a secret that would be found everywhere' 2 "$HARDY" run secret.yaml --new
