#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# http.sh BENCH_HTTP: what the HTTP server costs on loopback, in CPU time and system calls for each
# answer (of a stream: for each event), beside a bare socket of the same loop that parses nothing.
set -u
bench=$(realpath "$1")
rounds=${ROUNDS:-5}
work=$(mktemp -d) || exit 1
server=
finish() {
    [ -n "$server" ] && kill "$server" 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT

"$bench" serve >"$work/ports" &
server=$!
for ((i = 0; i < 100; i++)); do
    [ -s "$work/ports" ] && break
    sleep 0.05
done
read -r http bare <"$work/ports" || exit 1

counted() { # counted CALLS PIECES ARGUMENT...: system calls of the server for each piece
    local calls=$1 pieces=$2 tracer
    shift 2
    command -v strace >/dev/null || { echo -; return; }
    strace -c -qq -o "$work/counts" -p "$server" 2>/dev/null &
    tracer=$!
    sleep 0.3
    "$bench" load "$@" >/dev/null || exit 1
    kill -INT "$tracer" 2>/dev/null
    wait "$tracer"
    # bench_http makes AT_ONCE calls beforehand, and two for /usage.
    awk -v n="$pieces" '$NF == "total" { printf "%.2f\n", $4 / n; found = 1 } END { if (!found) print "-" }' \
        "$work/counts"
}

printf '%-44s %10s %10s %10s\n' "median of $rounds rounds" 'a second' 'CPU us' 'calls'
row() { # row WHAT PORT TARGET CALLS AT_ONCE BODY PIECES_OF_A_CALL
    local what=$1 port=$2 target=$3 calls=$4 at_once=$5 body=$6 pieces=$7 i
    for ((i = 0; i < rounds; i++)); do
        "$bench" load "$port" "$http" "$target" "$calls" "$at_once" "$body" || exit 1
    done | sort -k 2,2n | awk '{ line[NR] = $0 } END { print line[int((NR + 1) / 2)] }' >"$work/row"
    printf '%-44s %10s %10s %10s\n' "$what" $(cat "$work/row") \
        "$(counted "$calls" $(((calls + at_once) * pieces)) "$port" "$http" "$target" "$calls" "$at_once" "$body")"
}
row 'a bare socket, 16 connections (the floor)' "$bare" / 20000 16 0 1
row 'GET, answer of 1 kB, 1 connection' "$http" /reply 5000 1 0 1
row 'GET, answer of 1 kB, 16 connections' "$http" /reply 20000 16 0 1
row 'POST of 600 B, 16 connections' "$http" /reply 20000 16 600 1
row 'POST of 197 kB, 4 connections' "$http" /reply 3000 4 201728 1
row 'event of 130 B, 50 streams' "$http" /events 200 50 0 100
