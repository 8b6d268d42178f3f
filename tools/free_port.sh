# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by the demonstration, the tests and the benchmarks.

# A port of 127.0.0.1 that nobody listens on, for a server that cannot be asked which one it took. It is below
# those that Linux gives to connections, or a client of another test might come first.
free_port() {
    local port
    for _ in {1..100}; do
        port=$((20000 + RANDOM % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || {
            echo "$port"
            return
        }
    done
    echo "no free port on 127.0.0.1 found" >&2
    exit 1
}
