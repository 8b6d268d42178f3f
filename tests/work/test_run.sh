#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy run: the provisioning example, killed anywhere; ids; failed steps; steps in doubt.
. "$(dirname "$0")/common.sh"
provision=$EXAMPLES/provision.yaml
export CLOUD_DIR=$work/cloud CLOUD_DELAY=0.02
things() { ls "$CLOUD_DIR" 2>/dev/null | wc -l; }
thing() { ls "$CLOUD_DIR"/$1.* >/dev/null 2>&1; }
state_of() { "$HARDY" workflows show "$1" --json | sed -n 's/^  "state": "\(.*\)",/\1/p'; }
id_of() { sed -n 's/.* run \([^ ]*\) \(begins\|goes on\|has\).*/\1/p' <<<"$err" | tail -n 1; }

# --- from beginning to end
code 'four steps' 0 "$HARDY" run "$provision" --set name=shop
is 'four things' "$(things)" 4
like 'each is told' "$(tr '\n' ' ' <<<"$err")" 'vpc: started.*vpc: done in .*subnet: started.*database: done'
like 'the last result is printed' "$out" '^\{"id": "database-[0-9a-f]+", .*"parent": "subnet-'
vpc=$(cat "$CLOUD_DIR"/vpc-shop.*.json)
like 'each got what the one before has made' "$(cat "$CLOUD_DIR"/subnet-shop.*.json)" "\"parent\": \"$(sed 's/.*"id": "\([^"]*\)".*/\1/' <<<"$vpc")\""
id=$(id_of)
like 'its id says what and when' "$id" '^provision-20[0-9]{6}-[0-9]{6}-[0-9a-f]{4}$'
is 'nothing is left behind' "$(left_files)" ''
code 'its id again: its result' 0 "$HARDY" run "$provision" --set name=shop --id "$id"
like 'is said' "$err" "run $id has ended before; this is its result"
like 'and given' "$out" '^\{"id": "database-'
is 'nothing was made' "$(things)" 4
code 'without the id: another run' 0 "$HARDY" run "$provision" --set name=shop
is 'makes its own' "$(things)" 8
code 'an id that is not there is made' 0 "$HARDY" run "$provision" --set name=named --id my-id
is 'under that name' "$(state_of my-id)" 'done'
code 'an id with other input' 1 "$HARDY" run "$provision" --set name=other --id my-id
like 'both are named' "$err" 'run my-id has other input: \{"name":"named"\}; now: \{"name":"other"\}'
code '--id and --new' 2 "$HARDY" run "$provision" --id x --new
code 'an id that is no name' 2 "$HARDY" run "$provision" --id 'a/b'
cat >other.yaml <<'EOF'
name: other
steps: [{name: only, run: ["true"]}]
EOF
code 'an id of another workflow' 1 "$HARDY" run other.yaml --set name=named --id my-id
like 'is named' "$err" 'run my-id is of the workflow `provision` \(.*provision.yaml\), this file is `other`'

# --- input
code 'input from a file' 0 sh -c 'echo "{\"name\": \"f\"}" >in.json; exec "$0" run "$1" --input in.json' "$HARDY" "$provision"
ok 'is used' thing vpc-f
code 'from standard input, and --set over it' 0 sh -c 'echo "{\"name\": \"f\"}" | "$0" run "$1" --input - --set name=g' "$HARDY" "$provision"
ok 'is used' thing vpc-g
code 'input that is no object' 2 sh -c 'echo "[1]" | "$0" run "$1" --input -' "$HARDY" "$provision"
like 'is told' "$err" 'JSON object'
code 'input that is missing' 2 "$HARDY" run "$provision"
like 'is told with the step' "$err" 'step `vpc`: .*input.name'
unlike 'and no run is left' "$("$HARDY" workflows list)" ' running '

# --- JSON
code 'as JSON' 0 "$HARDY" run "$provision" --set name=json --id js --json
like 'the run' "$(tr -d '\n' <<<"$out")" '^\{  "id": "js",  "name": "provision",  "state": "done",'
like 'its steps' "$(tr -d '\n ' <<<"$out")" '"steps":\[\{"name":"vpc",("[a-z_]+":[^,]*,)*"state":"done","attempts":1,"started":"20[^"]*Z","ended":"20[^"]*Z",.*"output":\{"id":"vpc-'
is 'standard output is one document' "$(python3 -c 'import json,sys; d=json.load(sys.stdin); print(d["state"], len(d["steps"]))' <<<"$out")" 'done 4'

# --- killed, hardy alone: the step goes on
rm -rf "$CLOUD_DIR"
for step in vpc subnet instance database; do
    CLOUD_DELAY=0.4 "$HARDY" run "$provision" --set name=killed >/dev/null 2>run.err &
    hardy=$!
    wait_for grep -q "$step: started" run.err
    kill_hard $hardy
done
code 'killed during each step, and typed once more' 0 "$HARDY" run "$provision" --set name=killed
like 'it attached to the step that ran' "$err" 'database: is running already: attached to it, not started again'
unlike 'and started none' "$err" ': started'
is 'each thing exists once' "$(ls "$CLOUD_DIR" | sed 's/\..*//' | sort | tr '\n' ' ')" 'database-killed instance-killed subnet-killed vpc-killed '
is 'one run' "$("$HARDY" workflows list | grep -c 'provision-.* done')" "$("$HARDY" workflows list | grep -c provision-)"
is 'nothing is left behind' "$(left_files)" ''

# --- killed, hardy and the shim: the probe knows
rm -rf "$CLOUD_DIR"
is_begun() { compgen -G "$HARDY_STATE-steps/*.begun" >/dev/null; }
for step in vpc subnet instance database; do
    CLOUD_DELAY=0.3 "$HARDY" run "$provision" --set name=lost >/dev/null 2>run.err &
    hardy=$!
    wait_for grep -q "$step: started" run.err
    wait_for is_begun # else it is known that the command never ran
    kill_hard $hardy $(shims)
done
code 'hardy and its shim killed during each step' 0 "$HARDY" run "$provision" --set name=lost
like 'the probe was asked' "$err" 'database: the probe says: (not )?done'
is 'each thing exists once' "$(ls "$CLOUD_DIR" | sed 's/\..*//' | sort | tr '\n' ' ')" 'database-lost instance-lost subnet-lost vpc-lost '

# --- two at once
rm -rf "$CLOUD_DIR"
for i in 1 2 3 4; do CLOUD_DELAY=0.1 "$HARDY" run "$provision" --set name=two >out$i 2>err$i & done
wait
is 'four at once: one run' "$(things)" 4
is 'and the same result for all' "$(sort -u out1 out2 out3 out4 | wc -l)" 1
is 'three waited' "$(cat err? | grep -c 'is driven by another hardy; waiting for it')" 3
rm -rf "$CLOUD_DIR"
for i in 1 2; do CLOUD_DELAY=0.1 "$HARDY" run "$provision" --set name=two --id two >out$i 2>err$i & done
wait
is 'two of one id: one run' "$(things)" 4
is 'the same result' "$(cat out1)" "$(cat out2)"
: >err1
CLOUD_DELAY=0.1 "$HARDY" run "$provision" --set name=taken --id taken >/dev/null 2>err1 &
first=$!
wait_for grep -q 'vpc: started' err1
"$HARDY" run "$provision" --set name=taken --id taken >out2 2>err2 &
second=$!
wait_for grep -q 'waiting for it' err2
kill_hard $first
wait $second
is 'the one that waits takes over when the other is killed' $? 0
like 'goes on where it was' "$(cat err2)" 'run taken goes on where it was'
is 'each thing exists once' "$(ls "$CLOUD_DIR" | grep -c taken)" 4

# --- interrupted
rm -rf "$CLOUD_DIR"
: >err1
CLOUD_DELAY=0.3 "$HARDY" run "$provision" --set name=int --id int >/dev/null 2>err1 &
first=$!
wait_for grep -q 'vpc: started' err1
kill -TERM $first
wait $first
is 'TERM: it ends' $? 143
like 'and says what goes on' "$(cat err1)" 'interrupted; a step that runs goes on, and the same line again attaches to it'
like 'the step does' "$("$HARDY" workflows show int)" 'vpc +running'
code 'and is attached to' 0 "$HARDY" run "$provision" --set name=int --id int
is 'each thing exists once' "$(things)" 4

# --- lists
code 'a list' 0 "$HARDY" workflows list
like 'of runs' "$out" '^int +done +20.* 4/4'
code 'one of them' 0 "$HARDY" workflows show int
like 'its input' "$out" 'input \{"name":"int"\}'
like 'its steps' "$out" '^  vpc +done +\| *=+ *\| +[0-9:.]+ +[0-9.]+m?s'
like 'what it ran, values not filled in' "$("$HARDY" workflows show int --json)" '"params": \{"run":\["cloud/cloud.sh","create","vpc","\$\{\{ input.name \}\}"\]\}'
code 'a run that is not there' 1 "$HARDY" workflows show nothing
like 'is named' "$err" 'there is no run `nothing`; see hardy workflows list'
code 'singular' 0 "$HARDY" workflow list --json
code 'an empty list' 0 "$HARDY" workflows list --state none/none.db
like 'says where' "$out" 'no runs in none/none.db, which does not exist yet|no runs in .*/none/none.db, which does not exist yet'
