#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# peers.sh BENCH_GUARD: what the policies cost (guard.c prints that in full), and beside each figure that of
# known libraries on the same machine, one after the other: golang.org/x/time/rate and tenacity from Debian,
# opossum and cockatiel from npm. A peer that cannot be had is told and left out. Each library is called as
# its language calls it: in Node.js a call is a promise, in Python an interpreted function.
set -u
bench=$(realpath "$1") # meson hands out paths relative to its build folder
peers=$(cd "$(dirname "$0")/peers" && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
missing() { echo "not compared: $*"; }

"$bench" | tee hardy.txt
[ "${PIPESTATUS[0]}" = 0 ] || exit 1
echo

: >peers.txt
if ! command -v go >/dev/null; then
    missing 'x/time/rate: go is not here (tools/packages.sh bench)'
elif ! GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=$work/go timeout 120 go build -o rate "$peers/rate.go" 2>go.err; then
    missing "x/time/rate: $(head -n 1 go.err)"
else
    timeout 60 ./rate | sed 's/^/x\/time\/rate /' >>peers.txt
fi
python=
for one in python3 /usr/bin/python3; do # Debian's packages are for Debian's Python
    "$one" -c 'import tenacity' 2>/dev/null && python=$one && break
done
if [ -z "$python" ]; then
    missing 'tenacity is not here (tools/packages.sh bench)'
else
    timeout 60 "$python" "$peers/retry_tenacity.py" | sed 's/^/tenacity /' >>peers.txt
fi
cp "$peers/package.json" "$peers/breakers.mjs" .
if ! command -v npm >/dev/null; then
    missing 'opossum and cockatiel: npm is not here (tools/packages.sh bench)'
elif ! timeout 120 npm install --ignore-scripts --no-audit --no-fund --silent >npm.log 2>&1; then
    missing "opossum and cockatiel: $(grep -m 1 . npm.log)"
elif ! timeout 120 node breakers.mjs >node.txt 2>node.err; then
    missing "opossum and cockatiel: $(grep -m 1 -i error node.err)"
else
    cat node.txt >>peers.txt
fi

# ours ROW: nanoseconds on one thread, of a row that guard.c printed
ours() {
    awk -v row="$1" '{ sub(/^ +/, ""); if (index($0, row " ") == 1) { split(substr($0, length(row) + 1), f, " "); print f[1]; exit } }' hardy.txt
}
theirs() { awk -F '\t' -v row="$1" '$1 == row { print $2 }' peers.txt; }
# line TEXT ROW PEER...: one line of the table; PEER is "name=row"
line() {
    local text=$1 mine pair ns out=
    mine=$(ours "$2")
    [ -n "$mine" ] || { echo "guard.c has no row \"$2\"" >&2; exit 1; }
    for pair in "${@:3}"; do
        ns=$(theirs "${pair#*=}")
        [ -z "$ns" ] || out+=$(awk -v n="${pair%%=*}" -v a="$mine" -v b="$ns" \
            'BEGIN { printf "  %s %.0f (%.0fx)", n, b, b / a }')
    done
    printf '%-44s %8.1f %s\n' "$text" "$mine" "$out"
}
printf '%-44s %8s   %s\n' 'ns per call, one thread' hardy 'the peers, and how many times hardy'
line 'breaker closed: admit, call, record' 'breaker, closed: admit + record' 'opossum=opossum closed' 'cockatiel=cockatiel closed'
line 'breaker open: refuse' 'breaker, open: refuse' 'opossum=opossum open' 'cockatiel=cockatiel open'
line 'breaker: a failure, 1,000 in its window' 'breaker, a failure of 1,000 in a minute' 'opossum=opossum failure 1000'
line 'breaker: a failure, 100,000 in its window' 'breaker, a failure of 100,000 in a minute' 'opossum=opossum failure 100000'
line 'rate limit: grant' 'limiter: grant' 'x/time/rate=x/time/rate grant'
line 'rate limit: refuse' 'limiter: refuse' 'x/time/rate=x/time/rate deny'
line 'guard with retry, budget and breaker' 'guarded no-op: retry, budget, breaker' 'cockatiel=cockatiel retry and breaker' 'tenacity (retry only)=tenacity retry'
