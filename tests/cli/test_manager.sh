#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy as a service: what it tells the manager that started it (Type=notify, WatchdogSec= in systemd's words),
# over a socket with a path and over an abstract one; and that a hardy which is stuck falls silent.
home=$(cd "$(dirname "$0")/../.." && pwd)
. "$home/tests/tap.sh"

listen() { # listen SOCKET: what is heard there goes to `heard`
    : >heard
    timeout 60 python3 "$home/tests/cli/service_manager.py" "$1" heard &
    ear=$!
    wait_for bound "${1#@}"
}
bound() { grep -qF "$1" /proc/net/unix; }
silent() { kill "$ear"; { wait "$ear"; } 2>/dev/null; }
heard() { grep -qE "^[0-9]+ $1" heard; }
count() { grep -cE "^[0-9]+ $1" heard; }
manager_end() {
    tap_status=$?
    kill -KILL ${ear:-} ${hardy:-} 2>/dev/null
    (exit $tap_status)
    tap_end
}
trap manager_end EXIT

start() { # start OWNER NAME=VALUE... -- ARGUMENTS: as its manager does; the watchdog is OWNER's, self or a pid
    : >serve.out
    : >serve.err
    (
        export WATCHDOG_PID=${1/self/$BASHPID}
        while shift && [ "$1" != -- ]; do export "${1?}"; done
        shift
        exec "$HARDY" "$@" >serve.out 2>serve.err
    ) &
    hardy=$!
}
ends() { # ends WANTED WHAT
    local status=0
    wait "$hardy" || status=$?
    is "$2" "$status" "$1"
}
echo 'gateway: {}' >hardy.yaml
serving=(serve -c hardy.yaml --listen 127.0.0.1:0 --admin 127.0.0.1:0)

# --- hardy serve, over a path
listen "$work/notify"
start self NOTIFY_SOCKET="$work/notify" WATCHDOG_USEC=400000 -- "${serving[@]}"
ok 'it says when it is ready' wait_for heard 'READY=1 STATUS=serving on 127\.0\.0\.1:[0-9]+$'
ok 'and listens by then' grep -q '^listening on ' serve.out
more() { [ "$(count 'WATCHDOG=1$')" -ge "$1" ]; }
ok 'it feeds the watchdog' wait_for more 10
is 'well within its time' "$(awk '/WATCHDOG=1$/ { if (last && n++ < 8) sum += $1 - last; last = $1 } END { mean = sum / 8; print (mean > 150 && mean < 390) ? "yes" : mean }' heard)" yes
kill -STOP "$hardy"
sleep 0.1 # what was on its way
before=$(count WATCHDOG)
sleep 0.7
is 'one that is stopped falls silent' "$(count WATCHDOG)" "$before"
kill -CONT "$hardy"
ok 'one that goes on is heard again' wait_for more $((before + 2))
kill -HUP "$hardy"
twice() { [ "$(count READY=1)" -ge 2 ]; }
ok 'it says when it has loaded its configuration again' wait_for twice
is 'and that it is about to' "$(grep -oE 'RELOADING=1 MONOTONIC_USEC=[0-9]+$|READY=1' heard | sed 's/MONO.*/at/' | tr '\n' ' ')" 'READY=1 RELOADING=1 at READY=1 '
kill -TERM "$hardy"
ends 0 'it ends'
ok 'and says so before' wait_for heard 'STOPPING=1 STATUS=waiting for requests to end$'
silent

# --- over an abstract name; without a watchdog, or with one that is another process's
listen "@hardy-test-$$"
start 1 NOTIFY_SOCKET="@hardy-test-$$" WATCHDOG_USEC=100000 -- "${serving[@]}"
ok 'an abstract name' wait_for heard READY=1
sleep 0.3
is "another process's watchdog is not fed" "$(count WATCHDOG)" 0
kill -TERM "$hardy"
ends 0 'it ends'
silent

# --- hardy supervise, and what it starts
cat >hardy.yaml <<'EOY'
checks: [{name: environment, command: 'env >environment.tmp; mv environment.tmp environment', interval: 200ms, timeout: 150ms}]
EOY
listen "$work/notify2"
start self NOTIFY_SOCKET="$work/notify2" WATCHDOG_USEC=200000 -- supervise -c hardy.yaml
ok 'hardy supervise says when it watches' wait_for heard 'READY=1 STATUS=watching$'
ok 'it feeds the watchdog' wait_for heard 'WATCHDOG=1$'
wait_for test -s environment
is 'what it starts does not speak for it' "$(grep -cE '^(NOTIFY_SOCKET|WATCHDOG_)' environment)" 0
kill -TERM "$hardy"
ends 143 'it ends'
ok 'and says so before' wait_for heard 'STOPPING=1 STATUS='
silent

# --- nobody listens
echo 'gateway: {}' >hardy.yaml
start self NOTIFY_SOCKET="$work/nobody" WATCHDOG_USEC=100000 -- "${serving[@]}"
wait_for grep -q '^listening on ' serve.out
ok 'a manager that is away is told of' wait_for grep -qF "$work/nobody: cannot tell the service manager" serve.err
kill -TERM "$hardy"
ends 0 'and it serves all the same'
start self NOTIFY_SOCKET=somewhere -- "${serving[@]}"
ok 'an address that is none is told of' wait_for grep -qF 'NOTIFY_SOCKET: "somewhere" is neither a path nor @ and a name' serve.err
kill -TERM "$hardy"
ends 0 'and it serves all the same'
