#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What `make run` shows ends by itself, is all as it says, and leaves nothing running.
set -u -o pipefail
PATH=$PATH:/usr/sbin:/sbin
for need in nginx curl; do
    command -v $need >/dev/null || {
        echo "1..0 # SKIP $need is not here"
        exit 0
    }
done
echo 1..4
out=$(timeout 120 "$DEMO" 2>&1)
status=$?
[ $status -eq 0 ] && echo 'ok 1 - the demonstration ends with 0' || {
    echo "not ok 1 - the demonstration ends with 0"
    sed 's/^/# /' <<<"status $status
$out"
}
took=$(sed -n 's/.*Done in \([0-9]*\) s.*/\1/p' <<<"$out")
[ "${took:-999}" -lt 90 ] && echo "ok 2 - in a minute or so" || echo "not ok 2 - in a minute or so: ${took:-it did not end}"
grep -q 'NOT OK\|Killed\|line [0-9]*:' <<<"$out" && echo 'not ok 3 - nothing odd is printed' || echo 'ok 3 - nothing odd is printed'
left=$(grep -lsF "$HARDY_BUILD/demo" /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | grep -v "/proc/$$/")
sleep 0.2
left=$(for f in $left; do [ -e "$f" ] && tr '\0' ' ' <"${f%/*}/cmdline" 2>/dev/null; done)
[ -z "$left" ] && echo 'ok 4 - nothing is left running' || echo "not ok 4 - nothing is left running: $left"
