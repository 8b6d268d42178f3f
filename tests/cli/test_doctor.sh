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

# --- what is in the state
"$HARDY" exec --key one -- true
like 'its size' "$("$HARDY" doctor)" 'ok +size +the file has [0-9]+ KiB, 0 KiB of it free, given back by and by; the log [1-9][0-9]* KiB'
like 'its rows' "$("$HARDY" doctor)" 'ok +rows +1 action; written from 20[0-9-]{8} to 20'
is 'for programs' "$("$HARDY" --json doctor | python3 -c '
import json, sys
s = json.load(sys.stdin)["store"]
print(s["kinds"]["action"]["rows"], s["kinds"]["action"]["oldest"] > "1", s["free_pages"], s["gives_back"])')" '1 True 0 True'
"$HARDY" exec --key slow -- sleep 60 &
holder=$!
for _ in $(seq 200); do
    "$HARDY" --json actions list | grep -q '"slow"' && break
    sleep 0.05
done
like 'who has it open' "$("$HARDY" doctor)" "ok +in use +open for writing in pid $holder"
kill "$holder"
wait "$holder" 2>/dev/null
python3 - "$HARDY_STATE" <<'P'
import sqlite3, sys, time
d = sqlite3.connect(sys.argv[1], isolation_level=None)
d.execute("BEGIN")
for i, days in enumerate((1, 29, 31, 90)):
    ended = time.time_ns() - days * 86400 * 10**9
    d.execute("INSERT INTO rows VALUES('run', ?, 1, 1, 0, ?)", ("r%d" % i, b'{"state":"done","ended":"%d"}' % ended))
    d.execute("INSERT INTO rows VALUES('step', ?, 1, 1, 0, ?)", ("r%d/0001.a" % i, b"x" * 4096))
d.execute("COMMIT")
P
like 'what retention would remove' "$("$HARDY" doctor)" 'retention +2 finished runs with 9 KiB are due to be removed, 2 are kept'
printf 'retention: {age: 2d, count: 1, bytes: 1MiB}\n' >two.yaml
like 'as it is configured' "$("$HARDY" doctor -c two.yaml)" 'retention +3 finished runs .*, 1 are kept'
printf 'retention: off\n' >off.yaml
like 'or off' "$("$HARDY" doctor -c off.yaml)" 'retention +off: 4 runs are kept'

# A reader that stays, and a log that cannot be begun anew.
cat >reader.py <<'P'
import sqlite3, sys, time
d = sqlite3.connect(sys.argv[1], isolation_level=None)
d.execute("BEGIN"); d.execute("SELECT count(*) FROM rows").fetchall()
open("reading", "w").close()
time.sleep(60)
P
python3 reader.py "$HARDY_STATE" &
reader=$!
for _ in $(seq 200); do [ -e reading ] && break; sleep 0.05; done
python3 - "$HARDY_STATE" <<'P'
import ctypes, sqlite3, sys, os
d = sqlite3.connect(sys.argv[1], isolation_level=None)
d.execute("PRAGMA wal_autocheckpoint=0"); d.execute("PRAGMA synchronous=OFF")
d.execute("INSERT INTO rows VALUES('x', 'x', 1, 1, 0, zeroblob(67000000))")
os._exit(0)
P
like 'a log that is too long' "$("$HARDY" doctor)" "note +log +.*hardy\.db-wal has 6[0-9] MiB, because somebody is in the middle of a long read: pid $reader"
is 'is nothing wrong yet' "$(findings)" 'True '
kill "$reader"
wait "$reader" 2>/dev/null
like 'whose reader is gone' "$("$HARDY" doctor)" 'nobody reads any more: it becomes short with the next write'

# A state of an older hardy, with much free space.
rm -f "$HARDY_STATE"*
"$HARDY" exec --key one -- true
python3 - "$HARDY_STATE" <<'P'
import sqlite3, sys
d = sqlite3.connect(sys.argv[1], isolation_level=None)
d.execute("PRAGMA journal_mode=DELETE"); d.execute("PRAGMA auto_vacuum=0"); d.execute("VACUUM")
d.execute("INSERT INTO rows VALUES('x', 'x', 1, 1, 0, zeroblob(9000000))")
d.execute("DELETE FROM rows WHERE kind='x'")
d.execute("PRAGMA journal_mode=WAL")
P
like 'space that is not given back' "$("$HARDY" doctor)" 'note +size '
like 'and how it is' "$("$HARDY" doctor)" 'to mend it: hardy state compact'
"$HARDY" state compact >/dev/null
like 'afterwards' "$("$HARDY" doctor)" 'ok +size +the file has [0-9]{2} KiB, 0 KiB of it free'
