#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy env, wrap, status and requests.
. "$(dirname "$0")/support.sh"

. "$here/../../tools/free_port.sh"
cat >hardy.yaml <<END
gateway: {listen: "127.0.0.1:$(free_port)"}
admin: {listen: "127.0.0.1:$(free_port)"}
upstreams:
  search:  {url: "$upstream/ok"}
  claude:  {url: "$upstream/ok", protocol: anthropic}
  second:  {url: "$upstream/busy-1", protocol: anthropic}
  gpt:     {url: "$upstream/ok/v1", protocol: openai}
END
configured=http://$(sed -n 's/^gateway: {listen: "\(.*\)"}$/\1/p' hardy.yaml)
configured_admin=$(sed -n 's/^admin: {listen: "\(.*\)"}$/\1/p' hardy.yaml)

# --- env
code 'env' 0 "$HARDY" env
is 'the first of each protocol, then the others' "$out" "export ANTHROPIC_BASE_URL=$configured/claude
export OPENAI_BASE_URL=$configured/gpt
# $configured/search is $upstream/ok
# $configured/second is $upstream/busy-1"
is 'eval understands it' "$(eval "$("$HARDY" env)"; echo "$ANTHROPIC_BASE_URL")" "$configured/claude"
is 'without quotes too' "$(eval $("$HARDY" env); echo "$OPENAI_BASE_URL")" "$configured/gpt"
code 'env for fish' 0 "$HARDY" env --shell fish
like 'its words' "$out" "^set -gx ANTHROPIC_BASE_URL $configured/claude\$"
code 'env as JSON' 0 "$HARDY" env --json
body=$out
is 'is one object' "$(json 'sorted(d.items())')" "[('ANTHROPIC_BASE_URL', '$configured/claude'), ('OPENAI_BASE_URL', '$configured/gpt')]"
code 'no such shell' 2 "$HARDY" env --shell csh
(cd / && HARDY_CONFIG= "$HARDY" env) >env.out 2>&1
is 'without a file' "$(cat env.out)" 'export ANTHROPIC_BASE_URL=http://127.0.0.1:4273/anthropic
export OPENAI_BASE_URL=http://127.0.0.1:4273/openai'
echo 'gateway: {listen: "0.0.0.0:4000"}' >other.yaml
code 'on all addresses' 0 "$HARDY" env -c other.yaml
like 'the loopback is one of them' "$out" '^export ANTHROPIC_BASE_URL=http://127\.0\.0\.1:4000/anthropic$'
echo 'gateway: {listen: "[::1]:4000"}' >other.yaml
code 'an IPv6 address' 0 "$HARDY" env -c other.yaml
like 'is quoted' "$out" "^export ANTHROPIC_BASE_URL='http://\[::1\]:4000/anthropic'\$"
cat >other.yaml <<END
upstreams: {claude: {url: "$upstream", protocol: anthropic, key_file: not-readable-here}}
END
code 'no key is read for it' 0 "$HARDY" env -c other.yaml

# --- without a daemon
code 'status without a gateway' 1 "$HARDY" status
like 'says so, and how to start one' "$err" "http://$configured_admin: .*refused"
like 'with a line to type' "$err" "'hardy serve' starts one"
"$HARDY" exec --name of-this-host -- true
code 'status: what the host shares' 1 "$HARDY" status
like 'is shown all the same' "$out" '^of-this-host +closed'
code 'as JSON' 1 "$HARDY" status --json
body=$out
is 'it is one document' "$(json '(d["running"], d["daemon"], [g["name"] for g in d["guards"]])')" "(False, None, ['of-this-host'])"
code 'requests without a gateway' 1 "$HARDY" requests
like 'says so' "$err" "'hardy serve' starts one"
code 'requests -f without a gateway' 1 "$HARDY" requests -f

# --- wrap with a gateway of its own
cat >agent <<'END'
#!/bin/sh
echo "$ANTHROPIC_BASE_URL $OPENAI_BASE_URL"
curl -s --max-time 10 "$ANTHROPIC_BASE_URL/v1/messages" -H 'content-type: application/json' -d '{"model":"claude-wrapped"}'
cat
exit 7
END
chmod +x agent
echo to-the-agent >input
"$HARDY" wrap -- ./agent <input >wrap.out 2>wrap.err
is 'the exit code is the command'\''s' "$?" 7
is 'it has the variables, at the configured address' "$(sed -n 1p wrap.out)" "$configured/claude $configured/gpt"
like 'the gateway works' "$(sed -n 2p wrap.out)" '"type": "message"'
like 'standard input is the command'\''s' "$(cat wrap.out)" 'to-the-agent'
is 'and hardy is silent' "$(cat wrap.err)" ''
code 'with -v' 7 "$HARDY" wrap -v -- ./agent
like 'each request is told' "$err" '^info request id=.* model=claude-wrapped'
ANTHROPIC_BASE_URL=http://elsewhere code 'a variable that is set' 0 "$HARDY" wrap -- sh -c 'env | grep -c "^ANTHROPIC_BASE_URL="'
is 'is replaced' "$out" 1
like 'with a warning' "$err" 'ANTHROPIC_BASE_URL was set already'
code 'a signal' 143 "$HARDY" wrap -- sh -c 'kill -TERM $$'
code 'no such command' 127 "$HARDY" wrap -- no-such-command
touch no-program
code 'not a program' 126 "$HARDY" wrap -- ./no-program
code 'no command at all' 125 "$HARDY" wrap
code 'a wrong option' 125 "$HARDY" wrap --nonsense -- true
echo 'gatway: {}' >other.yaml
code 'a wrong configuration' 125 "$HARDY" wrap -c other.yaml -- true
HARDY_STATE=$work/agent/hardy.db code 'a state that cannot be opened' 0 "$HARDY" wrap -- true
like 'is only a warning' "$err" '^warning guards are not shared'
from=$(milliseconds)
"$HARDY" wrap -- true
took=$(($(milliseconds) - from))
ok "the end does not wait for anything ($took ms)" test "$took" -lt 1500

cat >two <<'END'
echo "$ANTHROPIC_BASE_URL"
"$HARDY" wrap -- sh -c 'echo "$ANTHROPIC_BASE_URL"'
END
export HARDY
code 'one inside another' 0 "$HARDY" wrap -- sh ./two
like 'has a gateway of its own, at a free address' "$(sed -n 2p <<<"$out")" '^http://127\.0\.0\.1:[0-9]+/claude$'
ok 'not that of the other, which goes when its command does' \
    test "$(sed -n 1p <<<"$out")" != "$(sed -n 2p <<<"$out")"

# Signals: hardy goes when the command has.
cat >trap <<'END'
trap 'echo told; sleep 0.5; echo done; exit 3' TERM INT HUP
echo ready
while :; do sleep 0.05; done
END
for signal in TERM INT HUP; do
    # A job of a shell without job control would ignore INT.
    python3 - "$signal" <<'END' >signal.out 2>&1
import os, signal, subprocess, sys
p = subprocess.Popen([os.environ['HARDY'], 'wrap', '--', 'sh', './trap'], stdout=subprocess.PIPE, text=True)
assert p.stdout.readline() == 'ready\n'
p.send_signal(getattr(signal, 'SIG' + sys.argv[1]))
print(p.stdout.read().split(), p.wait(10))
END
    is "$signal goes to the command, and hardy waits for its end" "$(cat signal.out)" "['told', 'done'] 3"
done
# At a terminal Ctrl-C reaches both: hardy stays until the command has ended.
python3 - <<'END' >pty.out 2>&1
import os, pty, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.execv(os.environ['HARDY'], ['hardy', 'wrap', '--', 'sh', './trap'])
text = b''
while b'ready' not in text:
    text += os.read(fd, 1000)
os.write(fd, b'\x03')
try:
    while True:
        more = os.read(fd, 1000)
        if not more:
            break
        text += more
except OSError:
    pass
status = os.waitpid(pid, 0)[1]
print(text.count(b'told'), text.count(b'done'), os.waitstatus_to_exitcode(status))
END
is 'Ctrl-C is the command'\''s, once' "$(cat pty.out)" '1 1 3'

# --- with a daemon
serve_begin
serve_ready
is 'the daemon is where the configuration says' "$gateway" "$configured"
code 'wrap finds it' 7 "$HARDY" wrap -- ./agent
is 'and uses it' "$(sed -n 1p <<<"$out")" "$gateway/claude $gateway/gpt"
like 'it is in the log of the daemon' "$(cat log.1)" 'model=claude-wrapped'
message "$gateway/second"
busy_id=$(header x-hardy-request-id)
message "$gateway/claude" -H 'x-hardy-timeout: nonsense'
refused_id=$(header x-hardy-request-id)

code 'requests' 0 "$HARDY" requests
like 'a head' "$out" '^TIME \(UTC\) +ID +OUTCOME +STATUS +UPSTREAM +MODEL +TRIES'
like 'a row' "$out" "^[0-9-]{5} [0-9:]{8} +$busy_id +ok +200 +second +claude-test +2 +[0-9.]+m?s +[0-9.]+m?s +[0-9.]+m?s +11/7"
like 'a reason' "$(tail -n 1 <<<"$out")" "$refused_id +caller +400 .* X-Hardy-Timeout: a duration"
code 'requests -n' 0 "$HARDY" requests -n 1
is 'so many' "$(wc -l <<<"$out")" 2
code 'requests as JSON' 0 "$HARDY" requests -n 2 --json
body=$out
is 'one document' "$(json '[r["id"] for r in d["requests"]]')" "['$refused_id', '$busy_id']"
code 'show' 0 "$HARDY" requests show "$busy_id"
like 'why an attempt failed' "$out" '^ +[0-9.]+ ms    failed: overloaded: status 529, overloaded_error: Overloaded; it says: again in 0\.2 s$'
like 'the wait' "$out" '^ +[0-9.]+ ms  waits [0-9]+\.[0-9] ms$'
like 'the second attempt' "$out" '^ +[0-9]+\.[0-9] ms  attempt 2 begins'
like 'the end' "$(tail -n 1 <<<"$out")" ' ms  the end: ok$'
is 'in the order of time' "$(sed -n 's/^ *\([0-9.]*\) ms .*/\1/p' <<<"$out" | sort -n -c && echo sorted)" sorted
code 'show as JSON' 0 "$HARDY" requests show "$busy_id" --json
body=$out
is 'with its attempts' "$(json 'len(d["tries"])')" 2
code 'one that is not there' 1 "$HARDY" requests show hr-1
like 'says so' "$err" 'no request has this id'
code 'show without an id' 2 "$HARDY" requests show
"$HARDY" requests -f -n 1 --json >followed 2>followed.err &
follower=$!
wait_for grep -qs "$refused_id" followed
message "$gateway/claude"
ok 'requests -f goes on' wait_for grep -qs "$(header x-hardy-request-id)" followed
is 'a line each' "$(wc -l <followed)" 2
kill "$follower"
wait "$follower" 2>/dev/null
"$HARDY" requests -f -n 5 2>/dev/null | head -n 2 >head.out
like 'into a pipe that ends' "$(cat head.out)" '^TIME'

code 'status' 0 "$HARDY" status
like 'where, and since when' "$out" "^gateway   serving on ${gateway#http://} for .*; 0 running, 0 waiting"
like 'the process' "$out" "^daemon    hardy [0-9.]+, pid $daemon, since 20[0-9-]{8} [0-9:]{8} UTC, ready; admin on $configured_admin\$"
like 'counts by outcome' "$out" '^second +1 +0 +0 +0 +0 +0 +0 '
like 'guards' "$out" '^second +closed +- +0 +0 +1 +0 +0$'
like 'what failed lately' "$out" "$refused_id +caller +400  claude: "
like 'nothing to do' "$out" '^nothing in the state needs a person$'
code 'as JSON' 0 "$HARDY" status --json
body=$out
is 'one document' "$(json '(d["running"], d["daemon"]["pid"], [u["name"] for u in d["upstreams"]], d["failed"][0]["id"], d["needs"])')" \
    "(True, $daemon, ['search', 'claude', 'second', 'gpt'], '$refused_id', [])"
sleep 0.3
code 'status --since' 0 "$HARDY" status --since 100ms
like 'counts only what came since then' "$out" '^second +0 +0 +0 +0 +0 +0 +0 '
unlike 'also of what failed' "$out" "$refused_id"
code 'since 1h' 0 "$HARDY" status --since 1h
like 'counts them all' "$out" '^second +1 +0 '
"$HARDY" exec --key 'order 1' -- sh -c 'kill -KILL $$' 2>/dev/null
code 'status with an action in doubt' 0 "$HARDY" status
like 'names it' "$out" '^  action order 1: in doubt'
like 'with the line to type' "$out" "^    hardy actions show 'order 1'\$"
"$HARDY" guards force-open claude --for 10m 2>/dev/null
code 'a guard opened by hand' 0 "$HARDY" status
like 'is seen, with its time' "$out" '^claude +forced_open +(10m|9m 5[0-9]s) '
"$HARDY" guards reset claude 2>/dev/null
code 'an operand' 2 "$HARDY" status nonsense
code 'another address' 1 "$HARDY" status --admin 127.0.0.1:1
code 'an address that is none' 2 "$HARDY" requests --admin nonsense
end

# --- the guide: its examples are good ones
mkdir guide
echo secret | tee guide/laptop.token >guide/anthropic.key
awk '/^```yaml/ { n++; in_block = 1; next } /^```/ { in_block = 0 } in_block { print > ("guide/block" n ".yaml") }' \
    "$here/../../docs/gateway.md"
for block in guide/block*.yaml; do
    code "the guide's example $block" 0 "$HARDY" validate "$block"
    is "the guide's example $block has no warnings" "$out" "$block: a configuration, nothing wrong"
done
printed=$(awk '/^```text/ { n++; in_block = n == 1; next } /^```/ { in_block = 0 } in_block' "$here/../../docs/gateway.md")
is 'the guide shows what is printed' "$(grep -v '^admin on' <<<"$printed" | sed 's|http://127.0.0.1:4273|GATEWAY|')" \
    "$("$HARDY" serve -c /dev/null --listen 127.0.0.1:0 --admin 127.0.0.1:0 2>/dev/null >guide/out & pid=$!
    wait_for grep -q OPENAI guide/out
    kill $pid
    wait $pid
    grep -v '^admin on' guide/out | sed 's|http://127.0.0.1:[0-9]*|GATEWAY|')"
