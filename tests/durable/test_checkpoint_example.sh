#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_checkpoint_example.sh PROGRAM: examples/checkpoint.c, killed with -9 again and again, adds up every number once
# and reports once.
set -u -o pipefail
program=$(realpath "$1")
folder=$(mktemp -d "${TMPDIR:-/tmp}/hardy-example.XXXXXX") || exit 99
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 99
seq 1 600 >numbers
echo 1..3
kills=0 kept=0
for _ in $(seq 100); do
    "$program" state.db numbers report 15 >out 2>err &
    pid=$!
    sleep "0.$((RANDOM % 250 + 100))" &
    sleeper=$!
    wait -n "$pid" "$sleeper"
    if kill -9 "$pid" 2>/dev/null; then
        wait "$pid" 2>/dev/null
        kills=$((kills + 1))
    fi
    kill "$sleeper" 2>/dev/null && wait "$sleeper" 2>/dev/null
    grep -qs '^goes on after' out && kept=$((kept + 1))
    grep -qs '"sum"' out && break
done
result() { [ "$1" -eq 0 ] && echo "ok $2 - $3" || { echo "not ok $2 - $3" && sed 's/^/#   /' out err report; }; }
grep -qx '{"numbers":600,"sum":180300}' out
result $? 1 "after $kills kills every number was added once"
[ "$(grep -c '600 numbers, sum 180300$' report)" = 1 ] && [ "$(wc -l <report)" = 1 ]
result $? 2 'and reported once'
[ "$kills" -gt 0 ] && [ "$kept" -gt 0 ]
result $? 3 'it was killed, and went on from where it was'
