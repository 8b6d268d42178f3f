#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# examples/release.yaml: as its first lines say; killed in the middle and typed again; undone when it
# fails.
. "$(dirname "$0")/common.sh"
cp -r "$EXAMPLES/release" "$EXAMPLES/release.yaml" .
export FLEET_DELAY=0.05
fleet() { release/fleet.sh show; }
count() { fleet | grep -c "$1"; }

code 'nothing is wrong with it' 0 "$HARDY" validate release.yaml release/server.yaml

# --- a person agrees, hardy and its shims are killed, the same line again
FLEET_DELAY=0.5 "$HARDY" run release.yaml --set version=1.1 --set stage=prod >out1 2>err1 &
hardy=$!
wait_for grep -q 'agreed: waits for approval: version 1.1 to \["web-1","web-2","web-3"\]' err1
id=$(sed -n 's/.* run \(release-[^ ]*\) begins$/\1/p' err1)
is 'nothing is done before' "$(count '^  ')" 0
code 'somebody agrees' 0 "$HARDY" workflows approve "$id" agreed
wait_for is_there release/state/web-1.installing
kill_hard $hardy $(shims)
code 'the same line' 0 "$HARDY" run release.yaml --set version=1.1 --set stage=prod
like 'goes on' "$err" "run $id goes on where it was"
like 'asks the probe' "$err" 'rollout\[[01]\]/install: the probe says: (not )?done'
like 'and gives the notes' "$out" '"path":"release/state/notes/release-[0-9a-f]{16}.txt"'
is 'all run it, and have traffic' "$(count '^web-[123] runs 1.1, traffic on$')" 3
is 'each got it once' "$(count '^  install web-[123] 1.1$')" 3
like 'the notes tell of all' "$(cat release/state/notes/*.txt)" '^servers \[\{"server":"web-1","version":"1.1","before":"1.0"\}.*"web-3"'

# --- the first line of the file's own words: nobody is asked; the smoke test fails
code 'a version that does not work' 1 "$HARDY" run release.yaml --set version=bad --set stage=test
like 'nobody is asked' "$err" 'agreed: skipped'
like 'what failed' "$err" 'failed at smoke: exit code 1; what it had done is undone'
is 'all run what they ran before, and have traffic' "$(count '^web-[123] runs 1.1, traffic on$')" 3
is 'each got it back once' "$(fleet | sed '1,/install web-3 bad/d' | grep -c 'install web-[123] 1.1')" 3
is 'the last first: switched off, what was before, switched on' "$(fleet | tail -n 9 | head -n 3 | tr '\n' ';')" \
    '  traffic web-3 off;  install web-3 1.1;  traffic web-3 on;'
code 'what was undone is over' 1 "$HARDY" workflows resume "$("$HARDY" workflows list | sed -n 's/^\(release-[^ ]*\) *failed.*/\1/p')"
like 'and says what can be done' "$err" 'has been undone; begin a new one with --new, or hardy workflows fork'
