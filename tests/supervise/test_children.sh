#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Real processes under `hardy supervise`: started in order, restarted, watched, reloaded, ended with all they
# have started; adopted after hardy was killed.
. "$(dirname "$0")/../../tools/free_port.sh"
. "$(dirname "$0")/../tap.sh"

# up [ARGUMENT]...: hardy in the background; what it says goes to log, its pid into $hardy
up() {
    : >log
    "$HARDY" supervise -c c.yaml "$@" >>log 2>&1 &
    hardy=$!
}
says() { grep -qE -e "$1" log; }
said() { wait_for says "$1"; }
times() { [ "$(grep -cE -e "$1" log)" -ge "$2" ]; }
down() { # down CODE WHAT
    local status=0
    kill -TERM "$hardy"
    wait "$hardy" || status=$?
    hardy=
    is "$2" "$status" "$1"
}
kill_hardy() { { kill -9 "$hardy"; wait "$hardy"; } 2>/dev/null; }
pid_of() { sed -nE "s/.*  $1 +(starting|adopted) +pid ([0-9]+).*/\2/p" log | tail -n 1; }
# Who still carries the mark of this state's children.
left() { grep -lsz "^HARDY_CHILD_ID=$(cat state/hardy.db-children/id 2>/dev/null)/" /proc/[0-9]*/environ | tr -dc '0-9\n'; }
children_end() {
    tap_status=$?
    [ -z "${hardy:-}" ] || kill -9 "$hardy" 2>/dev/null
    for pid in $(left); do kill -9 "$pid" 2>/dev/null; done
    [ -z "$small" ] || { sleep 0.2; umount "$small"; }
    (exit $tap_status)
    tap_end
}
small= # a file system of its own
trap children_end EXIT

# --- one command, without a file ----------------------------------------------------------------
code 'its exit code is hardy'"'"'s' 7 timeout 20 "$HARDY" supervise --restart never -- sh -c 'exit 7'
code 'a success that is not to be restarted' 0 timeout 20 "$HARDY" supervise --restart on_failure -- true
code 'its output is its own' 0 timeout 20 "$HARDY" supervise --restart never -- echo hello
is 'and nothing else is on standard output' "$out" hello
code 'a code that means that a restart does not help' 78 timeout 20 "$HARDY" supervise -- sh -c 'exit 78'
like 'is told' "$err" 'sh: given up: exited with 78 after .*: starting it again would not help$'
code 'what cannot be executed' 127 timeout 20 "$HARDY" supervise --restart never -- ./nothing
like 'what cannot be executed is told' "$err" 'nothing: not started: command not found: ./nothing'
code 'given up after too many' 3 timeout 20 "$HARDY" supervise --backoff-min 1ms --backoff-max 2ms \
    --intensity-restarts 3 --on-exhausted fail -- sh -c 'echo x >>tries; exit 3'
is 'one start and three restarts' "$(wc -l <tries)" 4
: >ready.txt
"$HARDY" supervise --name term -- sh -c 'trap "echo bye >>ready.txt; exit 5" TERM; echo here >>ready.txt; while :; do sleep 0.05; done' 2>log &
hardy=$!
wait_for grep -q here ready.txt
down 5 'TERM: it is ended, and its exit code is told'
is 'it was asked, not killed' "$(tail -n 1 ready.txt)" bye

# --- order ---------------------------------------------------------------------------------------
port=$(free_port)
cat >server.py <<'EOF'
import signal, socket, sys, time
signal.signal(signal.SIGTERM, lambda *a: sys.exit(0))
time.sleep(0.3)
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    s.accept()[0].close()
EOF
cat >c.yaml <<EOF
supervise:
  web: {command: "echo web >>order; exec sleep 1000", after: [db, cache], min_uptime: 50ms, env: {COLOUR: blue}}
  db: {command: ["python3", "server.py", "$port"], ready: "tcp 127.0.0.1:$port"}
  cache: {command: "sleep 0.1; echo cache >>order; exec sleep 1000", min_uptime: 200ms}
EOF
up
said 'web +ready'
is 'each starts when those before it are ready' "$(cat order)" 'cache
web'
like 'and is told what it waits for' "$(cat log)" 'web +waiting +for (db|cache)$'
ok 'its environment is what the file says' grep -qz '^COLOUR=blue$' "/proc/$(pid_of web)/environ"
sleep 1.1 # well for a second, it is restarted at once
kill -9 "$(pid_of db)"
said 'db +ended +was ended by KILL.*restarted at once'
wait_for times 'db +ready' 2
unlike 'what comes after it goes on' "$(cat log)" 'web +(stopping|ended)'
status=$("$HARDY" status -c c.yaml --admin 127.0.0.1:9 2>/dev/null)
like 'status shows who runs' "$status" "^web +ready +$(pid_of web) "
like 'and how one has died' "$status" "^db +ready +$(pid_of db) .* 1  was ended by KILL, .* ago$"
is 'the same as JSON' "$("$HARDY" status -c c.yaml --admin 127.0.0.1:9 --json 2>/dev/null | python3 -c 'import json, sys
print([(c["name"], c["state"], c["deaths"]) for c in json.load(sys.stdin)["children"]])')" \
    "[('cache', 'ready', 0), ('db', 'ready', 1), ('web', 'ready', 0)]"
down 143 'ended by TERM'
is 'ended in the reverse order' "$(sed -nE 's/.*  (web|db|cache) +stopped.*/\1/p' log | head -n 1)" web
is 'nothing is left' "$(left)" ''

# --- what goes wrong -----------------------------------------------------------------------------
cat >stubborn.sh <<'EOF'
trap '' TERM
sh -c 'trap "" TERM; while :; do sleep 0.05; done' &
setsid sh -c 'trap "" TERM; while :; do sleep 0.05; done' &
while :; do sleep 0.05; done
EOF
cat >c.yaml <<'EOF'
supervise:
  stubborn: {command: ["sh", "stubborn.sh"], stop: {timeout: 200ms}, min_uptime: 200ms}
EOF
up
said 'stubborn +ready'
others() { [ "$(left | wc -l)" -ge 3 ]; }
ok 'it has started others' wait_for others
down 143 'who ignores TERM is killed'
like 'and that is told' "$(cat log)" 'stubborn +killed +still there after 200ms'
is 'and all that it has started with it' "$(left)" ''

cat >c.yaml <<'EOF'
supervise:
  daemon: {command: "setsid sleep 1000 & sleep 0.1", restart: never, stop: {timeout: 2s}}
  other: {command: ["sleep", "1000"]}
EOF
up
said 'daemon +left over +it has ended and left processes running'
said 'daemon +ended +exited with 0'
is 'what it has left behind is ended' "$(left)" "$(pid_of other)"
down 143 'the other one is ended'

# What makes itself independent is left alone, and reaped.
cat >c.yaml <<'EOF'
supervise:
  parent: {command: "env -u HARDY_CHILD_ID setsid sh -c 'echo $$ >free; sleep 0.5' & sleep 0.3; exit 1", restart: never}
  other: {command: ["sleep", "1000"]}
EOF
up
said 'parent +ended +exited with 1'
unlike 'what has no mark is left alone' "$(cat log)" 'left over'
ok 'it lives on' kill -0 "$(cat free)"
ended_all() { [ ! -e "/proc/$(cat free)" ]; }
ok 'and nothing is left of it when it ends' wait_for ended_all
down 143 'ended by TERM'
if [ "$(id -u)" = 0 ] && unshare --fork --pid --mount-proc true 2>/dev/null; then
    code 'as the first process of a container' 6 timeout 20 unshare --fork --pid --mount-proc "$HARDY" supervise --name first --restart on_failure --never-restart-on 6 -- sh -c 'exit 6'
else
    skip 'as the first process of a container' 'namespaces need root'
fi

if command -v systemd-notify >/dev/null; then
    cat >c.yaml <<'EOF'
supervise:
  dog: {command: "sleep 0.2; systemd-notify --ready --status='all is well'; while :; do systemd-notify WATCHDOG=1; sleep 0.1; done", ready: notify, watchdog: 2s, stop: {timeout: 500ms}}
  late: {command: "sleep 1000", ready: notify, start_timeout: 300ms, restart: on_failure, intensity: {restarts: 1}, on_exhausted: fail}
EOF
    up
    said 'dog +ready'
    said 'late +late +not ready after 300ms'
    said 'late +given up' && ok 'who is not ready in time is ended, and that is a failure' true
    sleep 2.5
    unlike 'who is heard of lives' "$(cat log)" 'dog +hung'
    # Another process of this machine, which is none of it, says that it ends.
    NOTIFY_SOCKET=$work/state/hardy.db-children/dog.notify timeout 5 systemd-notify STOPPING=1
    kill -STOP "$(pid_of dog)"
    said 'dog +hung +not heard of for 2s; it gets ABRT' && ok 'who is stopped is not heard of' true
    said 'dog +ended +was ended by ABRT'
    wait_for times 'dog +ready' 2 && ok 'and is started again' true
    unlike 'a stranger is not listened to' "$(cat log)" 'dog +stopping'
    down 143 'both are ended'
else
    skip 'readiness and watchdog' 'systemd-notify is not here'
fi

# --- adopted ---------------------------------------------------------------------------------------
# Lines with numbers, under a lock of its own that says when there are two of it.
cat >lines.sh <<'EOF'
exec 9>only.lock
flock -n 9 || { echo two >>twice; exit 78; }
n=0
while :; do n=$((n + 1)); echo "line $n ............................................................"; sleep 0.002; done
EOF
cat >c.yaml <<'EOF'
supervise:
  lines: {command: ["bash", "lines.sh"], log: {file: lines.log, max_size: 4KiB, keep: 1000}, min_uptime: 20ms}
  plain: {command: ["sleep", "1000"], after: [lines], min_uptime: 10ms}
EOF
up
said 'plain +ready'
lines=$(pid_of lines) plain=$(pid_of plain)
for round in $(seq "${ROUNDS:-15}"); do
    kill_hardy
    [ $((round % 3)) -ne 0 ] || sleep 0.1
    up
    # In each phase: while it begins, and when it has adopted them.
    if [ $((round % 2)) -eq 0 ]; then said 'plain +adopted'; else sleep "0.0$((RANDOM % 10))"; fi
done
said 'plain +adopted'
is 'the same processes after all kills' "$(pid_of lines) $(pid_of plain)" "$lines $plain"
# Another one waits, and takes over.
: >second.log
"$HARDY" supervise -c c.yaml >>second.log 2>&1 &
second=$!
wait_for grep -q 'lines  *elsewhere' second.log
kill_hardy
hardy=$second
wait_for grep -q "lines  *adopted  *pid $lines," second.log && ok 'who waited takes over' true
kill -9 "$lines"
wait_for grep -qE 'lines +ended +has ended, nobody knows how' second.log && ok 'how an adopted one ended is not known, and said so' true
wait_for grep -qE 'lines +starting' second.log
wait_for grep -q "^line 9 " lines.log
down 143 'ended by TERM'
is 'never two at once' "$(cat twice 2>/dev/null)" ''
# The log of the first life: 1, 2, 3 ... whatever happened to hardy; then that of the second.
cat $(ls -rv lines.log.* 2>/dev/null) lines.log >all
is 'no line is lost, none is there twice' "$(awk '$2 == 1 { begun++; n = 0 } $1 != "line" || $2 != ++n { print "at " NR ": " $0; exit } END { print begun " lives" }' all)" '2 lives'
ok 'there are many' test "$(wc -l <all)" -gt 300
ok 'in many files' test "$(ls lines.log.* | wc -l)" -gt 2
is 'each of which ends with a line' "$(for f in lines.log.*; do tail -c 1 "$f" | od -An -c; done | sort -u | tr -d ' ')" '\n'

# The file has changed when it is adopted.
cat >c.yaml <<'EOF'
supervise:
  one: {command: ["sleep", "1000"], min_uptime: 10ms}
  two: {command: ["sleep", "1000"], min_uptime: 10ms}
EOF
up
said 'one +ready'
said 'two +ready'
one=$(pid_of one) two=$(pid_of two)
kill_hardy
sed -i '/two:/d; s/1000/2000/' c.yaml
up
said "one +adopted +pid $one, .*; the file says another command, directory or environment now, which needs a restart" && ok 'what has changed needs a restart' true
said "two +left +pid $two runs, and is not under supervise: any more" && ok 'what is not in the file any more is told' true
down 143 'ended by TERM'
is 'and is left alone' "$(left)" "$two"
kill -9 "$two"

# Killed while it starts something, again and again: a child that dies at once, and says when there are two.
cat >quick.sh <<'EOF'
exec 9>quick.lock
flock -n 9 || { echo two >>twice; exit 78; }
echo x >>quick
sleep 0.02
EOF
cat >c.yaml <<'EOF'
supervise:
  quick: {command: ["bash", "quick.sh"], backoff: {min: 1ms, max: 1ms}, intensity: {restarts: 100, within: 1s}, retry_after: 1s}
EOF
: >quick
for round in $(seq "${KILLS:-30}"); do
    up
    sleep "0.0$((RANDOM % 10))$((RANDOM % 10))"
    kill_hardy
done
up
before=$(wc -l <quick)
more() { [ "$(wc -l <"$1")" -gt "$2" ]; }
wait_for more quick $((before + 3)) && ok 'it is started again and again' true
down 143 'ended by TERM'
is 'never two at once, whenever hardy was killed' "$(cat twice 2>/dev/null)" ''
is 'and nothing of it is left' "$(left)" ''

# --- jobs, many of them --------------------------------------------------------------------------
{
    echo 'supervise:'
    echo '  last: {command: "echo last >>jobs", restart: never, after: [job1, job150]}'
    for n in $(seq 150); do echo "  job$n: {command: \"echo $n >>jobs\", restart: never}"; done
} >c.yaml
code 'when all are done hardy ends' 0 timeout 60 "$HARDY" supervise -c c.yaml
is 'each was done once' "$(sort -u jobs | wc -l) $(wc -l <jobs)" '151 151'
ok 'the last one after the others' test "$(sed -nE '/last/q; /^(1|150)$/p' jobs | wc -l)" = 2
sed -i 's/echo 7 >>jobs/exit 9/; s/restart: never}/restart: on_failure, on_exhausted: fail, backoff: {max: 100ms}}/' c.yaml
code 'one of them fails' 1 timeout 60 "$HARDY" supervise -c c.yaml

# --- reload, another main process ----------------------------------------------------------------
if command -v systemd-notify >/dev/null; then
    cat >forks.sh <<'EOF'
(while :; do sleep 0.02; done) &
systemd-notify --ready "MAINPID=$!"
exit 0
EOF
    cat >c.yaml <<'EOF'
supervise:
  forks: {command: ["bash", "forks.sh"], ready: notify}
EOF
    up
    said 'forks +main process +pid'
    main=$(sed -nE 's/.*main process +pid ([0-9]+).*/\1/p' log)
    sleep 0.3
    unlike 'the end of the first process is not the end' "$(cat log)" 'forks +ended'
    kill -9 "$main"
    said 'forks +ended +has ended, nobody knows how' && ok 'the end of the one that it has named is' true
    down 143 'ended by TERM'
    is 'all of it' "$(left)" ''
else
    skip 'another main process' 'systemd-notify is not here'
fi

# --- a full disk -----------------------------------------------------------------------------------
mkdir -p small
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=64k none small 2>/dev/null; then
    small=$work/small
    cat >c.yaml <<'EOF'
supervise:
  talker: {command: "n=0; while :; do n=$((n + 1)); echo line $n; [ $((n % 1000)) -ne 0 ] || echo $n >>count; done", log: {file: small/talker.log, max_size: 1MiB}}
EOF
    : >count
    up
    said 'talker +log +.*No space left on device; its output is dropped until that ends' && ok 'a full disk is told' true
    wait_for more count $(($(wc -l <count) + 20)) && ok 'and the child goes on' true
    is 'told once' "$(grep -c 'No space left' log)" 1
    mount -o remount,size=64m small
    wait_for grep -q 'bytes of output were lost here' small/talker.log && ok 'what was lost is said where it is missing' true
    down 143 'ended by TERM'
    umount small
    small=
else
    skip 'a full disk' 'a small file system needs root'
fi

# --- a pause ---------------------------------------------------------------------------------------
cat >c.yaml <<'EOF'
supervise:
  held: {command: ["sleep", "1000"], min_uptime: 10ms}
EOF
if "$HARDY" --help | grep -q '^  pause'; then
    up
    said 'held +ready'
    code 'paused' 0 "$HARDY" pause held -c c.yaml
    kill -9 "$(pid_of held)"
    said 'held +held +it would have been restarted; paused by' && ok 'while it is paused it is not restarted, and that is said' true
    code 'resumed' 0 "$HARDY" resume held -c c.yaml
    wait_for times 'held +starting' 2 && ok 'and then it is' true
    down 143 'ended'
fi
