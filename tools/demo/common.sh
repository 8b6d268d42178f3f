# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the parts of the demonstration share; sourced by them. HARDY_BUILD names another folder than
# build.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$root/tools/free_port.sh"
build=${HARDY_BUILD:-$root/build}
hardy=$build/hardy
PATH=$PATH:/usr/sbin:/sbin
failed=0

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' off=$'\e[0m'
else
    bold='' dim='' green='' red='' off=''
fi

say() { printf '%s\n' "$*"; }
title() { printf '\n%s== %s%s\n' "$bold" "$*" "$off"; }
good() { printf '%s   ok%s  %s\n' "$green" "$off" "$*"; }
bad() {
    printf '%s   NOT OK%s  %s\n' "$red" "$off" "$*" >&2
    failed=1
}
check() { # check WHAT COMMAND...
    local what=$1
    shift
    if "$@"; then good "$what"; else bad "$what"; fi
}

wait_for() { # wait_for PATTERN FILE: until a line matches, at most 30 s
    for _ in {1..3000}; do
        grep -q -- "$1" "$2" 2>/dev/null && return 0
        sleep 0.01
    done
    say "waited 30 s for \"$1\" in $2" >&2
    return 1
}
