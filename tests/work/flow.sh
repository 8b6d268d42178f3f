# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For tests of what a workflow can do.
. "$(dirname "$0")/common.sh"
export PATH=$work:$PATH

workflow() { cat >"$1.yaml"; }
# get EXPRESSION: of Python, over the document `o` on standard input; step(NAME) is one of its steps.
get() {
    python3 -c '
import json, sys
o = json.load(sys.stdin)
def step(name): return next(s for s in o["steps"] if s["name"] == name)
print(eval(sys.argv[1]))' "$1"
}
# The tree of a run as --json shows it: "a=done fan=failed(b=failed c=pending)".
shape() {
    python3 -c '
import json, sys
def text(steps):
    return " ".join(s["name"] + "=" + s["state"] + ("(" + text(s["steps"]) + ")" if "steps" in s else "") for s in steps)
print(text(json.load(sys.stdin)["steps"]))'
}
state_of() { "$HARDY" workflows show "$1" --json | get 'o["state"]'; }
# list_has PATTERN, show_has ID PATTERN: for wait_for.
list_has() { "$HARDY" workflows list | grep -E -e "$1" >/dev/null; }
show_has() { "$HARDY" workflows show "$1" 2>/dev/null | grep -E -e "$2" >/dev/null; }
