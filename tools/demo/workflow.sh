#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The workflow of `make run`: a release to three servers, with hardy and the step that runs killed in the
# middle, then one that fails and is undone. The servers are a folder (examples/release/fleet.sh). Ends by
# itself; the state stays in build/demo/workflow, so that it can be looked at.
. "$(dirname "$0")/common.sh"
demo=$build/demo/workflow

running=''
cleanup() {
    [ -z "$running" ] || kill -KILL "$running" 2>/dev/null || true
    wait 2>/dev/null || true
}
show() { sed -u "s/^/   $dim/; s/\$/$off/"; }
fleet() { release/fleet.sh show | grep '^web'; }
each_has() { [ "$(fleet | grep -c "^web-[123] runs $1, traffic on$")" -eq 3 ]; } # each_has VERSION
installed() { release/fleet.sh show | grep -c "^  install web-[123] $1$"; }      # installed VERSION

rm -rf "$demo"
mkdir -p "$demo"
cp -r "$root/examples/release" "$root/examples/release.yaml" "$demo"
rm -rf "$demo/release/state"
cd "$demo"
trap cleanup EXIT
trap 'exit 130' INT TERM
unset HARDY_CONFIG
export XDG_CONFIG_HOME=$demo/none HARDY_STATE=$demo/hardy.db FLEET_DELAY=0.3

title "A workflow: version 1.1 for three servers, two at a time"
say "   examples/release.yaml: build and list at once, a person agrees, then for each server: no traffic,"
say "   install, wait until it is healthy, traffic; in the end a smoke test, or all of it is undone."
"$hardy" run release.yaml --set version=1.1 --set stage=prod > >(tee out | show) 2> >(tee log | show >&2) &
running=$!
wait_for 'waits for approval' log
id=$(sed -n 's/.* run \(release-[^ ]*\) begins$/\1/p' log)
say "   ${bold}hardy workflows approve $id agreed${off}"
"$hardy" workflows approve "$id" agreed 2>/dev/null
for _ in {1..1000}; do # until both are at work
    [ -e release/state/web-1.installing ] && [ -e release/state/web-2.installing ] && break
    sleep 0.01
done
shims=$(cat "/proc/$running/task/$running/children")
# shellcheck disable=SC2086 # one word a process
{ kill -KILL "$running" $shims && wait "$running"; } 2>/dev/null || true
running=''
sleep 0.2
say "   ${bold}kill -9 hardy, and the steps that ran below it; the same line once more:${off}"
code=0
"$hardy" run release.yaml --set version=1.1 --set stage=prod 2>&1 >out | tee log | show || true
check "it went on where it was" grep -q "run $id goes on where it was" log
check "what nobody knew the end of was asked for, not guessed" grep -q 'the probe says' log
check "every server runs 1.1" each_has 1.1
check "each got it once, not twice ($(installed 1.1) installations)" test "$(installed 1.1)" -eq 3

title "The next version does not pass its smoke test"
export FLEET_DELAY=0.05
"$hardy" run release.yaml --set version=bad --set stage=test >out 2>log || code=$?
grep -E 'failed|smoke|undone in' log | show
check "hardy ended with 1: it failed" test "$code" -eq 1
check "every server runs 1.1 again, undone in the reverse order" each_has 1.1

title "What happened, from the store"
"$hardy" workflows show "$id" | cut -c1-110 | sed "s/^/   /"
trap - EXIT
cleanup
exit "$failed"
