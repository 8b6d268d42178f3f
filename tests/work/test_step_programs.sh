#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The programs that are steps, as processes: alone, many at once, and under the shim.
. "$(dirname "$0")/../daemon/support.sh"
unset HARDY_REQUEST HARDY_DEADLINE HARDY_IDEMPOTENCY_KEY
asked() { cat upstream/asked 2>/dev/null | wc -l; }
# together N COMMAND...: runs it N times at once, each into together.I
together() {
    local count=$1 i pids=()
    shift
    for i in $(seq "$count"); do
        "$@" >"together.$i" 2>"together.$i.err" &
        pids+=($!)
    done
    for i in "${pids[@]}"; do wait "$i" || echo "$? of $i"; done
}

# --- file
request() { export HARDY_REQUEST=$1; }
name=note-$(printf 'one note\n' | sha256sum | cut -c1-16).md
request '{"folder":"a/notes","content":"one note\n","prefix":"note-","suffix":".md"}'
is '20 processes at once: all well' "$(together 20 "$HARDY" __file)" ''
is 'one made it' "$(grep -l '"status":"created"' together.? together.?? | wc -l)" 1
is 'the others found it' "$(grep -l '"status":"already_exists"' together.? together.?? | wc -l)" 19
is 'there is one file, and nothing else' "$(ls -A a/notes)" "$name"
is 'with the content' "$(cat "a/notes/$name")" 'one note'
code 'another day' 0 "$HARDY" __file
is 'the result' "$out" "{\"path\":\"a/notes/$name\",\"name\":\"$name\",\"bytes\":9,\"status\":\"already_exists\"}"
echo more >>"a/notes/$name"
code 'somebody has changed it' 1 "$HARDY" __file
like 'it is named' "$err" "$name is there with other content"
is 'and left as it is' "$(wc -l <"a/notes/$name")" 2
rm "a/notes/$name"
echo 'one note' >outside && ln -s ../../outside "a/notes/$name"
code 'a link of that name' 1 "$HARDY" __file
like 'is refused' "$err" "$name is a symbolic link"
rm "a/notes/$name"
mkfifo "a/notes/$name"
code 'a pipe of that name' 1 timeout 10 "$HARDY" __file
rm "a/notes/$name"
mkdir elsewhere && ln -s elsewhere link && ln -s ../elsewhere a/link
for folder in link a/link link/deep a/link/deep; do
    request "{\"folder\":\"$folder\",\"content\":\"x\"}"
    code "a link on the way: $folder" 1 "$HARDY" __file
    like 'is refused' "$err" '`link` is a symbolic link'
done
for folder in ../x a/../x .. a/..; do
    request "{\"folder\":\"$folder\",\"content\":\"x\"}"
    code "upwards: $folder" 1 "$HARDY" __file
done
is 'nothing was made there' "$(ls -A elsewhere)$(ls -d ../x 2>/dev/null)" ''
request "{\"folder\":\"$work/link/deep/\",\"content\":\"x\"}"
code 'an absolute path is the word of its author' 0 "$HARDY" __file
is 'its links are followed' "$(ls elsewhere/deep)" "$(printf x | sha256sum | cut -c1-16)"
for part in '"prefix":"../"' '"prefix":"a/b"' '"prefix":".hidden"' '"suffix":"/../x"' '"prefix":"a\n"' \
    "\"suffix\":\"$(printf '%0101d' 0)\""; do
    request "{\"folder\":\"parts\",\"content\":\"x\",$part}"
    code "no part of a name: ${part:0:20}" 1 "$HARDY" __file
done
not_ok 'nothing was made' test -e parts
request "{\"folder\":\".\",\"content\":\"\",\"prefix\":\"$(printf '%0100d' 0)\",\"suffix\":\"$(printf '%0100d' 0)\"}"
code 'an empty note with a long name, here' 0 "$HARDY" __file
like 'is of no bytes' "$out" '"bytes":0,"status":"created"'
request '{"folder":""}'
code 'half a request' 1 "$HARDY" __file
request '{"folder":"","content":"x"}'
code 'no folder' 1 "$HARDY" __file
touch plain
request '{"folder":"plain/deep","content":"x"}'
code 'a file on the way' 1 "$HARDY" __file
head -c 1000000 /dev/zero | tr '\0' y >large
printf '{"folder":"large.d","content":"%s"}' "$(cat large)" >large.json
request "@$work/large.json"
code 'a request too large for a variable, in a file' 0 "$HARDY" __file
ok 'arrives whole' cmp large large.d/*

# --- ensure
cat >make.sh <<'END'
#!/bin/sh
# Every creator is here before the first goes on: no probe has seen anything yet.
touch "here.$$"
until [ "$(ls here.* | wc -l)" -ge "$CREATORS" ]; do sleep 0.01; done
mkdir thing || exit 1
echo "$HARDY_IDEMPOTENCY_KEY" >>made
echo 'said by create'
END
chmod +x make.sh
request '{"probe":["sh","-c","test -d thing && echo {\\\"id\\\": 7}"],"create":["./make.sh"]}'
export CREATORS=8 HARDY_IDEMPOTENCY_KEY=the-key
is 'a race of 8: all well' "$(together 8 timeout 20 "$HARDY" __ensure)" ''
is 'made once, and the environment came through' "$(cat made)" the-key
is 'one says so' "$(cat together.[1-8] | grep -cxF '{"status":"created","action":"create","resource":{"id": 7}}')" 1
is 'seven lost, and have it' "$(cat together.[1-8] | grep -cxF '{"status":"already_exists","action":"none","resource":{"id": 7}}')" 7
is 'what create says is not the result' "$(cat together.?.err | grep -c 'said by create')" 1
request '{"probe":["false"],"create":["sh","-c","kill -9 $$"]}'
code 'create is killed: nobody knows' 79 "$HARDY" __ensure
request '{"probe":["false"],"create":["sh","-c","sleep 98765 & sleep 98765"]}'
code 'under the shim, past its time' 79 "$HARDY" exec --key ensure-1 --timeout 200ms -- "$HARDY" __ensure
ok 'all of it is ended' ended 'sleep 98765'
request '{"probe":["false"],"create":["sh","-c","kill -9 $PPID; sleep 98766"]}'
code 'it is killed itself' 79 "$HARDY" exec --key ensure-2 -- "$HARDY" __ensure
ok 'what it ran is in its group, and ended' ended 'sleep 98766'

# --- http
unset HARDY_IDEMPOTENCY_KEY
request "{\"method\":\"POST\",\"url\":\"$upstream/ok?token=s3cret\",\"json\":{\"n\":1}}"
code 'a request under a key' 0 "$HARDY" exec -q --key order-1 -- "$HARDY" __http
like 'its answer is the result' "$out" '^\{"type": "message"'
code 'the same again' 0 "$HARDY" exec -q --key order-1 -- "$HARDY" __http
is 'was sent once' "$(asked)" 1
like 'with its key' "$(cat upstream/asked)" '"idempotency-key": "\\"order-1\\""'
like 'and its body' "$(cat upstream/asked)" '"body": "\{\\"n\\":1\}"'
request "{\"method\":\"POST\",\"url\":\"$upstream/busy-1/?token=s3cret\"}"
code 'overloaded' 75 "$HARDY" __http
like 'what a retry needs' "$out" '^\{"error":"POST http://127.0.0.1:[0-9]+/busy-1/: answered 529.*","status":529,"retry_after_ms":200,"body":'
unlike 'no secret' "$out$err" s3cret
request "{\"method\":\"POST\",\"url\":\"$upstream/mute\"}"
code 'it hangs, and the shim has a deadline' 79 "$HARDY" exec --timeout 1s -- "$HARDY" __http
like 'it says itself what is known, before it is ended' "$err" '/mute: sent, and no answer came: waiting for an answer: deadline passed'
rm upstream/asked
request "{\"method\":\"POST\",\"url\":\"$upstream/slow\",\"max_output\":100000}"
"$HARDY" exec -q --key slow-1 -- "$HARDY" __http >first 2>&1 &
wait_for test -s upstream/asked
{ kill -9 $!; wait $!; } 2>/dev/null
code 'hardy is killed meanwhile: the next takes the result' 0 "$HARDY" exec -q --key slow-1 --attach -- "$HARDY" __http
like 'all of it' "$out" 'message_stop'
is 'of the one request' "$(asked)" 1
request "{\"url\":\"$upstream/ok\"}"
code 'nobody can read the result' 79 sh -c '"$0" __http >/dev/full' "$HARDY"
code 'no operands' 2 "$HARDY" __http operand
