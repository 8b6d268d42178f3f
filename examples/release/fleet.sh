#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Three servers the size of a folder, for trying hardy out: FLEET_DIR (state, beside this file).
#
#   fleet.sh build VERSION                packs what is to be installed, prints it as JSON
#   fleet.sh list                         the servers, a JSON list
#   fleet.sh install SERVER VERSION       slowly, each time anew; prints what was there before
#   fleet.sh installed SERVER VERSION     prints the same, exit 0; exit 1 when it is another one
#   fleet.sh healthy SERVER               exit 0 some time after an installation
#   fleet.sh traffic SERVER on|off
#   fleet.sh smoke VERSION                exit 1 for the version `bad`
#   fleet.sh show                         the servers, and what was ever done to them
set -eu

dir=${FLEET_DIR:-$(dirname "$0")/state}
delay=${FLEET_DELAY:-1}
mkdir -p "$dir"
note() { echo "$*" >>"$dir/log"; }
# put FILE TEXT: it is there with the whole text, or not at all.
put() {
    printf '%s\n' "$2" >"$dir/.$1.$$"
    mv "$dir/.$1.$$" "$dir/$1"
}
get() { cat "$dir/$1" 2>/dev/null || echo "$2"; }
installed() {
    printf '{"server": "%s", "version": "%s", "before": "%s"}\n' \
        "$1" "$(get "$1.version" 1.0)" "$(get "$1.before" 1.0)"
}

case ${1:-} in
build)
    sleep "$delay"
    put "artifact-$2" "the program, version $2"
    printf '{"version": "%s", "sha256": "%s"}\n' "$2" "$(sha256sum <"$dir/artifact-$2" | cut -c1-16)"
    ;;
list) echo '["web-1", "web-2", "web-3"]' ;;
install)
    put "$2.installing" "$3"
    sleep "$delay"
    note "install $2 $3"
    put "$2.before" "$(get "$2.version" 1.0)"
    put "$2.version" "$3"
    installed "$2"
    ;;
installed)
    [ "$(get "$2.version" 1.0)" = "$3" ] || exit 1
    installed "$2"
    ;;
healthy)
    looks=$(($(get "$2.looks" 0) + 1))
    put "$2.looks" $((looks % 3))
    [ $looks -eq 3 ]
    ;;
traffic)
    note "traffic $2 $3"
    put "$2.traffic" "$3"
    ;;
smoke)
    sleep "$delay"
    [ "$2" != bad ] || { echo "the shop shows an empty page" >&2 && exit 1; }
    ;;
show)
    for server in web-1 web-2 web-3; do
        echo "$server runs $(get $server.version 1.0), traffic $(get $server.traffic on)"
    done
    sed 's/^/  /' "$dir/log" 2>/dev/null || true
    ;;
*)
    sed -n '3,13s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
