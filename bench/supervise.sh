#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# supervise.sh HARDY SUPERVISE: from the KILL of a child that has lived for 1.3 s to the begin of its next life,
# and the memory of whoever supervises ten children (proportional set size, without the children), as ratios to
# runit in the same run. ROUNDS=10. What is not installed is left out, and said.
set -u
hardy=$(realpath "$1") # meson hands out paths relative to its build folder
supervise=$(realpath "$2")
rounds=${ROUNDS:-10}
work=$(mktemp -d) || exit 1
pids=()
stop() { # everything that was started here, and what carries this folder's name
    local pid
    [ ${#pids[@]} -eq 0 ] || kill -TERM "${pids[@]}" 2>/dev/null
    sleep 0.3
    for pid in $(grep -lsF "$work" /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr -dc '0-9\n' | sort -u); do
        [ "$pid" = $$ ] || kill -9 "$pid" 2>/dev/null
    done
    [ ${#pids[@]} -eq 0 ] || wait "${pids[@]}" 2>/dev/null
    pids=()
}
trap 'stop 2>/dev/null; rm -rf "$work"' EXIT
cd "$work" || exit 1
export BENCH_SUPERVISE=$work HARDY_STATE=$work/state/hardy.db XDG_CONFIG_HOME=$work/none
unset HARDY_CONFIG
sleep=$(command -v sleep)
begin() { "$@" >/dev/null 2>&1 & pids+=($!); }

# Each makes what it needs for COUNT children that run COMMAND, and begins; whoever supervises is in $top.
with_runit() {
    local n
    mkdir -p runit
    for ((n = 0; n < $1; n++)); do
        mkdir -p "runit/$n"
        printf '#!/bin/sh\nexec %s\n' "$2" >"runit/$n/run"
        chmod +x "runit/$n/run"
    done
    begin runsvdir runit
}
with_s6() {
    local n
    mkdir -p s6
    for ((n = 0; n < $1; n++)); do
        mkdir -p "s6/$n"
        printf '#!/bin/sh\nexec %s\n' "$2" >"s6/$n/run"
        chmod +x "s6/$n/run"
    done
    begin s6-svscan s6
}
with_supervisord() {
    local n
    printf '[supervisord]\nnodaemon=true\nlogfile=%s/supervisord.log\npidfile=%s/supervisord.pid\n' "$work" "$work" >supervisord.conf
    for ((n = 0; n < $1; n++)); do
        printf '[program:p%d]\ncommand=%s\nautorestart=true\n' "$n" "$2" >>supervisord.conf
    done
    begin supervisord -n -c supervisord.conf
}
with_monit() {
    local n
    printf 'set daemon 1\nset logfile %s/monit.log\nset pidfile %s/monit.pid\nset idfile %s/monit.id\nset statefile %s/monit.state\n' \
        "$work" "$work" "$work" "$work" >monitrc
    for ((n = 0; n < $1; n++)); do
        printf '#!/bin/sh\n%s & echo $! >%s/%d.pid\n' "$2" "$work" "$n" >"start$n"
        chmod +x "start$n"
        printf 'check process p%d with pidfile %s/%d.pid\n  start program = "%s/start%d"\n' "$n" "$work" "$n" "$work" "$n" >>monitrc
    done
    chmod 600 monitrc
    begin monit -I -c "$work/monitrc"
}
with_hardy() { # the first restart of a child that was well is measured, each time
    local n
    echo 'supervise:' >c.yaml
    for ((n = 0; n < $1; n++)); do
        echo "  p$n: {command: \"exec $2\", reset_after: 1s, intensity: {restarts: 100}}" >>c.yaml
    done
    begin "$hardy" supervise -c c.yaml
}
needs() { case $1 in runit) echo runsvdir ;; s6) echo s6-svscan ;; supervisord | monit) echo "$1" ;; *) echo true ;; esac; }
there() { command -v "$(needs "$1")" >/dev/null || PATH=$PATH:/usr/sbin command -v "$(needs "$1")" >/dev/null; }
PATH=$PATH:/usr/sbin

printf '%-34s %9s %9s %8s\n' "from KILL to running, of $rounds" 'median us' 'most us' 'to runit'
floor=
for name in runit s6 supervisord monit hardy; do
    there $name || { echo "$name: not here (its Debian package is not installed)"; continue; }
    rm -f life
    with_$name 1 "$supervise live $work/life"
    few=$rounds
    [ $name != monit ] || few=3 # it looks once a second
    read -r median most < <("$supervise" kill "$work/life" "$few" 1300) || { echo "$name: did not restart it"; stop; continue; }
    [ $name != runit ] || floor=$median
    printf '%-34s %9d %9d %8s\n' "$name" "$median" "$most" "$([ -z "$floor" ] || awk -v a="$median" -v b="$floor" 'BEGIN { printf "%.2f", a / b }')"
    stop 2>/dev/null
done

below() { # all that supervises: the first, and what it has started that is no child of ours
    local pid
    echo "$1"
    for pid in $(pgrep -P "$1"); do
        [ "$(readlink "/proc/$pid/exe")" = "$(readlink -f "$sleep")" ] || below "$pid"
    done
}
echo
printf '%-34s %9s %9s %8s\n' 'memory with ten children' 'PSS KiB' 'processes' 'to runit'
floor=
for name in runit s6 supervisord monit hardy; do
    there $name || continue
    with_$name 10 "$sleep 1000"
    for _ in $(seq 100); do
        [ "$(pgrep -cxf "$sleep 1000")" -ge 10 ] && break
        sleep 0.1
    done
    sleep 1.5
    total=0 count=0
    for pid in $(below "${pids[0]}"); do
        pss=$(awk '/^Pss:/ { print $2 }' "/proc/$pid/smaps_rollup" 2>/dev/null) || continue
        total=$((total + ${pss:-0})) count=$((count + 1))
    done
    [ $name != runit ] || floor=$total
    printf '%-34s %9d %9d %8s\n' "$name" "$total" "$count" "$([ -z "$floor" ] || awk -v a="$total" -v b="$floor" 'BEGIN { printf "%.2f", a / b }')"
    stop 2>/dev/null
done
