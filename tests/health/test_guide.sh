#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The words about checks are true: the example of docs/health.md is accepted, and every key and every metric
# of checks is explained there.
home=$(cd "$(dirname "$0")/../.." && pwd)
. "$home/tests/tap.sh"
guide=$home/docs/health.md

awk '/^```yaml/ && !n++ { inside = 1; next } /^```/ { inside = 0 } inside' "$guide" >example.yaml
code 'the example is accepted' 0 "$HARDY" validate example.yaml
unlike 'without a warning' "$out" warning
code 'its checks' 0 "$HARDY" checks list -c example.yaml --json --admin 127.0.0.1:1
is 'it has every kind' "$(python3 -c 'import json, sys
print(*sorted({c["kind"] for c in json.load(sys.stdin)["checks"]}))' <<<"$out")" \
    'command disk guard http memory_below number postgresql process redis tcp'

# A critical check of what others share.
cat >shared.yaml <<YAML
checks:
  - {name: shared, redis: "10.1.2.3:6379", critical: true}
  - {name: warns, redis: "10.1.2.3:6379"}
  - {name: own, http: "http://127.0.0.1:8080/", critical: true}
  - {name: own-by-name, tcp: "localhost:8080", critical: true}
YAML
code 'a critical check off this host' 0 "$HARDY" validate shared.yaml
is 'is warned of, and only that one' "$(grep -c warning: <<<"$out") $(grep -o 'shared.yaml:2:5: warning: check `shared` is critical and asks 10.1.2.3:6379' <<<"$out")" \
    '1 shared.yaml:2:5: warning: check `shared` is critical and asks 10.1.2.3:6379'

# The indented keys of the section.
keys=$("$HARDY" validate --schema | awk '/^checks/ { inside = 1; next } /^[^ ]/ { inside = 0 } inside { print $1 }' | tr -d : | sort -u)
like 'the schema has keys of checks' "$keys" '^failures_in_last$'
for key in $keys; do
    ok "the guide has $key" grep -qw -- "$key" "$guide"
done
for metric in $(grep -o 'hardy_check_[a-z_]*' "$home/src/daemon/metrics.c" | sort -u); do
    ok "the guide has $metric" grep -qw "$metric" "$guide"
done
