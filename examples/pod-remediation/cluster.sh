#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A cluster the size of a folder: pods are files in CLUSTER_DIR (./cluster-state). Each holds how often
# the pod was started, and whether it is well.
#
#   cluster.sh start POD...          pods that are well
#   cluster.sh break POD             it crashes, until it is restarted
#   cluster.sh failing               prints name and starts of each that is not well
#   cluster.sh restart POD           restarts it, slowly, whatever its state; never looks first
#   cluster.sh restarted POD STARTS  exit 0: it was started since then; 1: it was not
#
# While there is a file CLUSTER_DIR/down the API answers nothing: exit 75, nothing was done.
set -eu

dir=${CLUSTER_DIR:-./cluster-state}
mkdir -p "$dir"

starts() { sed 's/ .*//' "$dir/$1.pod"; }
write() { # POD STARTS STATE
    echo "$2 $3" >"$dir/.$1.$$"
    mv "$dir/.$1.$$" "$dir/$1.pod"
}

if [ -e "$dir/down" ] && [ "${1:-}" != start ]; then
    echo "cluster.sh: the API does not answer" >&2
    exit 75
fi
case ${1:-} in
start)
    shift
    for pod; do write "$pod" 1 well; done
    ;;
break) write "$2" "$(starts "$2")" failing ;;
failing)
    for file in "$dir"/*.pod; do
        pod=$(basename "$file" .pod)
        ! grep -q failing "$file" || echo "$pod $(starts "$pod")"
    done
    ;;
restart)
    sleep "${CLUSTER_DELAY:-1}"
    write "$2" $(($(starts "$2") + 1)) well
    echo "$2 restarted"
    ;;
restarted) [ "$(starts "$2")" -gt "$3" ] ;;
*)
    sed -n '3,12s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
