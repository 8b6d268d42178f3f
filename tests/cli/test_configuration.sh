#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The words about the configuration are true: the examples of docs/configuration.md are accepted, the
# manual pages of files are those that the tables make, and every section is in the guide.
home=$(cd "$(dirname "$0")/../.." && pwd)
. "$home/tests/tap.sh"
guide=$home/docs/configuration.md

# Each ```yaml block to a file of its own.
awk '/^```yaml/ { n++; in_block = 1; next } /^```/ { in_block = 0 } in_block { print > ("block" n ".yaml") }' "$guide"
for block in block*.yaml; do
    code "the guide's example $block" 0 "$HARDY" validate "$block"
    is "the guide's example $block has no warnings" "$out" "$block: a configuration, nothing wrong"
done
ok 'there are examples' test -e block2.yaml
# What the guides of single sections show is a whole configuration each; some of it warns.
for name in health heal supervise fail-over notify pause degrade; do
    awk -v name="$name" '/^```yaml/ { n++; in_block = 1; next } /^```/ { in_block = 0 }
        in_block { print > (name n ".yaml") }' "$home/docs/$name.md"
    ok "docs/$name.md has an example" test -e "${name}1.yaml"
    for block in "$name"[0-9]*.yaml; do
        grep -q '^livenessProbe:' "$block" || code "the example $block" 0 "$HARDY" validate "$block"
    done
done
for example in "$home"/examples/*.yaml; do
    code "${example##*/}" 0 "$HARDY" validate "$example"
    is "${example##*/} has no warnings" "$(grep -c warning <<<"$out")" 0
done

printf 'guards:\n  search:\n    breaker: {failure_treshold: 3, recovery_timeout: 30}\n' >hardy.yaml
code "the guide's mistakes" 2 "$HARDY" validate hardy.yaml
is "the guide shows what is printed" "$out" "$(grep '^hardy.yaml:' "$guide")"

for page in hardy.yaml hardy-workflow; do
    code "the manual page $page" 0 "$HARDY" __man $page
    is "man/$page.5 is the one that the table makes (hardy __man $page)" "$out" "$(cat "$home/man/$page.5")"
    if command -v mandoc >/dev/null; then
        lint=$(mandoc -Tlint -Wwarning "$home/man/$page.5")
        is 'mandoc finds nothing wrong with it' "$lint" ''
    else
        skip 'mandoc finds nothing wrong with it' 'there is no mandoc'
    fi
done

for section in $("$HARDY" validate --schema | sed '/^# a workflow/,$d' | sed -n 's/^\([a-z_]*\):\{0,1\} .*/\1/p'); do
    ok "the guide has the section $section" grep -q "^| \`$section\` |" "$guide"
done
for preset in standard user_facing background high_traffic critical; do
    ok "the guide has the preset $preset" grep -q "^| \`$preset\` |" "$guide"
done
