#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# One round of an agent that restarts pods which fail. Run it from cron, as often as you like, by two
# at once, or again after a kill: each failure is answered by one restart.
#
#   ./cluster.sh start web api && ./cluster.sh break web
#   ./remediate.sh
#   hardy actions list               # what it did, and when
#
# The key is the pod with the number of its start: it stays the same while this failure lasts, and is
# another one for the next. Nobody knows how a restart ended that was killed in the middle; then the
# probe looks whether the pod was started since.
set -eu
cd "$(dirname "$0")"

guarded() { hardy exec -c hardy.yaml --name cluster "$@"; }

failing=$(guarded -- ./cluster.sh failing)
worst=0
while read -r pod starts; do
    [ -n "$pod" ] || continue
    code=0
    guarded --key "restart-$pod-$starts" --probe "./cluster.sh restarted $pod $starts" \
        -- ./cluster.sh restart "$pod" </dev/null || code=$?
    case $code in
    0 | 73) continue ;; # done; or another round is at it
    69 | 75) echo "remediate.sh: the cluster's API is away, $pod waits for the next round" >&2 ;;
    *) echo "remediate.sh: $pod needs a person" >&2 ;;
    esac
    worst=$code
done <<PODS
$failing
PODS
exit "$worst"
