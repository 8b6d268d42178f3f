#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_slow_names.sh LIBRARY: a step whose name server does not answer ends at its deadline all the same,
# and knows that nothing was sent.
library=$(realpath "$1")
. "$(dirname "$0")/../tap.sh"
cat >slow.sh <<'END'
#!/bin/sh
LD_PRELOAD=$1 HARDY_DEADLINE=$(date -u -d '+2 seconds' +%Y-%m-%dT%H:%M:%SZ) exec "$HARDY" __http
END
export HARDY_REQUEST='{"method":"POST","url":"http://api.example.com/charge"}'
begun=$(milliseconds)
code 'no name in time' 75 timeout 20 sh slow.sh "$library"
took=$(($(milliseconds) - begun))
is 'at its deadline' "$((took < 5000))" 1
like 'it says so' "$err" 'charge: nothing was sent: connecting: deadline passed'
