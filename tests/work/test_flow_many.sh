#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy run: many steps, many items.
. "$(dirname "$0")/flow.sh"

# --- many
{
    printf 'name: long\nsteps:\n'
    for i in $(seq 200); do printf '  - {name: s%d, run: ["true"]}\n' "$i"; done
} >long.yaml
code 'two hundred steps' 0 "$HARDY" run long.yaml --id long -q
is 'all done' "$("$HARDY" workflows show long --json | get 'sum(s["state"] == "done" for s in o["steps"])')" 200
workflow many <<'END'
name: many
steps:
  - {name: work, for_each: "${{ input.list }}", max_concurrent: 50, run: "[ ${{ item }} != ${BAD:-x} ] && echo ${{ item }} >>done"}
END
python3 -c 'import json; print(json.dumps({"list": list(range(500))}))' >many.json
BAD=250 code 'five hundred items, fifty at once, and one fails' 1 "$HARDY" run many.yaml --input many.json --id many
ok 'only those begin after that whose start was on its way' test "$(sed -n '/work\[250\]: exit code/,$p' <<<"$err" | grep -c started)" -le 50
BAD=x code 'resumed' 0 "$HARDY" workflows resume many -q
is 'each is done once' "$(sort -n done | uniq | wc -l) $(wc -l <done)" '500 500'
is 'nothing is left behind' "$(left_files)" ''
