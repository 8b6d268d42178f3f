# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For tests with a far side of their own: far_side.py at $port, what it got in the file `got`. Needs HARDY.
. "$(dirname "$0")/../../tools/free_port.sh"
. "$(dirname "$0")/../tap.sh"
port=$(free_port)
: >got
timeout 150 python3 "$home/tests/notify/far_side.py" "$port" got &
far_side=$!
far_side_end() {
    tap_status=$?
    kill "$far_side" ${others:-} 2>/dev/null
    (exit $tap_status)
    tap_end
}
trap far_side_end EXIT
answer() { curl -s -X PUT -d "$1" "http://127.0.0.1:$port/answer"; } # what the next is answered
# got EXPRESSION: of the requests so far, the list `r`; its text
got() {
    python3 - "$1" <<'PY'
import json, sys
r = [json.loads(line) for line in open("got")]
print(eval(sys.argv[1]))
PY
}
wait_for curl -s -o none -X PUT -d '{"status": 200, "times": 0}' "http://127.0.0.1:$port/answer"
