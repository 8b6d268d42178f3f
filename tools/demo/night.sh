#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A night of `make run`: a process dies, hardy itself is killed, a service hangs, and the pager does not
# answer at first (examples/night.yaml). Ends by itself, leaves nothing running; the state stays in
# build/demo/night, so that it can be looked at.
. "$(dirname "$0")/common.sh"
demo=$build/demo/night
log=$demo/hardy.log

watcher='' pager=''
started=() # what hardy has started, should it not come to end it
cleanup() {
    [ -z "$watcher" ] || kill -KILL "$watcher" 2>/dev/null || true
    [ -z "$pager" ] || kill "$pager" 2>/dev/null || true
    [ ${#started[@]} -eq 0 ] || kill -KILL "${started[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
}
show() { sed -u "s/^\(.\{105\}\).*/\1.../; s/^/   $dim/; s/\$/$off/"; }
watch_start() { # in the background; what it says is kept, and shown without what is long or comes often
    : >"$log"
    "$hardy" supervise -c night.yaml > >(tee -a "$log" | sed -u '/  failed  /d' | show) 2>>"$demo/errors.log" &
    watcher=$!
}
pid_of() { sed -nE "s/.*  $1 +(starting|adopted) +pid ([0-9]+).*/\2/p" "$log" | tail -n 1; }
own() { started=("$(pid_of shop)" "$(pid_of worker)"); }
# The time between the last lines of `worker` with these words, in milliseconds.
between() {
    awk -v from="$1" -v to="$2" '
        function ms(t, p) { split(t, p, ":"); return (p[1] * 3600 + p[2] * 60 + p[3]) * 1000 }
        $2 == "worker" && $3 == from { a = ms($1) }
        $2 == "worker" && $3 == to { b = ms($1) }
        END { printf "%.0f", (b - a + 86400000) % 86400000 }' "$log"
}
# Whether each worker's numbers are there without a gap, up to its end.
complete() { awk -F'[ ,]+' '$2 != last[$4] + 1 { bad = 1 } { last[$4] = $2 } END { exit bad || NR < 100 }' night/state/worker.log; }
pages() { grep -c "\"action\": *\"$1\"" "$demo/pages.jsonl" || true; }
answers() { curl -fsS -m 1 -o /dev/null "http://127.0.0.1:$SHOP_PORT/"; }

rm -rf "$demo"
mkdir -p "$demo"
cp -r "$root/examples/night" "$root/examples/night.yaml" "$demo"
rm -rf "$demo/night/state"
cd "$demo"
unset HARDY_CONFIG HARDY_STATE
export XDG_CONFIG_HOME=$demo/none AUTOMATION=ask
SHOP_PORT=$(free_port)
export SHOP_PORT
trap cleanup EXIT
trap 'exit 130' INT TERM

title "A night: two processes are kept running; what hangs is repaired when a person agrees"
say "   examples/night.yaml: a shop, a worker that needs it, automation: ask; the pager fails twice first."
"$build/examples/webhook-receiver" --listen 127.0.0.1:0 --out "$demo/pages.jsonl" --fail 2 >"$demo/pager.log" 2>&1 &
pager=$!
wait_for 127.0.0.1 "$demo/pager.log"
PAGER_URL=http://$(grep -o '127\.0\.0\.1:[0-9]*' "$demo/pager.log" | head -1)/page
export PAGER_URL
watch_start
wait_for ' worker *ready' "$log"
own
sleep 1.1 # what was well for a second is restarted at once
say "   ${bold}kill -9 the worker${off}"
kill -KILL "$(pid_of worker)"
wait_for ' worker *ended' "$log"
sleep 0.3
own
check "it is back, $(between ended starting) ms after hardy knew" test "$(between ended starting)" -lt 100

say "   ${bold}kill -9 hardy; the same line once more:${off}"
before=$(pid_of shop)/$(pid_of worker)
{ kill -KILL "$watcher" && wait "$watcher"; } 2>/dev/null || true
sleep 0.3
watch_start
wait_for ' worker *adopted' "$log"
wait_for ' shop *up' "$log"
check "it adopted both, nothing was started twice" test "$(pid_of shop)/$(pid_of worker)" = "$before"

say "   ${bold}the shop hangs: it gets SIGSTOP${off}"
kill -STOP "$(pid_of shop)"
wait_for ' shop *asked' "$log"
wait_for trigger "$demo/pages.jsonl"
id=$(sed -nE 's/.* opened +(inc-[^ ,]*).*/\1/p' "$log")
say "   ${bold}the pager has got its page; hardy incidents approve $id restart${off}"
"$hardy" incidents approve -c night.yaml "$id" restart 2>&1 | show
wait_for ' shop *resolved' "$log"
own
check "the shop answers again" answers
wait_for resolve "$demo/pages.jsonl"
check "the page arrived once, and its end after it" test "$(pages trigger)/$(pages resolve)" = 1/1

title "What happened in the last hour, told from the state"
"$hardy" status -c night.yaml --since 1h 2>/dev/null | sed -n '/^since/,/^needs/p' | cut -c1-110 | sed 's/^/   /'
kill -TERM "$watcher"
wait "$watcher" 2>/dev/null || true
watcher=''
check "the worker's log has every line, also of the time without hardy ($(wc -l <night/state/worker.log) lines)" complete
cleanup
trap - EXIT
exit "$failed"
