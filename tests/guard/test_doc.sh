#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_doc.sh SOURCE NAME: what docs/NAME.md shows of the program is what it prints. Blocks of YAML are
# the files that their first line names (`# mine.yaml`), or hardy.yaml.
. "$(dirname "$0")/../tap.sh"
doc=$1/docs/$2.md
awk '/^```yaml$/ { file = ""; inside = 1; next }
    /^```$/ { inside = 0 }
    inside && file == "" { file = /^# [a-z]+\.yaml$/ ? $2 : "hardy.yaml" }
    inside { print >>file }' "$doc"
ok 'there is a configuration' test -s hardy.yaml
sed -n '/^```console$/,/^```$/{/^```/d;p}' "$doc" >shown
ok 'and something that is shown' grep -q '^\$ hardy ' shown
while read -r line; do
    case $line in
    '$ hardy '*)
        echo "$line"
        read -ra words <<<"${line#\$ hardy }"
        LC_ALL=C.UTF-8 "$HARDY" "${words[@]}" 2>&1
        ;;
    esac
done <shown >printed
is 'as it is printed' "$(cat printed)" "$(cat shown)"
