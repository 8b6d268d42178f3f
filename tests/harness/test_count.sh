#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What tools/tests.py makes of each way in which a test can end. A way of failing that is counted as a
# success would hide every bug that fails in this way.
set -u -o pipefail
home=$(cd "$(dirname "$0")/../.." && pwd)
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
cases=0

# counts WHAT "PASSED FAILED SKIPPED" RESULT STATUS OUTPUT [PATTERN THAT MUST BE SAID]
counts() {
    local said
    cases=$((cases + 1))
    printf '{"name": "t", "stdout": "%s", "result": "%s", "returncode": %s, "stderr": ""}\n' "$5" "$3" "$4" >"$log"
    said=$(python3 "$home/tools/tests.py" count gcc "$log" 2>&1)
    if [ "$(tail -n 1 <<<"$said")" = "$2" ] && grep -qE -- "${6:-}" <<<"$said"; then
        echo "ok $cases - $1"
    else
        echo "not ok $cases - $1: wanted $2"
        sed 's/^/# /' <<<"$said"
    fi
}

counts 'cases that pass' '2 0 0' OK 0 '1..2\nok 1 - a\nok 2 - b\n'
counts 'a case that fails' '1 1 0' FAIL 0 '1..2\nok 1 - a\nnot ok 2 - b\n' 'FAILED: gcc: t: b'
counts 'a failure also seen in the exit status is one failure' '0 1 0' ERROR 1 '1..1\nnot ok 1 - b\n'
counts 'a crash in the middle' '1 1 0' ERROR -11 '1..3\nok 1 - a\n' 'exit status -11'
counts 'a crash before the first case' '0 1 0' ERROR -6 '' 'exit status -6'
counts 'an end in time that never came' '1 1 0' TIMEOUT -15 '1..3\nok 1 - a\n' 'did not end in time'
counts 'a time-out without output' '0 1 0' TIMEOUT -15 ''
counts 'an exit status after good cases' '1 1 0' ERROR 3 '1..1\nok 1 - a\n' 'exit status 3'
counts 'cases that never ran' '1 1 0' ERROR 0 '1..3\nok 1 - a\n' 'announced 3 cases and reported 1'
counts 'no plan' '1 1 0' ERROR 0 'ok 1 - a\n' 'without a plan'
counts 'a plan of nothing' '0 1 0' SKIP 0 '1..0\n' 'does not say why'
counts 'a skip with its reason' '1 0 1' OK 0 '1..2\nok 1 - a\nok 2 - b # SKIP no server\n' 'skipped: gcc: t: b: no server'
counts 'a skip without a reason' '1 1 0' OK 0 '1..2\nok 1 - a\nok 2 - b # SKIP\n' 'does not say why'
counts "cmocka's skip" '1 1 0' FAIL 0 '1..2\nok 1 - a\nnot ok 2 # SKIP b\n' 'cannot say why'
counts 'a whole program skipped' '0 0 1' SKIP 0 '1..0 # SKIP no nginx\n' 'skipped: gcc: t: no nginx'
counts 'a program without TAP that passes' '1 0 0' OK 0 'hello\n'
counts 'a program without TAP that fails' '0 1 0' FAIL 1 'hello\n' '    hello'
counts 'a program without TAP that skips' '0 0 1' SKIP 77 'no nginx here\n' 'skipped: gcc: t: no nginx here'
counts 'a program that skips in silence' '0 1 0' SKIP 77 ''
echo "1..$cases"
