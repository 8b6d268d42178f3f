#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_minimal.sh PROGRAM: the example runs and gets its answer at the third attempt.
set -u -o pipefail
echo 1..1
output=$(timeout 10 "$1" 2>&1)
if [ $? -eq 0 ] && [ "$output" = 'the answer is 42' ]; then
    echo 'ok 1 - examples/minimal.c'
else
    echo 'not ok 1 - examples/minimal.c'
    sed 's/^/# /' <<<"$output"
fi
