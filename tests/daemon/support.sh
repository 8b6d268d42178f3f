# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For the tests of `hardy serve`: source it in place of tap.sh. It starts the upstream of upstream.py
# ($upstream is its address) and ends whatever it has started.
#
#   serve ARGUMENT...   starts the daemon on free ports and waits until it is ready: $daemon (its pid),
#                       $gateway and $admin (http://...), out.N and log.N with N = $served
#   ask CURL-ARGUMENT...    the answer's status in $status, its head in the file head, its body in $body
#   message URL CURL-ARGUMENT...    the same for a message of an agent
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../tap.sh"
if ! command -v curl >/dev/null || ! command -v python3 >/dev/null; then
    skip 'the daemon' 'curl or python3 is not here'
    exit 0
fi
export XDG_RUNTIME_DIR=$work/run
unset RUNTIME_DIRECTORY ANTHROPIC_BASE_URL OPENAI_BASE_URL http_proxy https_proxy all_proxy
mkdir upstream
to_end=()
served=0

daemon_end() {
    tap_status=$?
    local pid
    for pid in "${to_end[@]}"; do
        kill -9 "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
    done
    (exit $tap_status)
    tap_end
}
trap daemon_end EXIT

python3 "$here/upstream.py" upstream >upstream/port 2>upstream/errors &
to_end+=($!)
wait_for test -s upstream/port || exit 1
upstream=http://127.0.0.1:$(cat upstream/port)

serve_begin() {
    served=$((served + 1))
    "$HARDY" serve "$@" >"out.$served" 2>"log.$served" &
    daemon=$!
    to_end+=("$daemon")
}

serve_ready() {
    wait_for grep -qs '^admin on ' "out.$served" || {
        tap_note "$(cat "log.$served")"
        exit 1
    }
    gateway=$(sed -n 's/^listening on //p' "out.$served")
    admin=$(sed -n 's/^admin on //p' "out.$served")
}

serve() {
    serve_begin --listen 127.0.0.1:0 --admin 127.0.0.1:0 "$@"
    serve_ready
}

# The daemon's exit code in $code, how long its end took in $took. It must end by itself.
end() {
    local from
    from=$(milliseconds)
    kill "-${1:-TERM}" "$daemon"
    ended_by_itself
    took=$(($(milliseconds) - from))
}

ended_by_itself() {
    local i
    for i in $(seq 500); do
        kill -0 "$daemon" 2>/dev/null || break
        sleep 0.02
    done
    kill -9 "$daemon" 2>/dev/null && tap_note 'it had to be killed'
    wait "$daemon"
    code=$?
}

ask() {
    status=$(curl -s --max-time 20 -o body -D head -w '%{http_code}' "$@")
    body=$(cat body 2>/dev/null)
}

message() {
    local url=$1
    shift
    ask "$url/v1/messages" -H 'content-type: application/json' -H 'x-api-key: secret-1' \
        -d '{"model":"claude-test","max_tokens":10,"messages":[]}' "$@"
}

header() { tr -d '\r' <head | sed -n "s/^$1: //Ip"; }
# json EXPRESSION: of $body, as d
json() { python3 -c 'import json, sys; d = json.loads(sys.argv[1]); print(eval(sys.argv[2]))' "$body" "$1"; }
logged() { grep -qE -e "$1" "log.$served"; }
