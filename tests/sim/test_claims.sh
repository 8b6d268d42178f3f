#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy sim --claims: what docs/sim.md shows of it is what it prints, and the JSON says the same.
. "$(dirname "$0")/../tap.sh"
home=$(cd "$(dirname "$0")/../.." && pwd)
json() { python3 -c 'import json,sys; d=json.load(sys.stdin); print(eval(sys.argv[1]))' "$1" <<<"$out"; }

code 'as text' 0 "$HARDY" sim --claims
text=$out
is 'as docs/sim.md shows it' "$text" "$(sed -n '/^```text$/,/^```$/{/^```/d;p}' "$home/docs/sim.md")"
is 'no line is longer than 100' "$(awk 'length > 100' <<<"$text")" ''
code 'as JSON' 0 "$HARDY" sim --claims --json
is 'each claim has cases, a verdict and a reason' \
    "$(json '[len(d["claims"]), all(c["cases"] and c["why"] for c in d["claims"]), sorted(set(c["holds"] for c in d["claims"]))]')" \
    "[6, True, ['nowhere', 'somewhere']]"
is 'a verdict is of what was measured' \
    "$(json '[k for c in d["claims"] for k in c["cases"] if k["holds"] is not None and k["holds"] != (k["measured"] is not None and c["from"] <= k["measured"] <= c["to"])]')" '[]'
is 'in the end retries alone never recover' \
    "$(json '[k["measured"] for c in d["claims"] for k in c["cases"] if k["setting"] == "overload, 4 attempts, full jitter"]')" '[None]'
is 'as often as the text says so' "$(json 'sum(k["holds"] is True for c in d["claims"] for k in c["cases"])')" \
    "$(grep -cE '^  .* holds$' <<<"$text")"
