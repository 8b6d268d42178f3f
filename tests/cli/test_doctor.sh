#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy doctor: says what is there, finds what is wrong, and how to mend it.
. "$(dirname "$0")/../tap.sh"
findings() { "$HARDY" doctor --json "$@" | python3 -c '
import json, sys
d = json.load(sys.stdin)
print(d["ok"], " ".join(f["name"] for f in d["findings"] if f["verdict"] == "wrong"))'; }

code 'nothing is wrong here' 0 "$HARDY" doctor
like 'hardy' "$out" '^ok +hardy +[0-9]'
like 'SQLite' "$out" 'sqlite +3\.'
like 'the state' "$out" "state +$work/state/hardy\.db"
like 'that is not there yet' "$out" 'does not exist yet'
is 'as JSON' "$(findings)" 'True '
not_ok 'looking makes nothing' test -e state

"$HARDY" exec --name search -- true
like 'guards in use' "$("$HARDY" doctor)" 'guards +1 of 256 names are in use'
chmod 644 state/hardy.db-guards
code 'others can read it' 1 "$HARDY" doctor
like 'is wrong' "$out" 'wrong +permissions .*can be used by others'
like 'and this mends it' "$out" "to mend it: chmod 600 $work/state/hardy\.db-guards"
chmod 600 state/hardy.db-guards
truncate -s 5000 state/hardy.db-guards
is 'a damaged file of guards' "$(findings)" 'False guards'
rm state/hardy.db-guards
echo 'dear diary, today nothing failed at all, which was strange' >state/hardy.db
is 'a foreign file instead of the state' "$(findings)" 'False store'
is 'left as it is' "$(cut -c1-10 state/hardy.db)" 'dear diary'
rm state/hardy.db
printf 'a: [\n' >broken.yaml
is 'a broken configuration' "$(findings -c broken.yaml)" 'False configuration'
is 'a temporary folder that is not there' "$(TMPDIR=/nonexistent findings)" 'False temporary'
like 'few open files' "$(bash -c 'ulimit -n 256; "$HARDY" doctor')" 'note +open files'
if [ "$(id -u)" -ne 0 ]; then
    mkdir closed && chmod 500 closed
    is 'a folder that cannot be written to' "$(findings --state closed/h.db)" 'False disk'
else
    skip 'a folder that cannot be written to' 'root can write everywhere'
fi
code 'too much' 2 "$HARDY" doctor state
