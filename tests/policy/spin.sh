#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# spin.sh MODEL: what MODEL asserts holds in every state that spin can reach, and none is left out; each
# mistake that the model knows (a macro BUG_NAME switches it on) breaks an assertion.
set -u -o pipefail
export LC_ALL=C
model=$(readlink -f "$1")
name=${model##*/}
command -v spin >/dev/null || { echo '1..0 # SKIP spin is not installed'; exit 0; }
work=$(mktemp -d "${TMPDIR:-/tmp}/hardy-spin.XXXXXX") || exit 99
trap 'cd / && rm -rf "$work"' EXIT
cd "$work" && cp "$model" "$name" || exit 99
mapfile -t bugs < <(grep -oE '\bBUG_[a-z][a-z_]*' "$name" | sort -u)
echo "1..$((1 + ${#bugs[@]}))"
number=0
failed=0

ok() { # ok WHAT COMMAND...
    local what=$1
    shift
    number=$((number + 1))
    if "$@"; then
        echo "ok $number - $what"
    else
        echo "not ok $number - $what"
        sed 's/^/# /' said
        failed=1
    fi
}

# Safety only: what must come about is asserted at an end. Compiling takes longer than searching, so
# nothing is optimised.
search() { # search [-DMACRO]
    spin -a "$@" "$name" >said 2>&1 && cc -w -O0 -DSAFETY -DNOFAIR -DMEMLIM=1024 -o pan pan.c >>said 2>&1 &&
        timeout 60 ./pan -m100000 >>said 2>&1
}

holds() {
    search && grep -q 'errors: 0$' said && ! grep -qE 'not completed|too small|out of memory' said
}

seen() {
    search "-D$1" && grep -q 'errors: 1$' said && grep -q 'assertion violated' said
}

ok "$name holds" holds
for bug in "${bugs[@]}"; do
    what=${bug#BUG_}
    ok "$name is seen with: ${what//_/ }" seen "$bug"
done
exit $failed
