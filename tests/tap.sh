# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For shell tests: source it first. It makes an empty folder, goes there, and keeps the machine's own
# configuration and state out. HARDY is the program to test.
#
#   ok WHAT COMMAND...        the command succeeds
#   not_ok WHAT COMMAND...    it fails
#   is WHAT GOT WANTED        two texts are the same
#   like WHAT GOT PATTERN     an extended regular expression matches
#   unlike WHAT GOT PATTERN   it does not
#   code WHAT WANTED COMMAND...   the exit code; standard output goes to $out, standard error to $err
#   skip WHAT WHY
# The plan is printed at the end.
set -u -o pipefail
export LC_ALL=C
unset HARDY_CONFIG HARDY_STATE STATE_DIRECTORY NO_COLOR
: "${HARDY:?the program to test}"
tap_count=0
tap_failed=0
work=$(mktemp -d "${TMPDIR:-/tmp}/hardy-test.XXXXXX") || exit 99
cd "$work" || exit 99
export XDG_CONFIG_HOME=$work/none XDG_STATE_HOME=$work/none HARDY_STATE=$work/state/hardy.db
out=
err=

tap_end() {
    local status=$?
    cd / && rm -rf "$work"
    echo "1..$tap_count"
    [ "$status" -eq 0 ] || exit "$status"
    [ "$tap_failed" -eq 0 ] || exit 1
}
trap tap_end EXIT

tap_result() { # tap_result STATUS WHAT
    tap_count=$((tap_count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $tap_count - $2"
    else
        echo "not ok $tap_count - $2"
        tap_failed=$((tap_failed + 1))
    fi
    return 0
}

tap_note() { printf '%s\n' "$1" | sed 's/^/#   /'; }

ok() {
    local what=$1
    shift
    "$@"
    tap_result $? "$what"
}

not_ok() {
    local what=$1
    shift
    ! "$@"
    tap_result $? "$what"
}

is() {
    [ "$2" = "$3" ]
    local status=$?
    tap_result $status "$1"
    [ $status -eq 0 ] || { tap_note "got:    $2"; tap_note "wanted: $3"; }
}

like() {
    grep -qE -e "$3" <<<"$2"
    local status=$?
    tap_result $status "$1"
    [ $status -eq 0 ] || { tap_note "got: $2"; tap_note "to match: $3"; }
}

unlike() {
    ! grep -qE -e "$3" <<<"$2"
    local status=$?
    tap_result $status "$1"
    [ $status -eq 0 ] || { tap_note "got: $2"; tap_note "not to match: $3"; }
}

code() {
    local what=$1 wanted=$2 status
    shift 2
    "$@" >"$work/.out" 2>"$work/.err"
    status=$?
    out=$(cat "$work/.out")
    err=$(cat "$work/.err")
    [ $status -eq "$wanted" ]
    local good=$?
    tap_result $good "$what"
    [ $good -eq 0 ] || { tap_note "exit code $status instead of $wanted"; tap_note "$out"; tap_note "$err"; }
}

skip() {
    tap_count=$((tap_count + 1))
    echo "ok $tap_count - $1 # SKIP $2"
}

# ended TEXT: no process has it in its command line, or soon none has.
ended() {
    local i
    for i in $(seq 100); do
        grep -qsF -e "$1" /proc/[0-9]*/cmdline || return 0
        sleep 0.02
    done
    return 1
}

# wait_for COMMAND...: until it succeeds, ten seconds at most.
# A file that a command in the background will write is emptied before: it opens it only later.
wait_for() {
    local i
    for i in $(seq 500); do
        "$@" && return 0
        sleep 0.02
    done
    tap_note "waited in vain for: $*"
    return 1
}

milliseconds() { echo $(($(date +%s%N) / 1000000)); }
