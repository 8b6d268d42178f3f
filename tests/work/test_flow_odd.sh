#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy run: many hardys at once, interrupted, large and odd outputs, a disk that is full.
. "$(dirname "$0")/flow.sh"

# --- many hardys at once
workflow crowd <<'END'
name: crowd
steps:
  - name: fan
    parallel:
      - {name: a, run: "echo a >>effects; sleep 0.3; echo 1"}
      - {name: b, for_each: [x, y, z], max_concurrent: 2, run: "echo ${{ item }} >>effects; sleep 0.1; echo ${{ item }}"}
      - {name: c, sleep: 300ms}
  - {name: end, run: "echo end >>effects; echo the end"}
END
crowd() { # crowd N ID: of the id at once; their exit codes and results
    local i pids=()
    for i in $(seq "$1"); do "$HARDY" run crowd.yaml --id "$2" >"crowd.$i" 2>"crowd.err.$i" & pids+=($!); done
    for i in "${pids[@]}"; do wait "$i"; echo "code $?"; done
    cat crowd.[0-9]
    rm crowd.[0-9]
}
again
is 'two of one id at once: one result' "$(crowd 2 c2 | sort | uniq -c | tr -s ' ' | tr '\n' ';')" ' 2 code 0; 2 the end;'
is 'each effect once' "$(sort effects | tr '\n' ' ')" 'a end x y z '
again
is 'eight of one id at once: one result' "$(crowd 8 c8 | sort | uniq -c | tr -s ' ' | tr '\n' ';')" ' 8 code 0; 8 the end;'
is 'each effect once' "$(sort effects | tr '\n' ' ')" 'a end x y z '

workflow again <<'END'
name: again
steps: [{name: a, run: "echo a >>effects; sleep 0.3; exit 3"}]
END
again
code 'a run that fails' 1 "$HARDY" run again.yaml --id ra
pids=()
for i in 1 2 3 4; do "$HARDY" workflows resume ra >/dev/null 2>&1 & pids+=($!); done
for i in "${pids[@]}"; do wait "$i"; echo "$?"; done >codes
is 'resumed four times at once: tried again once, one result for all' "$(effects) $(tr '\n' ' ' <codes)" '2 1 1 1 1 '

# --- interrupted
workflow int <<'END'
name: int
steps:
  - name: fan
    parallel:
      - {name: a, run: "echo a >>effects; sleep 0.5; echo a"}
      - {name: b, run: "echo b >>effects; sleep 0.5; echo b"}
      - {name: line, steps: [{name: nap, sleep: 300ms}, {name: c, run: "echo c >>effects; sleep 0.4; echo c"}]}
  - {name: end, run: ["echo", "${{ steps.fan.output }}"]}
END
for signal in INT TERM HUP; do
    again
    : >err1
    env --default-signal=INT "$HARDY" run int.yaml --id "$signal" >/dev/null 2>err1 &
    hardy=$!
    wait_for grep -q 'fan/line/c: started' err1
    kill -$signal $hardy
    wait $hardy
    is "$signal in the middle: it ends" $? $((128 + $(kill -l $signal)))
    like 'the steps go on' "$("$HARDY" workflows show $signal --json | shape)" 'fan=running\(a=(running|done) b=(running|done) line=running\(nap=done c=running\)\) end=pending'
    code 'and are attached to' 0 "$HARDY" run int.yaml --id "$signal"
    is 'all of them' "$out $(sort effects | tr '\n' ' ')" '{"a":"a","b":"b","line":"c"} a b c '
done

# --- odd outputs
workflow odd <<'END'
name: odd
steps:
  - name: fan
    parallel:
      - {name: large, run: "head -c 5242880 /dev/zero | tr '\\0' x"}
      - {name: binary, run: "head -c 300000 /dev/urandom"}
      - {name: nothing, run: "true"}
      - {name: invalid, run: "printf 'a\\377b'"}
      - {name: lines, run: "yes | head -n 100000"}
      - {name: deep, run: "python3 -c 'print(\"[\" * 5000 + \"]\" * 5000)'"}
      - {name: orphan, run: "sleep 98762 & echo left"}
  - {name: end, run: ["echo", "${{ steps.nothing.output }}|${{ steps.orphan.output }}"]}
END
code 'large, binary, empty, invalid, deep outputs' 0 timeout 30 "$HARDY" run odd.yaml --id odd
is 'what is text can be used' "$out" '|left'
"$HARDY" workflows show odd --json >doc
is 'the rest is shown as well as it can be' "$(get '[s["state"] for s in step("fan")["steps"]].count("done")' <doc)" 7
is 'of too much the beginning' "$(get '(lambda s: (s["truncated"], len(s["output"]) < 5000000))(step("fan")["steps"][0])' <doc)" '(True, True)'
ok 'what it left behind is ended' ended 'sleep 98762'

# --- a state that fills up, or cannot be written any more
mkdir disk
if mount -t tmpfs -o size=1500k none disk 2>/dev/null; then
    trap 'umount -l "$work/disk" 2>/dev/null; tap_end' EXIT
    workflow disk <<'END'
name: disk
steps:
  - {name: a, run: "echo a >>effects; echo a"}
  - name: fan
    parallel:
      # So much that it finds no room either in what hardy gives back meanwhile.
      - {name: b, run: "touch there; until [ -e go ]; do sleep 0.01; done; echo b >>effects; head -c 400000 /dev/zero | tr '\\0' b"}
      - {name: nap, sleep: 100ms}
  - {name: c, run: "echo c >>effects; head -c 200000 /dev/zero | tr '\\0' c"}
  - {name: end, run: "echo end >>effects"}
END
    export HARDY_STATE=$work/disk/h.db
    again; rm -f there
    : >err1
    "$HARDY" run disk.yaml --id d1 >/dev/null 2>err1 &
    hardy=$!
    wait_for is_there there
    dd if=/dev/zero of=disk/fill bs=4k 2>/dev/null
    touch go
    wait $hardy
    not_ok 'a full disk: it ends with an error' test $? -eq 0
    wait_for no_shims # hardy may end before the step, which must find no room
    rm disk/fill
    code 'with room again: the result of the step that ran had no room either' 4 "$HARDY" run disk.yaml --id d1
    "$HARDY" -q workflows resolve d1 fan/b --done
    code 'settled, it goes on' 0 "$HARDY" workflows resume d1
    is 'each effect once' "$(sort effects | tr '\n' ' ')" 'a b c end '
    again; rm -f there
    "$HARDY" run disk.yaml --id d2 >/dev/null 2>err2 &
    hardy=$!
    wait_for is_there there
    if mount -o remount,ro disk 2>/dev/null; then
        touch go
        wait $hardy
        not_ok 'a disk that has become read-only: it ends with an error' test $? -eq 0
        mount -o remount,rw disk
        code 'writable again, it goes on' 0 "$HARDY" run disk.yaml --id d2
    else
        touch go
        wait $hardy
        skip 'a disk that has become read-only' 'it cannot be made so while it is open for writing'
    fi
    is 'each effect once' "$(sort effects | tr '\n' ' ')" 'a b c end '
else
    skip 'a full disk' 'only root can mount one'
fi
