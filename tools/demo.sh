#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What `make run` shows: an agent whose provider fails, a workflow that is
# killed, a night, an incident. tools/demo.sh [gateway|workflow|night|incident]
set -u
cd "$(dirname "$0")/demo" || exit 1
began=$SECONDS
status=0
for part in ${1:-gateway workflow night incident}; do
    bash "./$part.sh" || status=1
done
printf '\nDone in %s s; nothing is left running.\n' $((SECONDS - began))
exit $status
