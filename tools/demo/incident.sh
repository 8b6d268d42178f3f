#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The incident of `make run`: a real nginx breaks three times, and hardy handles it. The last time it
# cannot be repaired, and a person is told. Ends by itself, leaves nothing running; the state stays
# in build/demo/incident, so that it can be looked at.
. "$(dirname "$0")/common.sh"
receiver=$build/examples/webhook-receiver
service=$root/examples/payment-api/payment-api.sh
config=$root/examples/incident.yaml
demo=$build/demo/incident
log=$demo/watcher.log

watcher='' pager='' squatter=''
cleanup() {
    [ -z "$watcher" ] || kill -KILL "$watcher" 2>/dev/null || true
    [ -z "$pager" ] || kill "$pager" 2>/dev/null || true
    [ -z "$squatter" ] || kill "$squatter" 2>/dev/null || true
    "$service" stop 2>/dev/null || true
    wait 2>/dev/null || true
}

watch_start() { # in the background; what it says is shown and kept
    : >"$log"
    "$hardy" supervise -c "$config" --once > >(tee -a "$log" | sed -u "s/^/   $dim/; s/\$/$off/") \
        2> >(tee -a "$log" | sed -u "s/^/   $dim/; s/\$/$off/" >&2) &
    watcher=$!
}

watch_end() { # its exit code into `code`
    code=0
    { wait "$watcher"; } 2>/dev/null || code=$?
    watcher=''
    sleep 0.2 # the last lines on their way to the screen
}

watch_kill() { # in one group, or the shell would tell of it too
    { kill -KILL "$watcher" && wait "$watcher"; } 2>/dev/null || true
    watcher=''
    sleep 0.2
}

# How often nginx has been started, by its own word.
starts() { grep -c 'start worker processes$' "$PAYMENT_API_DIR/error.log" || true; }
starts_are() { [ "$(starts)" -eq "$1" ]; }
latest() { "$hardy" incidents list --json | sed -n 's/^ *"id": "\(.*\)",$/\1/p' | tail -1; }

rm -rf "$demo"
mkdir -p "$demo"
export HARDY_STATE=$demo/hardy.db
export PAYMENT_API_DIR=$demo/payment-api
PAYMENT_API_PORT=$(free_port)
export PAYMENT_API_PORT
trap cleanup EXIT
trap 'exit 130' INT TERM

title "An incident: a service, watched"
"$receiver" --listen 127.0.0.1:0 --out "$demo/pages.jsonl" >"$demo/pager.log" 2>&1 &
pager=$!
wait_for 127.0.0.1 "$demo/pager.log"
PAGER_URL=http://$(grep -o '127\.0\.0\.1:[0-9]*' "$demo/pager.log" | head -1)/page
export PAGER_URL
"$service" start
say "   nginx is payment-api on http://127.0.0.1:$PAYMENT_API_PORT; a pager listens on $PAGER_URL."
say "   examples/incident.yaml says how it is watched, what explains an outage, and what repairs it."
check "payment-api answers" "$service" running

title "1. It accepts connections and never answers"
watch_start
wait_for ' up ' "$log"
"$service" freeze
say "   ${bold}its workers got SIGSTOP now${off}"
watch_end
check "hardy ended with 0: resolved" test "$code" -eq 0
check "payment-api answers again" "$service" running
check "nginx was started once more (its own log says $(starts) starts)" starts_are 2

title "2. The same, and hardy is killed in the middle of the repair"
watch_start
wait_for ' up ' "$log"
"$service" freeze
say "   ${bold}its workers got SIGSTOP again${off}"
wait_for 'restart started' "$log"
watch_kill
say "   ${bold}kill -9 hardy, between \"restart started\" and \"restart recorded\"; once more:${off}"
watch_start
watch_end
check "hardy ended with 0: resolved" test "$code" -eq 0
check "it went on with the restart that was running" grep -q 'not started again\|ended while nobody' "$log"
check "nginx was restarted once, not twice (its own log says $(starts) starts)" starts_are 3

title "3. It cannot be repaired: its port is taken by something else"
"$service" stop
"$receiver" --listen "127.0.0.1:$PAYMENT_API_PORT" --out /dev/null --fail 1000000 >"$demo/squatter.log" 2>&1 &
squatter=$!
wait_for 127.0.0.1 "$demo/squatter.log"
watch_start
watch_end
check "hardy ended with 3: a person is needed" test "$code" -eq 3
check "it tried three times, not more" test "$(grep -c 'attempt . of 3' "$log")" -eq 3
check "the page arrived at the webhook" grep -q '"action": *"trigger"' "$demo/pages.jsonl"
kill "$squatter"
wait "$squatter" 2>/dev/null || true
squatter=''

title "The last one, told again from the store"
"$hardy" incidents show "$(latest)" | sed "s/^/   /"

cleanup
trap - EXIT
title "Next"
cat <<NEXT
   export HARDY_STATE=${demo#"$PWD"/}/hardy.db
   build/hardy incidents list
   build/hardy actions list
   build/hardy run examples/provision.yaml --set name=shop     # kill it, type it again
   build/hardy exec --retries 3 --name search -- curl -fsS http://127.0.0.1:1/
   build/hardy --help
NEXT
exit "$failed"
