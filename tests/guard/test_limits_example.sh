#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_limits_example.sh PROGRAM SOURCE: the example says what docs/rate-limit.md shows of it.
set -u -o pipefail
echo 1..1
output=$(timeout 10 "$1" 2>&1)
shown=$(sed -n '/^```text$/,/^```$/{/^```/d;p}' "$2/docs/rate-limit.md")
if [ -n "$output" ] && [ "$output" = "$shown" ]; then
    echo 'ok 1 - examples/limits.c'
else
    echo 'not ok 1 - examples/limits.c'
    sed 's/^/# /' <<<"$output"
fi
