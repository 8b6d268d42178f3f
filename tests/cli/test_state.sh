#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy state: backups are whole while others write, a state is put back only when nobody has it open,
# and what the backup cannot know is told.
. "$(dirname "$0")/../tap.sh"
db=$work/state/hardy.db
sql() { python3 -c 'import sqlite3, sys; print(*[r[0] for r in sqlite3.connect(sys.argv[1]).execute(sys.argv[2])])' "$@"; }
field() { python3 -c 'import json, sys; print(eval("d" + sys.argv[1], {"d": json.load(sys.stdin), "len": len}))' "$1"; }

# --- nothing there
code 'a backup of nothing' 1 "$HARDY" state backup b.db
like 'says so' "$err" 'hardy\.db: there is no state here'
not_ok 'and leaves nothing' test -e b.db
code 'a restore of nothing' 1 "$HARDY" state restore b.db
like 'says so too' "$err" 'b\.db: there is no backup here'
code 'a copy of nothing' 1 "$HARDY" state copy none.db c.db
not_ok 'and makes nothing' test -e c.db
code 'memory is no state to back up' 2 "$HARDY" --state memory state backup b.db
code 'no verb' 2 "$HARDY" state
code 'too few operands' 2 "$HARDY" state copy a.db

# --- backup
once="echo ran >>$work/ran; echo first"
"$HARDY" exec --key one -- sh -c "$once" >/dev/null
"$HARDY" exec --key lost --in-doubt fail -- sleep 0
code 'a backup' 0 "$HARDY" state backup b.db
like 'tells what it holds' "$out" '^b\.db: [0-9]+ rows, [0-9]+ bytes$'
is 'is private' "$(stat -c %a b.db)" 600
is 'is one file' "$(ls b.db*)" b.db
is 'is whole' "$(sql b.db 'PRAGMA integrity_check')" ok
code 'is not written over' 1 "$HARDY" state backup b.db
like 'unless that is said' "$err" 'b\.db: is there already; --force'
code 'with --force' 0 "$HARDY" state backup --force b.db
code 'never over the state itself' 1 "$HARDY" state backup --force "$db"
is 'as JSON' "$("$HARDY" --json state backup --force b.db | field '["rows"]["action"]')" 2
is 'nothing temporary is left' "$(find . -name '*.tmp.*')" ''

# Others write all the while: each writer writes two rows that are always the same.
python3 - "$db" <<'P' &
import sqlite3, sys, fcntl, time
db = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
db.execute("PRAGMA wal_autocheckpoint=0")
lock = open(sys.argv[1] + "-lock", "r+b")
end = time.monotonic() + 60
n = 0
while time.monotonic() < end:
    n += 1
    fcntl.lockf(lock, fcntl.LOCK_EX, 1, 0)
    db.execute("BEGIN IMMEDIATE")
    for kind in ("a", "b"):
        db.execute("INSERT OR REPLACE INTO rows VALUES('pair', ?, 1, 1, 0, ?)", (kind, bytes(str(n), "ascii") * 500))
    db.execute("COMMIT")
    fcntl.lockf(lock, fcntl.LOCK_UN, 1, 0)
P
writer=$!
torn=0
for i in 1 2 3 4; do
    "$HARDY" state backup "w$i.db" >/dev/null || torn=$((torn + 1))
    [ "$(sql "w$i.db" 'PRAGMA integrity_check')" = ok ] || torn=$((torn + 1))
    [ "$(sql "w$i.db" "SELECT count(DISTINCT value) FROM rows WHERE kind='pair'")" -le 1 ] || torn=$((torn + 1))
done
is 'four backups while another writes: none is torn' "$torn" 0
ok 'they are of different moments' test "$(sql w1.db "SELECT length(value), value FROM rows WHERE key='a'")" != \
    "$(sql w4.db "SELECT length(value), value FROM rows WHERE key='a'")" -o \
    "$(cksum <w1.db)" != "$(cksum <w4.db)"
kill "$writer" && wait "$writer" 2>/dev/null
rm -f w?.db

# --- restore
"$HARDY" exec --key after-the-backup -- echo second >/dev/null
code 'restore' 0 "$HARDY" state restore b.db
like 'tells what it put back' "$out" "$db: [0-9]+ rows, from b\\.db"
like 'and what it kept' "$err" 'what was there before is .*hardy\.db\.before-[0-9]{8}T[0-9]{6}'
like 'and what the backup cannot know' "$err" '1 were started after the backup .* in doubt'
like 'by name' "$err" 'action +after-the-backup +done'
is 'the state is that of the backup' "$("$HARDY" --json actions list | field '.__len__()')" 2
is 'which replays' "$("$HARDY" exec --key one -- sh -c "$once")" first
kept=$(ls -d state/hardy.db.before-*[0-9])
is 'what was kept is the old one' "$("$HARDY" --state "$kept" --json actions list | field '.__len__()')" 3

printf 'id: x\n' >notes
code 'what is no backup' 1 "$HARDY" state restore notes
like 'is refused' "$err" 'notes: .*not a SQLite database'
python3 - b.db damaged.db <<'P'
import sys
b = bytearray(open(sys.argv[1], "rb").read())
b[4096:12288] = b"\xa5" * 8192
open(sys.argv[2], "wb").write(b)
P
code 'a damaged one' 1 "$HARDY" state restore damaged.db
like 'is refused too' "$err" 'damaged'
python3 - b.db newer.db <<'P'
import sqlite3, shutil, sys
shutil.copy(sys.argv[1], sys.argv[2])
d = sqlite3.connect(sys.argv[2]); d.execute("PRAGMA user_version=9"); d.commit()
P
code 'one of a newer hardy' 1 "$HARDY" state restore newer.db
like 'names the schema' "$err" 'schema 9'
is 'and the state is as it was' "$("$HARDY" --json actions list | field '.__len__()')" 2

# --- while a process lives
"$HARDY" exec --key slow -- sleep 60 &
holder=$!
for _ in $(seq 200); do
    "$HARDY" --json actions list | grep -q '"slow"' && break
    sleep 0.05
done
code 'not while a process has it open' 1 "$HARDY" state restore b.db
like 'which is named' "$err" "1 process has the state open \\(pid $holder\\): end it first"
code 'nor is it copied' 1 "$HARDY" state copy "$db" moved.db
like 'the same' "$err" "pid $holder"
code 'but backed up' 0 "$HARDY" state backup --force running.db
like 'and what runs is told' "$err" '1 were running'
kill "$holder"
wait "$holder" 2>/dev/null
code 'restored from that' 0 "$HARDY" state restore running.db
like 'it is told to be in doubt' "$err" 'action +slow +running'

# --- a damaged state is what restore is for
printf 'garbage' >"$db"
rm -f "$db-wal" "$db-shm"
code 'a damaged state is replaced' 0 "$HARDY" state restore b.db
like 'nobody knows what it held' "$err" 'cannot be told'
rm -rf state
code 'and one that is gone' 0 "$HARDY" state restore b.db
is 'is there again' "$("$HARDY" exec --key one -- sh -c "$once")" first

# --- copy
code 'copy' 0 "$HARDY" state copy "$db" moved.db
like 'compares' "$out" '^moved\.db: [0-9]+ rows with [0-9]+ bytes, compared'
is 'row for row' "$(sql moved.db 'SELECT group_concat(kind||key||fence||changed||expires||hex(value)) FROM rows')" \
    "$(sql "$db" 'SELECT group_concat(kind||key||fence||changed||expires||hex(value)) FROM rows')"
code 'not over rows' 1 "$HARDY" state copy "$db" moved.db
like 'which are counted' "$err" 'moved\.db: has [0-9]+ rows already'
is 'as JSON' "$("$HARDY" --json state copy "$db" again.db | field '["rows"] > 1')" True

# --- compact: a state made by an older hardy
python3 - "$db" <<'P'
import sqlite3, sys
d = sqlite3.connect(sys.argv[1], isolation_level=None)
d.execute("PRAGMA journal_mode=DELETE"); d.execute("PRAGMA auto_vacuum=0"); d.execute("VACUUM")
d.executemany("INSERT INTO rows VALUES('x', ?, 1, 1, 0, ?)", [(str(i), b"x" * 9000) for i in range(300)])
d.execute("DELETE FROM rows WHERE kind='x'")
d.execute("PRAGMA journal_mode=WAL")
P
is 'a file of an older hardy' "$(sql "$db" 'PRAGMA auto_vacuum')" 0
code 'compact' 0 "$HARDY" state compact
ok 'makes it small' test "$(stat -c %s "$db")" -lt 100000
is 'and it gives space back from now on' "$(sql "$db" 'PRAGMA auto_vacuum')" 2
is 'with all that was in it' "$("$HARDY" exec --key one -- sh -c "$once")" first
is 'and through all of this it was done once' "$(wc -l <ran)" 1
