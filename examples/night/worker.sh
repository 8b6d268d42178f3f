#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Does a piece of work a hundred times a second and says so; a gap in the numbers is a line that was lost.
for ((n = 1; ; n++)); do
    echo "piece $n, by $$"
    sleep 0.01
done
