#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy run, killed again and again while steps run at once, sleep, wait for people, are undone.
#
#   test_flow_kills.sh [KILLS [SEED]]
. "$(dirname "$0")/flow.sh"
kills=${1:-20}
RANDOM=${2:-7}

# effect NAME [SECONDS]: a line for each beginning, one for the effect.
cat >effect <<'END'
#!/bin/sh
echo "$HARDY_RUN_ID $HARDY_STEP begins $HARDY_IDEMPOTENCY_KEY" >>begun
sleep "${2:-0.03}"
echo "$HARDY_RUN_ID $1 $HARDY_STEP" >>effects
echo "{\"made\": \"$1\"}"
END
chmod +x effect
workflow all <<'END'
name: all
steps:
  - {name: a, run: ["./effect", "do"], compensate: ["./effect", "undo"]}
  - name: fan
    parallel:
      - {name: b, run: ["./effect", "do", "0.08"], compensate: ["./effect", "undo"]}
      - {name: line, steps: [{name: nap, sleep: 100ms}, {name: c, run: ["./effect", "do"]}]}
      - {name: d, run: ["./effect", "do"], compensate: ["./effect", "undo", "0.06"]}
      - {name: ask, approve: {message: "go on?"}}
  - {name: each, for_each: [x, y, z], max_concurrent: 2, run: ["./effect", "do"], compensate: ["./effect", "undo"]}
  - {name: up, until: ["test", "-e", "effects"], every: 20ms}
  - {name: end, run: "./effect do; exit ${CODE:-0}"}
END
# Approves what asks, while hardy is killed and begun again.
approver() {
    while [ -e approving ]; do
        for id in $("$HARDY" workflows list 2>/dev/null | sed -n 's/^\(r[0-9]*\) .*/\1/p'); do
            show_has "$id" "step fan/ask of $id waits" && "$HARDY" -q workflows approve "$id" fan/ask 2>/dev/null
        done
        sleep 0.15
    done
}
touch approving
approver &
approver=$!
trap 'rm -f approving; wait $approver; tap_end' EXIT

killed=0
runs=0
odd=0
while [ $killed -lt "$kills" ]; do
    runs=$((runs + 1))
    export CODE=$((runs % 2 * 3)) # every other fails and is undone
    tries=0
    while :; do
        "$HARDY" run all.yaml --id "r$runs" >/dev/null 2>"err.$runs" &
        hardy=$!
        { sleep "0.$(printf '%03d' $((RANDOM % 400)))"; kill -9 $hardy; } 2>/dev/null &
        killer=$!
        wait $hardy 2>/dev/null
        ended=$?
        kill $killer 2>/dev/null && wait $killer 2>/dev/null
        tries=$((tries + 1))
        [ $ended -eq 137 ] || break
        killed=$((killed + 1))
        [ $tries -lt 60 ] || break
    done
    [ $ended -eq $((runs % 2)) ] || { odd=$((odd + 1)); tap_note "r$runs ends with $ended: $(tail -n 3 "err.$runs")"; }
done 2>/dev/null
rm approving
ok 'killed often' test "$killed" -ge "$kills"
is 'each run came to the end it had to come to' "$odd" 0
is 'no step was begun twice' "$(sort begun | uniq -d)" ''
is 'no effect is twice' "$(sort effects | uniq -d)" ''
wanted=
for r in $(seq "$runs"); do
    done=$(grep -c "^r$r do " effects) undone=$(grep -c "^r$r undo " effects)
    [ "$done $undone" = "8 $((r % 2 * 6))" ] || wanted="$wanted r$r:$done,$undone"
    # What ended last is undone first: items, then what ran at once, then a.
    [ $((r % 2)) -eq 0 ] || [ "$(grep "^r$r undo" effects | tail -n 1)" = "r$r undo a" ] || wanted="$wanted r$r:order"
    [ $((r % 2)) -eq 0 ] || [ "$(grep "^r$r undo" effects | head -n 3 | grep -c each)" -eq 3 ] || wanted="$wanted r$r:order"
done
is 'none is missing, and all that had to be is undone, last first' "$wanted" ''
# The lock of a step that hardy was killed before it recorded, and that did not run any more, goes later.
is 'nothing is left behind' "$(left_files | grep -v '\.lock$')" ''
echo "# $runs runs, killed $killed times"
