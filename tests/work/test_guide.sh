#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The words about workflows and keys are true: the files of docs/workflows.md are accepted and do what
# stands there; so do the lines of docs/idempotency.md. And what is promised there of keys and outputs.
. "$(dirname "$0")/common.sh"
guide=$EXAMPLES/../docs
# Each ```yaml block to the file that its first line names.
awk '/^```yaml/ { getline; name = $2; in_block = 1 } /^```/ { in_block = 0 } in_block { print > name }' "$guide/workflows.md"
for file in pay kinds announce charge trip secret; do
    code "the guide's $file.yaml" 0 "$HARDY" validate "$file.yaml"
done
sed -i 's/sleep 3/touch running; sleep ${NAP:-0}/' pay.yaml

# --- five minutes
code 'pay' 0 "$HARDY" run pay.yaml --set amount=12
is 'its result' "$out" 'paid 12: receipt-7'
rm running
: >err1
NAP=0.5 "$HARDY" run pay.yaml --set amount=15 --id pay-15 >/dev/null 2>err1 &
hardy=$!
wait_for is_there running
kill_hard $hardy
rm running
code 'killed, and the same line' 0 "$HARDY" run pay.yaml --set amount=15
like 'attaches' "$err" 'charge: is running already: attached to it, not started again'
: >err1
NAP=5 "$HARDY" run pay.yaml --set amount=20 --id pay-20 >/dev/null 2>err1 &
hardy=$!
wait_for is_there running
kill_hard $hardy $(shims)
code 'all of it killed' 4 "$HARDY" run pay.yaml --set amount=20 --id pay-20
like 'is in doubt' "$err" '^hardy run: charge is in doubt: attempt 1 was started and its process was lost before it left a result$'
code 'settled' 0 "$HARDY" workflows resolve pay-20 charge --retry
code 'goes on' 0 "$HARDY" run pay.yaml --set amount=20 --id pay-20
is 'each was charged once' "$(tr '\n' ' ' <ledger)" 'charged 12 charged 15 charged 20 '

# --- every kind of step
mkdir far
echo '["web-1", "web-2", "web-3"]' >far/servers.json
(cd far && exec python3 -u -c 'import http.server as h
s = h.ThreadingHTTPServer(("127.0.0.1", 0), h.SimpleHTTPRequestHandler)
print(s.server_port, flush=True)
s.serve_forever()' 2>/dev/null) >port &
far=$!
wait_for test -s port
code 'all kinds' 0 "$HARDY" run kinds.yaml --set "far=http://127.0.0.1:$(cat port)" --set name=shop --set stage=test --id kinds
kill $far
is 'the result' "$out" 'announced shop: two and three'
is 'ensure has made it' "$(cat zone)" 'shop 10.0.0.7'
is 'file has made it' "$(cat notes/*.txt)" 'record of shop: created'
like 'for each' "$("$HARDY" workflows show kinds)" 'server 2 is web-3'

# --- undoing
code 'trip' 1 "$HARDY" run trip.yaml --id trip-1
is 'the last first' "$(tr '\n' ' ' <trips)" 'cancelled H-2 cancelled F-1 '
sed -i 's/>>trips"/>>trips; exit ${CLOSED:-0}"/' trip.yaml
code 'it cannot be undone' 1 env CLOSED=1 "$HARDY" run trip.yaml --id trip-2
like 'what then' "$err" 'run trip-2 failed at car: exit code 7; undoing .* failed: exit code 1; hardy workflows resume trip-2 tries to undo the rest again$'
code 'tried again' 1 "$HARDY" workflows resume trip-2
like 'is undone' "$err" 'what it had done is undone'

# --- secrets
code 'secret' 0 env TOKEN=s3cr3t-value "$HARDY" run secret.yaml
is 'kept out' "$out" 'the token is ***'

# --- every item has a key of its own
cat >items.yaml <<'YAML'
name: items
steps:
  - {name: each, for_each: [x, y], steps: [{name: in, run: 'echo "$HARDY_IDEMPOTENCY_KEY"'}]}
  - {name: once, workflow: item.yaml}
  - {name: again, workflow: item.yaml}
  - {name: show, run: [echo, "${{ steps.each.output[0] }} ${{ steps.each.output[1] }} ${{ steps.once.output }} ${{ steps.again.output }}"]}
YAML
printf 'name: item\nsteps: [{name: in, run: %s}]\n' "'echo \"\$HARDY_IDEMPOTENCY_KEY\"'" >item.yaml
code 'items, and a workflow twice' 0 "$HARDY" run items.yaml
is 'four keys' "$(tr ' ' '\n' <<<"$out" | sort -u | wc -l)" 4

# --- half an output is not taken for all of it
cat >much.yaml <<'YAML'
name: much
steps:
  - {name: much, run: "head -c 4200000 /dev/zero | tr '\\0' x"}
  - {name: use, file: {folder: kept, content: "${{ steps.much.output }}"}}
YAML
code 'an output that is longer than what is kept' 2 "$HARDY" run much.yaml
like 'cannot be used' "$err" '`steps.much.output` cannot be used: it is longer than 4 MiB, and only its beginning was kept'
not_ok 'and nothing is made of it' is_there kept
sed -i '4d' much.yaml
code 'as a result' 1 "$HARDY" run much.yaml --new
is 'it is not given in part' "$out" ''
printf 'name: j\nsteps:\n  - {name: a, output: json, run: "echo hello"}\n  - {name: b, run: [echo, "${{ steps.a.output }}"]}\n' >json.yaml
code 'what is not the JSON that it should be' 2 "$HARDY" run json.yaml
like 'is told' "$err" '`steps.a.output` cannot be used: it is not JSON'

# --- keys
code 'a key' 0 "$HARDY" exec --key order-12345 -- ./charge.sh 5
code 'again' 0 "$HARDY" exec --key order-12345 -- ./charge.sh 5
is 'its result' "$out" 'receipt 5'
shown=$(grep 'used for other parameters' "$guide/idempotency.md")
code 'other parameters' 125 "$HARDY" exec --key order-12345 -- ./charge.sh 6
is 'as the guide shows it' "$err" "$shown"
probe='grep -q order-10 effects && echo receipt 10'
code 'too late, and a probe' 124 env DELAY=5 "$HARDY" exec --key order-10 --timeout 200ms --probe "$probe" -- ./charge.sh 10
is 'as the guide shows it' "$err" "$(grep -A1 '^hardy exec: the probe says' "$guide/idempotency.md")"
code 'the same line again' 0 "$HARDY" exec --key order-10 --timeout 9s --probe "$probe" -- ./charge.sh 10
is 'once each' "$(effects)" 2
