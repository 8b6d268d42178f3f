#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_gather_example.sh PROGRAM: all is fresh, then one is as it was before, then that is an error.
set -u -o pipefail
echo 1..1
output=$(timeout 10 "$1" 2>&1)
if [ $? -eq 0 ] && [ "$output" = 'full: metrics is fresh: load 4, alerts is fresh: none, that is all
moderate: metrics is cached: load 4, alerts is fresh: none, that is all
the level is failed, at worst moderate is allowed; failed: metrics
failed: metrics is missing, alerts is fresh: none, that is all' ]; then
    echo 'ok 1 - examples/gather.c'
else
    echo 'not ok 1 - examples/gather.c'
    sed 's/^/# /' <<<"$output"
fi
