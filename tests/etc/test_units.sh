#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The systemd units: nothing is wrong with them, what they run is a command line of hardy's, and the system calls
# that hardy makes while it serves, loads anew and ends are among those it is left.
home=$(cd "$(dirname "$0")/../.." && pwd)
. "$home/tools/free_port.sh"
. "$home/tests/tap.sh"
command -v systemd-analyze >/dev/null || {
    skip 'units' 'systemd-analyze is not here'
    exit 0
}
export SYSTEMD_LOG_LEVEL=warning
ln -s "$(realpath "$HARDY")" hardy
for unit in hardy hardy-supervise; do
    sed "s#/usr/bin/hardy#$work/hardy#" "$home/etc/$unit.service" >"$unit.service"
    code "$unit.service" 0 systemd-analyze verify --man=no --recursive-errors=no "./$unit.service"
    is 'nothing is wrong with it' "$out$err" ''
    line=$(sed -n 's#^ExecStart=/usr/bin/hardy ##p' "$home/etc/$unit.service")
    code "it runs a command that there is" 2 ./hardy ${line% -c *} -c none.yaml
    like 'which only lacks its file' "$err" 'none\.yaml'
    sed 's/^WatchdogSec=/WatchdgSec=/' "$unit.service" >wrong.service
    like 'a mistake would be found' "$(systemd-analyze verify --man=no ./wrong.service 2>&1)" WatchdgSec
done
exposure=$(systemd-analyze security --offline=yes ./hardy.service 2>/dev/null | sed -n 's/.*Overall exposure level for hardy.service: \([0-9.]*\).*/\1/p')
ok "the exposure level of hardy.service is $exposure, of 10" python3 -c "assert float('$exposure') < 2.5"

# --- the system calls
command -v strace >/dev/null || {
    skip 'system calls' 'strace is not here'
    exit 0
}
# Those of a set, sets inside it followed.
calls() {
    systemd-analyze syscall-filter "$1" | sed '1d;s/^ *//;/^#/d' | while read -r name; do
        case $name in '') ;; @*) calls "$name" ;; *) echo "$name" ;; esac
    done
}
left=
while read -r line; do
    for set in ${line#\~}; do
        found=$(case $set in @*) calls "$set" ;; *) echo "$set" ;; esac | sort -u)
        case $line in
        ~*) left=$(comm -23 <(echo "$left") <(echo "$found")) ;;
        *) left=$(sort -u <(echo "$left") <(echo "$found")) ;;
        esac
    done
done < <(sed -n 's/^SystemCallFilter=//p' hardy.service)
mkdir state
cat >hardy.yaml <<EOY
state: $work/state/hardy.db
gateway: {listen: "127.0.0.1:$(free_port)"}
admin: {listen: "127.0.0.1:$(free_port)"}
checks: [{name: self, http: "http://127.0.0.1:1/", interval: 200ms, timeout: 100ms}, {name: command, command: ["true"], interval: 200ms, timeout: 100ms}, {name: disk, disk: /, disk_free: 1kB, interval: 200ms, timeout: 100ms}]
EOY
admin=$(sed -n 's/^admin.*"\(.*\)".*/\1/p' hardy.yaml)
: >serve.out
timeout 60 strace -f -qq -o trace ./hardy serve -c hardy.yaml >serve.out 2>serve.err &
tracer=$!
wait_for grep -q '^listening on ' serve.out
curl -s "http://$admin/metrics" >none
curl -s -X POST -H 'Content-Type: application/json' -H "Authorization: Bearer $(cat state/token)" \
    -d '{"name": "deploy", "key": "k1"}' "http://$admin/api/v1/actions" >none
pid=$(sed -n '1s/ .*//p' trace)
kill -HUP "$pid"
wait_for grep -q 'configuration loaded' serve.err
sleep 0.5
kill -TERM "$pid"
wait "$tracer"
made=$(sed -nE 's/^[0-9]+ +([a-z_0-9]+)\(.*/\1/p' trace | sort -u)
ok 'it did something' test "$(wc -l <<<"$made")" -gt 30
is 'it makes no system call that the unit forbids' "$(comm -23 <(echo "$made") <(echo "$left"))" ''
