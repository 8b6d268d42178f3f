#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_sdk.sh FILE: a test with the official SDKs. They are installed once for a checkout, from package-lock.json.
set -u
cd "$(dirname "$0")" || exit 99
: "${HARDY:?the program to test}"
HARDY=$(realpath "$HARDY")
export HARDY
exec 9>.lock # several builds may be tested at once
flock -w 120 9
stamp=node_modules/.hardy-$(sha256sum package-lock.json | cut -c1-16)
if [ ! -e "$stamp" ]; then
    if ! npm ci --ignore-scripts --no-audit --no-fund >npm.log 2>&1; then
        echo '1..1'
        echo 'not ok 1 - npm installs the SDKs'
        sed 's/^/#   /' npm.log
        exit 1
    fi
    touch "$stamp"
fi
exec 9>&-
exec timeout 170 node "$1"
