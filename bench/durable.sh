#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# durable.sh BENCH HARDY: durable steps a second of the engine (durable.c), what a whole `hardy run` costs
# with its processes, and, where npm can fetch it, LangGraph's SQLite saver on the same disk.
set -u
bench=$(realpath "$1") # meson hands out paths relative to its build folder
hardy=$(realpath "$2")
here=$(cd "$(dirname "$0")" && pwd)
runs=${RUNS:-20}
work=$(mktemp -d "$PWD/durable-XXXXXX") || exit 1 # on the disk of the build: /tmp may be memory
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export HARDY_STATE=$work/hardy.db XDG_CONFIG_HOME=$work/none
unset HARDY_CONFIG

"$bench" "$work" | tee durable.txt
[ "${PIPESTATUS[0]}" -eq 0 ] || exit 1
figure() { awk -v what="$1" -v n="$2" -v column="$3" '$1 == what && $2 == n { print $column }' durable.txt; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", b ? a / b : 0 }'; }

echo
echo "runs of five steps that do nothing, as recorded: $(figure runs 1 4) of the floor one at a time (goal 0.6), $(figure runs 50 4) at 50 (goal 2)"

# --- with its processes
{
    echo 'name: five'
    echo 'steps:'
    for i in 1 2 3 4 5; do echo "  - {name: s$i, run: ['true']}"; done
} >five.yaml
milliseconds() { echo $(($(date +%s%N) / 1000000)); }
"$hardy" run -q five.yaml --new >/dev/null || exit 1
began=$(milliseconds)
for ((i = 0; i < runs; i++)); do "$hardy" run -q five.yaml --new >/dev/null || exit 1; done
whole=$(($(milliseconds) - began))
began=$(milliseconds)
for ((i = 0; i < runs * 5; i++)); do "$hardy" exec -- true || exit 1; done
bare=$(($(milliseconds) - began))
echo "hardy run of five times true: $(ratio $whole "$runs") ms, $(ratio $whole $bare) times five of hardy exec -- true, which keep nothing"

# --- its closest peer
skipped() {
    echo "skipped: LangGraph: $1"
    exit 0
}
command -v npm >/dev/null || skipped 'npm is not here'
peer=${LANGGRAPH:-$work/peer} # LANGGRAPH: a folder where the packages are already
if [ ! -d "$peer/node_modules" ]; then
    mkdir -p "$peer"
    (cd "$peer" && timeout 400 npm install --no-audit --no-fund --silent \
        @langchain/core @langchain/langgraph @langchain/langgraph-checkpoint-sqlite) >npm.log 2>&1 ||
        skipped "npm cannot install it: $(grep -m 1 . npm.log)"
fi
cp "$here/langgraph.mjs" "$peer/"
timeout 120 node "$peer/langgraph.mjs" "$work" 2 >langgraph.txt 2>langgraph.err ||
    skipped "it does not run here: $(grep -m 1 -i error langgraph.err)"
printf '%-10s %10s %10s %16s\n' LangGraph at-once steps/s 'hardy is so many times as fast'
while read -r count steps; do
    printf '%-10s %10d %10s %16s\n' '' "$count" "$steps" "$(ratio "$(figure runs "$count" 3)" "$steps")"
done <langgraph.txt
