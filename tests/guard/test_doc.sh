#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_doc.sh SOURCE: what docs/guard.md shows of the program is what it prints.
. "$(dirname "$0")/../tap.sh"
doc=$1/docs/guard.md
sed -n '/^```yaml$/,/^```$/{/^```/d;p}' "$doc" >hardy.yaml
ok 'there is a configuration' test -s hardy.yaml
sed -n '/^```console$/,/^```$/{/^```/d;p}' "$doc" >shown
while read -r line; do
    case $line in
    '$ hardy '*)
        echo "$line"
        read -ra words <<<"${line#\$ hardy }"
        "$HARDY" "${words[@]}" 2>&1
        ;;
    esac
done <shown >printed
is 'as it is printed' "$(cat printed)" "$(cat shown)"
