#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A cloud the size of a folder, for trying hardy out: things are files in CLOUD_DIR (./cloud-state).
#
#   cloud.sh create KIND NAME [PARENT]   makes one, slowly, and prints it as JSON; never looks first
#   cloud.sh find KIND NAME              prints it, exit 0; exit 1 when there is none
#   cloud.sh list
#
# CLOUD_FAILS=2 refuses the first two calls for each thing: exit 75, nothing was made.
set -eu

dir=${CLOUD_DIR:-./cloud-state}

case ${1:-} in
create)
    mkdir -p "$dir"
    tries=$(cat "$dir/.$2-$3.tries" 2>/dev/null || echo 0)
    if [ "$tries" -lt "${CLOUD_FAILS:-0}" ]; then
        echo $((tries + 1)) >"$dir/.$2-$3.tries"
        echo "cloud.sh: too many requests" >&2
        exit 75
    fi
    sleep "${CLOUD_DELAY:-1}"
    id=$2-$(od -An -N4 -tx4 /dev/urandom | tr -d ' ')
    printf '{"id": "%s", "kind": "%s", "name": "%s", "parent": "%s"}\n' "$id" "$2" "$3" "${4:-}" \
        >"$dir/.$id.tmp"
    mv "$dir/.$id.tmp" "$dir/$2-$3.$id.json"
    cat "$dir/$2-$3.$id.json"
    ;;
find)
    for file in "$dir/$2-$3".*.json; do
        [ -e "$file" ] || exit 1
        cat "$file"
        exit 0
    done
    ;;
list) cat "$dir"/*.json 2>/dev/null || true ;;
*)
    sed -n '3,10s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
