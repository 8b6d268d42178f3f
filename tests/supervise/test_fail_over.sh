#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Two real redis-servers behind one address: the first is killed, stopped, comes back; hardy is killed in
# the middle of a switch; two hardys share one state.
. "$(dirname "$0")/redis.sh"

# Asks for the server's name for ever, as fast as it is answered; a line for each change and each gap:
# "MILLISECONDS NAME" or "gap MILLISECONDS".
cat >client.py <<'PY'
import socket, sys, time
port, end = int(sys.argv[1]), time.monotonic() + 90
def ask():
    global s
    if s is None:
        s = socket.create_connection(("127.0.0.1", port), 5)
        s.settimeout(20)
    s.sendall(b"GET who\r\n")
    got = b""
    while got.count(b"\r\n") < 2:
        piece = s.recv(100)
        if not piece:
            raise OSError("closed")
        got += piece
    return got.split(b"\r\n")[1].decode()
s, last, name = None, time.monotonic(), None
while time.monotonic() < end:
    try:
        now = ask()
    except OSError:
        s = None
        time.sleep(0.005)
        continue
    if now != name:
        print("gap", int((time.monotonic() - last) * 1000), now, flush=True)
        name = now
    last = time.monotonic()
    time.sleep(0.005)
PY
client() { : >client.log; python3 client.py "$relay" >>client.log & client_pid=$!; }
gap() { sed -n "s/^gap \([0-9]*\) $1\$/\1/p" client.log | tail -n 1; }

redis first "$first"
redis second "$second"
configure 'after: 400ms' 'dwell: 2s' 'passes: 5' 'escalate_after: 1m' 'file: active' \
    'run: "echo $HARDY_FAIL_OVER $HARDY_FROM $HARDY_TO $HARDY_ADDRESS >>runs"'
supervise one
wait_for who first
ok 'it begins with the primary' who first
wait_for test -s active
is 'the file holds its address' "$(cat active)" "127.0.0.1:$first"
client
wait_for grep -q first client.log

# kill -9: down after two checks, switched after 400 ms more.
kill -9 "${redis[first]}"
ok 'a client goes on with the backup' wait_for grep -q 'second$' client.log
ok "and waits no longer than after, two checks and one interval ($(gap second) ms)" test "$(gap second)" -lt 1500
wait_for says 'switched +to second' one
is 'the command was run, and told what for' "$(cat runs)" "cache first second 127.0.0.1:$second"
is 'the file holds the new address' "$(cat active)" "127.0.0.1:$second"
like 'the reason is told' "$(cat one.log)" 'cache +switching +from first to second: first is down, for [0-9.]+m?s now'

curl -s --max-time 5 "http://127.0.0.1:$health/metrics" >metrics
like 'metrics: the switch' "$(cat metrics)" '^hardy_fail_over_switches_total\{name="cache"\} 1$'
like 'metrics: who is active' "$(cat metrics)" '^hardy_fail_over_active\{name="cache",candidate="second"\} 1$'
like 'metrics: not as it should be' "$(cat metrics)" '^hardy_fail_over_well\{name="cache"\} 0$'
like 'metrics: connections' "$(cat metrics)" '^hardy_fail_over_connections\{name="cache"\} [1-9]'
! command -v promtool >/dev/null || ok 'Prometheus reads them' sh -c 'promtool check metrics <metrics'

# It comes back: not before five passes and the dwell.
redis first "$first"
ok 'back to the primary' wait_for grep -q 'first$' <(tail -f -n +2 --pid=$client_pid client.log)
# From one decision to the next, as hardy wrote them down: what a client sees comes later, each time.
took=$(awk '/switching +from/ { split($1, t, ":"); at[++n] = (t[1] * 60 + t[2]) * 60 + t[3] }
    END { print int(1000 * (at[2] - at[1]) + 86400000.5) % 86400000 }' one.log)
ok "not before the dwell ($took ms)" test "$took" -ge 1900
ok 'nor before its check has passed five times' says 'switching +from second to first: first is well again: its check has passed ([5-9]|[1-9][0-9]) times in a row' one
is 'each switch ran its command once' "$(wc -l <runs)" 2

# Stopped, not dead: connections to it hang until the switch closes them.
wait_for says 'switched +to first' one
sleep 2 # the dwell
: >client.log
kill -STOP "${redis[first]}"
ok 'stopped: a client that hung goes on with the backup' wait_for grep -q 'second$' client.log
ok "within the same time ($(gap second) ms)" test "$(gap second)" -lt 1700
kill -CONT "${redis[first]}"
end_watcher
kill $client_pid

# A restart forgets neither the active one nor the dwell.
configure 'after: 200ms' 'dwell: 4s' 'passes: 1' 'file: active' 'run: "echo $HARDY_TO >>runs"'
supervise again
ok 'after a restart the same one is active' wait_for who second
not_ok 'and the dwell goes on' says 'switching' again
ok 'it ends' wait_for says 'switched +to first' again
ok 'and connections go there' wait_for who first
end_watcher

# Killed in the middle of a switch, while the command runs.
rm -rf state runs
configure 'after: 200ms' 'dwell: 1m' 'run: "echo $HARDY_TO >>runs; until [ -e go ]; do sleep 0.02; done"'
supervise killed
wait_for who first
kill -9 "${redis[first]}"
wait_for test -s runs
kill_hard "$watcher"
supervise taken
ok 'killed in a switch: taken up' wait_for says 'taken up +the switch from first to second was left unfinished' taken
ok 'the command is attached to' wait_for says 'attached, not started again' taken
: >go
ok 'and the switch is finished' wait_for says 'switched +to second' taken
ok 'connections go to the new one' wait_for who second
is 'the command ran once' "$(cat runs)" second
# And at moments that come as they come: each switch has its command once.
for moment in 0.05 0.2 0.35 0.42 0.45 0.5 0.6; do
    kill_hard "$watcher"
    rm -rf state runs go
    redis first "$first"
    supervise "killed-$moment"
    wait_for who first
    kill -9 "${redis[first]}"
    sleep "$moment"
    kill_hard "$watcher"
    : >go
    supervise "taken-$moment"
    ok "killed $moment s after the outage began: switched" wait_for who second
    is "killed $moment s after the outage began: the command ran once" "$(cat runs)" second
done
# Killed when it is over: nothing is done again.
kill_hard "$watcher"
supervise over
ok 'killed afterwards: the same one is active' wait_for who second
is 'the command is not run again' "$(cat runs)" second

# Another one on the same state waits, and takes over when the first dies.
deciding=$watcher
sed -i '/^health:/d' c.yaml # its address is taken
supervise other
ok 'a second hardy waits' wait_for says 'waiting +another hardy decides' other
kill_hard "$deciding"
ok 'and takes over when that dies' wait_for who second
is 'without running the command again' "$(cat runs)" second
end_watcher

# Nobody knows how the command ended: it is shown, connections go on, a person says.
rm -rf state runs go
redis first "$first"
configure 'after: 200ms' 'dwell: 1m' 'run: "echo $HARDY_TO >>runs; [ -e go ] || sleep 30"'
supervise lost
wait_for who first
kill -9 "${redis[first]}"
wait_for test -s runs
shims() { grep -lsaF "$work/state/hardy.db-steps" /proc/[0-9]*/cmdline | sed 's/[^0-9]//g'; }
# shellcheck disable=SC2046
kill_hard "$watcher" $(shims)
supervise found
ok 'lost: it is in doubt' wait_for says 'in doubt +the command of the switch to second was started and nobody knows how it ended' found
ok 'people are told' wait_for says '^PAGE .*nobody knows how it ended' found
like 'it is listed' "$("$HARDY" actions list)" 'fail_over/cache/1'
ok 'connections go to the new one all the same' wait_for who second
is 'it was not run again' "$(wc -l <runs)" 1
: >go
code 'a person says that it is to be done again' 0 "$HARDY" actions resolve fail_over/cache/1 --retry
ok 'and it is' wait_for says 'switched +to second' found
is 'once more' "$(wc -l <runs)" 2
end_watcher

# Only looking on.
rm -rf state runs
redis first "$first"
AUTOMATION=observe configure 'after: 200ms' 'run: "echo $HARDY_TO >>runs"'
supervise observed
wait_for who first
kill -9 "${redis[first]}"
ok 'observe: it tells what it would do' wait_for says 'proposed +first is down, for .* now; would switch to second, but automation is observe' observed
ok 'and calls people' wait_for says '^PAGE .* first is down' observed
not_ok 'but does nothing' test -e runs
redis first "$first"
ok 'when it is well again that is told' wait_for says '^RESOLVED .* first is up' observed

# Nobody is left.
end_watcher
rm -rf state
configure 'after: 200ms'
supervise all
wait_for who first
kill -9 "${redis[first]}" "${redis[second]}"
ok 'both down: it stays, and calls people' wait_for says '^PAGE .* first is down, for .* now; no other one is up: second is (down|about to fail)' all
not_ok 'and switches to nobody' says switching all
