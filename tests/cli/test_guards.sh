#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy guards: looking at what processes share, and setting it by hand.
. "$(dirname "$0")/../tap.sh"
json() { "$HARDY" guards list --json | python3 -c 'import json,sys; d=json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"; }

code 'no guard yet' 0 "$HARDY" guards list
is 'nothing on standard output' "$out" ''
like 'which state was read' "$err" "no guard has been used with the state $work/state/hardy\.db"
is 'also as JSON' "$(json '(d["state"], d["guards"])')" "('$work/state/hardy.db', [])"
not_ok 'looking makes nothing' test -e state
code 'a name that is not there' 1 "$HARDY" guards explain search
like 'for nothing was used' "$err" 'hardy\.db-guards: no guard has been used with this state yet$'
code 'a state without guards' 0 "$HARDY" guards --state memory list

"$HARDY" exec --name search --rate 10/s --max-concurrent 3 -- true
"$HARDY" exec --name search -- false
"$HARDY" exec --name beta -- true
"$HARDY" exec --name beta --retries 1 -- true
code 'the list' 0 "$HARDY" guards list
like 'has a head' "$out" '^NAME +STATE +FAILURES +RETRY IN'
like 'and a line for each' "$out" '^search +closed +1/5 +- +2 +1 +0 +50\.0% +10/s +0/3$'
is 'by name' "$(awk 'NR > 1 { printf "%s ", $1 }' <<<"$out")" 'beta search '
code 'without a form it is the list' 0 "$HARDY" guards
like 'the same' "$out" '^search +closed'
is 'JSON has the figures' \
    "$(json '[(g["name"], g["state"], g["total_calls"], g["total_failures"], g["success_rate"]) for g in d["guards"]]')" \
    "[('beta', 'closed', 2, 0, 1), ('search', 'closed', 2, 1, 0.5)]"
is 'and the settings' \
    "$(json '[(g["breaker"]["failure_threshold"], g["rate"]["requests"], g["slots"]) for g in d["guards"] if g["name"] == "search"]')" \
    "[(5, 10, {'max_concurrent': 3, 'taken': 0})]"
is 'the budget of who retries' "$(json '[g["budget"]["ratio"] for g in d["guards"] if "budget" in g]')" '[0.1]'
unlike 'no colours into a pipe' "$out" $'\033'
code 'colours when asked for' 0 "$HARDY" guards --color always list
like 'there they are' "$out" $'\033\[32mclosed'

code 'explain' 0 "$HARDY" guards explain search
like 'tells the state' "$out" '^The breaker is closed: calls go through\. 1 of 5 failures'
like 'the settings' "$out" 'opens after 5 failures in 2m'
like 'rate and slots' "$out" 'rate +10 in 1s'
code 'explain as JSON' 0 "$HARDY" guards explain search --json
like 'is one guard' "$out" '^  "name": "search"'
code 'a name that is nearly there' 1 "$HARDY" guards explain serch
like 'is guessed' "$err" 'no guard "serch" has been used here, did you mean "search"\?'
code 'no name' 2 "$HARDY" guards explain
code 'no such form' 2 "$HARDY" guards froce-open search
like 'the nearest form' "$err" 'did you mean "force-open"\?'

code 'force-open' 0 "$HARDY" guards force-open search --for 10m
like 'says until when' "$err" '"search" is open for 10m'
code 'refuses calls' 69 "$HARDY" exec --name search -- true
like 'telling who did it, and how it ends' "$err" "breaker search was opened by hand; may try again in .*; 'hardy guards reset search' ends that"
is 'it is listed' "$(json '[(g["state"], g["time_until_retry_s"] > 590) for g in d["guards"] if g["name"] == "search"]')" "[('forced_open', True)]"
code 'for ever' 0 "$HARDY" guards force-open beta
is 'has no time' "$(json '[g["time_until_retry_s"] for g in d["guards"] if g["name"] == "beta"]')" '[None]'
code 'for a moment' 0 "$HARDY" guards force-open beta --for 50ms
sleep 0.1
code 'is over soon' 0 "$HARDY" exec --name beta -- true
code 'disable' 0 "$HARDY" guards disable search
for i in 1 2 3 4 5 6; do "$HARDY" exec --name search -- false; done
code 'lets everything through' 0 "$HARDY" exec --name search -- true
like 'and is listed' "$("$HARDY" guards list)" '^search +disabled'
code 'reset' 0 "$HARDY" guards reset search
code 'forgets the name' 1 "$HARDY" guards explain search
is 'only that one' "$(json '[g["name"] for g in d["guards"]]')" "['beta']"
code '--for with reset makes no sense' 2 "$HARDY" guards reset beta --for 10m
code 'no time at all is no duration' 2 "$HARDY" guards force-open beta --for 0s
like 'it has to be above 0' "$err" '\-\-for: expected a duration above 0 such as 10m, not "0s"'
code 'a wrong duration' 2 "$HARDY" guards disable beta --for 10
like 'what is right' "$err" '\-\-for: .*250ms'

printf 'guards: {beta: {retry: 2, deadline: 30s}}\n' >hardy.yaml
like 'explain knows the configuration' "$("$HARDY" guards explain beta)" 'max_retries 2'
like 'with its deadline' "$("$HARDY" guards explain beta)" 'deadline +30s'
printf 'guards: {gamma: {retry: 5, deadline: 30s, timeout: 10s}}\n' >hardy.yaml
code 'explain a guard that nobody used yet' 0 "$HARDY" guards explain gamma
like 'says so' "$out" '^Not used with this state yet'
like 'the order is fixed' "$out" 'deadline > retry and budget > breaker > rate > bulkhead .* no other can be configured'
like 'the schedule' "$out" 'wait before attempt 6 +0s to 16s'
like 'its worst case in seconds' "$out" 'worst case of all waits +31s \(31\.000 s\)'
like 'what cannot hold' "$out" 'warning: 6 attempts of 10s make 1m, more than the deadline 30s'
unlike 'nothing of what it cannot know' "$out" 'utilisation'
code 'with a fleet' 0 "$HARDY" guards explain gamma --clients 1000 --capacity 10/s --load 300/m
like 'retries that keep an outage up' "$out" 'warning: utilisation 0\.50 \(5/s of 10/s\) \* 6 attempts = 3\.00, which is not below 1'
like 'and come back at once' "$out" 'warning: max_delay 1m is below 2N/C = 2 \* 1000 / 10/s = 3m20s'
is 'as JSON' "$("$HARDY" guards explain gamma --json --clients 1000 --capacity 10/s | python3 -c 'import json,sys
e = json.load(sys.stdin)["explained"]
print(e["deadline_s"], e["retry"]["worst_wait_s"], e["retry"]["waits"][4]["to_s"], e["breaker"]["failure_threshold"], e["longest_s"], len(e["warnings"]))')" \
    '30 31 16 5 30 2'
code 'a fleet is for explain' 2 "$HARDY" guards list --load 5/s
is 'a bare number is of one second' "$("$HARDY" guards explain gamma --load 5 --capacity 600/m)" \
    "$("$HARDY" guards explain gamma --load 5/s --capacity 10)"
code 'a load is a rate' 2 "$HARDY" guards explain gamma --load 5x
like 'says what is right' "$err" '\-\-load: .*10/s'
unlike 'nobody said that it has effects' "$out" 'side effects'
like 'validate warns of the same' "$("$HARDY" validate hardy.yaml 2>&1)" 'guard `gamma`: 6 attempts of 10s make 1m, more than the deadline 30s'
cat >hardy.yaml <<'END'
guards:
  wrong: {retry: {base_delay: 2s, max_delay: 1s}}
  pay: {timeout: 2s, retry: {max_retries: 3, base_delay: 10ms, repeatable: true}}
  read: {timeout: 2s, retry: {max_retries: 3, base_delay: 10ms, repeatable: true}}
  embed: {rate: {tokens: 1000/m}, timeout: {attempt: 9s, connect: 3s}, retry: {retry_on: [75, 500-599]}}
upstreams:
  shop: {url: "https://example.com", guard: pay}
END
code 'a guard that is wrong' 2 "$HARDY" guards explain wrong
is 'in the words of validate' "$err" "hardy guards: $("$HARDY" validate hardy.yaml | grep max_delay)"
code 'a name that the file has not' 1 "$HARDY" guards explain zebra
like 'names those that it has' "$err" 'hardy\.yaml: no guard is called "zebra"; there are wrong, pay, read, embed$'
code 'one that is nearly there' 1 "$HARDY" guards explain embde
like 'names that' "$err" 'no guard is called "embde"; did you mean "embed"\?'
code 'an upstream of http is sent anything' 0 "$HARDY" guards explain pay
ignored='repeatable changes nothing for an upstream of the protocol http: GET, HEAD, PUT, DELETE and what has an Idempotency-Key are repeated'
like 'a POST is not repeated for that' "$out" "^warning: $ignored"
like 'the request decides' "$out" 'max_total_wait none, repeatable by GET, HEAD, PUT, DELETE or an Idempotency-Key$'
effects='warning: repeatable is yes: what has side effects and carries no idempotency key can have them up to 4 times'
unlike 'its defaults are not what the user wrote' "$out" 'is not shorter'
code 'a guard of nobody knows' 0 "$HARDY" guards explain read
unlike 'is not suspected' "$out" 'side effects'
like 'but can be told' "$("$HARDY" guards explain read --effects)" "^$effects"
like 'validate warns of the upstream' "$("$HARDY" validate hardy.yaml)" "^hardy\\.yaml:3:3: warning: guard \`pay\`: $ignored"
unlike 'not of the other' "$("$HARDY" validate hardy.yaml)" 'guard `read`'
code 'explain is of all settings' 0 "$HARDY" guards explain embed
like 'tokens' "$out" '^  tokens     1000 in 1m, burst 16\.6667, when limited: wait$'
like 'the connection' "$out" '^  timeout    attempt 9s, .*, connect 3s$'
like 'what is retried' "$out" 'only after               75, 500-599$'
is 'also as JSON' "$("$HARDY" guards explain embed --json | python3 -c 'import json,sys
e = json.load(sys.stdin)["explained"]
print(e["token_rate"]["tokens"], e["token_rate"]["per_s"], e["connect_s"], e["retry_on"])')" '1000 60 3 75, 500-599'
rm hardy.yaml
code 'calls of a model need no file' 0 "$HARDY" guards explain llm
like 'it is what sim runs' "$out" '^  deadline   4m40s$'

printf 'guards: {share: {retry: off, breaker: {failure_mode: rate, failure_rate: 0.5, minimum_calls: 4}}}\n' >hardy.yaml
for command in true true false; do "$HARDY" exec --name share -- $command; done
like 'a share, and of how many calls' "$("$HARDY" guards list)" '^share +closed +1 of 3 '
like 'in words' "$("$HARDY" guards explain share)" '^The breaker is closed: .* Of 3 calls that count now 1 failed'
code 'half of four' 1 "$HARDY" exec --name share -- false
code 'opens it' 69 "$HARDY" exec --name share -- true
like 'and that is why' "$err" 'breaker share is open, for too large a share of the calls failed or was slow; may try again in'
is 'JSON has the mode' "$(json '[(g["breaker"]["failure_mode"], "failure_threshold" in g["breaker"]) for g in d["guards"] if g["name"] == "share"]')" "[('rate', False)]"
"$HARDY" exec --name flags --failure-mode rate --failure-rate 0.5 --minimum-calls 2 -- false
code 'one of two is not yet two' 1 "$HARDY" exec --name flags -- false
code 'flags say the same' 69 "$HARDY" exec --name flags -- true
truncate -s 100 state/hardy.db-guards
code 'a file that was cut' 1 "$HARDY" guards list
like 'is told' "$err" 'hardy\.db-guards: has 100 bytes instead of [0-9]+, it was cut'
