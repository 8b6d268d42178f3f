#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_sanitizers.sh SEEDED SANITIZERS: runs one program per kind of bug and wants it ended by the
# sanitizer with that bug's name.
set -u -o pipefail
seeded=$1 sanitizers=$2
count=0

finds() { # finds BUG NAME
    local said
    count=$((count + 1))
    if said=$("$seeded" "$1" 2>&1); then
        echo "not ok $count - $1: the program went on"
    elif grep -q "$2" <<<"$said"; then
        echo "ok $count - $1"
    else
        echo "not ok $count - $1: ended without saying $2"
        sed 's/^/# /' <<<"$said"
    fi
}

if [[ $sanitizers == *address* ]]; then
    finds overflow heap-buffer-overflow
    finds leak LeakSanitizer
fi
[[ $sanitizers == *undefined* ]] && finds shift 'shift exponent'
[[ $sanitizers == *thread* ]] && finds race 'data race'
echo "1..$count"
