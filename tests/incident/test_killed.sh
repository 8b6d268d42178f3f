#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 of hardy at every step of an incident of a real nginx: it always ends resolved, with one
# restart by nginx's own log. Then of hardy and of the restart itself.
. "$(dirname "$0")/nginx.sh"

n=0
for line in 'down ' 'opened ' 'gathered ' 'analysed ' 'acting ' 'restart started' 'restart done' 'verified ' 'resolved '; do
    n=$((n + 1))
    watch "first$n" --once
    wait_for says ' up ' "first$n"
    before=$(starts) # counted once it answers: a daemon logs its start when it is told to have started
    service freeze
    wait_for says "$line" "first$n"
    kill_hard "$watcher"
    watcher=''
    state=$("$HARDY" incidents show --json "$(latest)" | sed -n 's/^  "state": "\(.*\)",/\1/p')
    if [ "$line" = 'verified ' ] || [ "$line" = 'resolved ' ]; then
        is "killed after \"$line\": it is recorded as resolved" "$state" resolved
    else
        watch "second$n" --once
        watch_end 0 "killed after \"$line\": resolved by the next one"
        [ "$line" = 'down ' ] || ok "killed after \"$line\": it was taken up, not begun anew" says 'taken up' "second$n"
    fi
    ok "killed after \"$line\": it answers" service running
    is "killed after \"$line\": one restart" "$(($(starts) - before))" 1
done
is 'as many incidents as outages' "$("$HARDY" incidents list | grep -c '^inc-')" 9
is 'every remedy is done' "$("$HARDY" actions list --json | grep -c '"state": "done"')" 9

# hardy and the shim, with the restart in the middle: nobody knows how it ended, so the probe is asked.
HOLD=1 watch lost --once
wait_for says ' up ' lost
before=$(starts)
service freeze
wait_for says 'restart started' lost
wait_for service stop # what the restart began with has happened
# shellcheck disable=SC2046
kill_hard "$watcher" $(shims)
ok 'the restart died with its shim' ended "$work/restart.sh"
is 'it was not started' "$(($(starts) - before))" 0
watch found --once
watch_end 0 'lost in the middle: resolved'
like 'the probe was asked' "$(cat found.log)" 'nobody knows how restart ended; .*the probe says: not done'
is 'lost in the middle: one start' "$(($(starts) - before))" 1
like 'the record tells of it' "$("$HARDY" incidents show "$(latest)")" 'nobody knows how restart ended'
