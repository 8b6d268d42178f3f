#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The service of the incident example: a real nginx, started, stopped, broken and asked about.
#
#   payment-api.sh start | stop | restart | running | freeze
#
# PAYMENT_API_DIR is its folder, PAYMENT_API_PORT its port. `restart` may be run any number of times:
# afterwards one fresh nginx runs. `running` exits 0 when it answers, 1 when it does not.
set -eu

dir=${PAYMENT_API_DIR:?the folder for its configuration, logs and pid file}
port=${PAYMENT_API_PORT:?the port it listens on}
here=$(cd "$(dirname "$0")" && pwd)
PATH=$PATH:/usr/sbin:/sbin

master() { # the pid of the master, nothing when it does not run
    pid=$(cat "$dir/nginx.pid" 2>/dev/null) || return 0
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = nginx ] && echo "$pid" || true
}

workers() { # pids of the workers of master $1
    cat "/proc/$1/task/$1/children" 2>/dev/null || true
}

start() {
    mkdir -p "$dir"
    sed -e "s|@DIR@|$dir|g" -e "s|@PORT@|$port|g" "$here/nginx.conf.in" >"$dir/nginx.conf"
    nginx -q -e "$dir/error.log" -c "$dir/nginx.conf"
}

stop() {
    pid=$(master)
    [ -n "$pid" ] || return 0
    children=$(workers "$pid")
    # A frozen worker cannot hear anything but KILL.
    kill -TERM "$pid" 2>/dev/null || true
    [ -z "$children" ] || kill -KILL $children 2>/dev/null || true
    tries=0
    while [ -n "$(master)" ] && [ $tries -lt 50 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    [ -z "$(master)" ] || kill -KILL "$pid" 2>/dev/null || true
}

case ${1:-} in
start) start ;;
stop) stop ;;
restart)
    stop
    sleep 1 # the time connections get to go away
    start
    ;;
running) curl -fsS --max-time 2 -o /dev/null "http://127.0.0.1:$port/health" || exit 1 ;;
freeze) kill -STOP $(workers "$(master)") ;;
*)
    sed -n '3,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
