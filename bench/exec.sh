#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# exec.sh HARDY LAUNCH: what `hardy exec` adds to a command, as a ratio to the bare vfork and execve
# measured in the same run, and how many system calls it makes for it.
set -u
hardy=$(realpath "$1") # meson hands out paths relative to its build folder
launch=$(realpath "$2")
runs=${RUNS:-300}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export HARDY_STATE=$work/hardy.db XDG_CONFIG_HOME=$work/none
unset HARDY_CONFIG
true=$(command -v true) # the program, not the shell's own
[ -x "$true" ] || true=/bin/true

floor=$("$launch" "$runs" "$true") || exit 1
printf '%-52s %8s %8s\n' "median of $runs runs" 'us' 'ratio'
row() { # row WHAT COMMAND...
    local what=$1 time
    shift
    time=$("$launch" "$runs" "$@" | tail -n 1) || exit 1
    printf '%-52s %8d %8.2f\n' "$what" "$time" "$(awk -v a="$time" -v b="$floor" 'BEGIN { print a / b }')"
}
row 'true (the floor)' "$true"
row 'env true' env "$true"
row 'timeout 10 true' timeout 10 "$true"
row 'hardy --version (loading libraries)' "$hardy" --version
row 'hardy exec -- true' "$hardy" exec -- "$true"
row 'hardy exec --timeout 10s -- true' "$hardy" exec --timeout 10s -- "$true"
row 'hardy exec --retries 3 -- true (output held)' "$hardy" exec --retries 3 -- "$true"
row 'hardy exec --name bench -- true (shared breaker)' "$hardy" exec --name bench -- "$true"

if command -v strace >/dev/null; then
    echo
    printf '%-52s %8s\n' 'system calls of hardy alone' 'calls'
    calls() { # calls WHAT COMMAND...
        local what=$1
        shift
        strace -c -o counts "$@" 2>/dev/null
        printf '%-52s %8d\n' "$what" "$(awk '$NF == "total" { print $4 }' counts)"
    }
    calls 'hardy exec -- true' "$hardy" exec -- "$true"
    calls 'hardy exec --retries 3 -- true' "$hardy" exec --retries 3 -- "$true"
    calls 'hardy exec --name bench -- true' "$hardy" exec --name bench -- "$true"
fi
