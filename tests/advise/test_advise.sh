#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy advise: hardy validate accepts what it prints, without a warning, and it survives the crowd it
# is for; flags, questions on a terminal, JSON, and what it says to wrong ones. Which configurations it
# can print is gone through by test_advise.c.
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/tests/tap.sh"
advise() { code "$1" "$2" timeout 20 "$HARDY" advise "${@:3}" </dev/null; }

# --- configurations, with every section there can be
printed=0
for flags in '--scenario log-analysis --restartable yes --name null --name 1' \
    '--side-effects none --depends-on llm --if-down omit --restartable yes --clients 9 --deadline 1s --takes 300ms' \
    '--side-effects none --depends-on api --takes 1s --steps 300 --deadline 1100ms --if-down omit' \
    '--side-effects unknown --depends-on kubernetes --if-down omit --steps 3 --rate-limit 1/h --restartable yes'; do
    printed=$((printed + 1))
    "$HARDY" advise $flags --yaml </dev/null >printed$printed.yaml
done
code 'hardy validate accepts what is printed' 0 timeout 20 "$HARDY" validate printed?.yaml
is 'and warns of nothing' "$(grep -c 'a configuration, nothing wrong$' <<<"$out")" 4

# --- what is advised for a crowd survives one: the callers and the capacity that the scenarios have
crowd() { # SCENARIO CLIENTS CAPACITY, then DEPENDS/EFFECTS/DEADLINE...
    local flags depends effects deadline
    for flags in "${@:4}"; do
        IFS=/ read -r depends effects deadline <<<"$flags"
        "$HARDY" advise --depends-on $depends --side-effects $effects --deadline $deadline --takes 200ms \
            --clients "$2" --capacity "$3/s" --yaml >crowd.yaml
        timeout 20 "$HARDY" sim -c crowd.yaml --scenario "$1" --clients "$2" --capacity "$3" >crowd.out 2>&1
        grep -qE '^(It recovers by itself|The trouble does no harm)' crowd.out ||
            { tap_note "$1: $flags"; false; } || return 1
    done
}
ok 'after a minute of outage for all of them' crowd herd 75 7.5 {llm,api}/{none,probe}/{never,5s}
ok 'after the trouble that retries keep up' crowd metastable 70 100 api/none/never
ok 'a crowd whose last waits for minutes' crowd brownout 3000 30 {api,llm}/none/never

# --- flags
advise 'answers by flags' 0 --side-effects key --depends-on api --takes 1s --deadline 10s
like 'each pattern has its verdict' "$out" '^idempotency +needed +It has side effects'
like 'what is not needed has a reason, too' "$out" '^checkpoints +not needed +One step has nothing to go on from'
like 'its cost in latency' "$out" 'Cost: up to [0-9.a-z ]+ more\.'
like 'and how it is used' "$out" '^hardy exec --name api --key KEY --in-doubt rerun -- COMMAND$'
unlike 'lines fit a terminal' "$(sed '/^# From/,$d' <<<"$out")" '^.{97}'
advise 'the configuration alone' 0 --side-effects key --depends-on api --name pay --yaml
like 'begins with where it comes from' "$(head -n 1 <<<"$out")" '^# From: hardy advise --side-effects key --depends-on api --name pay --yaml$'
like 'has the guard' "$out" '^  pay:$'
advise 'a guard for each name' 0 --scenario provisioning --name a --name b --yaml
is 'in their order' "$(grep -E '^  [a-z]+:$' <<<"$out" | tr -d ' \n')" 'a:b:'
advise 'a flag over a scenario' 0 --scenario log-analysis --rate-limit none --yaml
unlike 'wins' "$out" 'rate:'
advise 'what needs nothing' 0 --side-effects none --depends-on nothing --fails 0 --yaml
is 'has an empty configuration' "$(sed 1d <<<"$out")" '# It needs nothing.'

# --- JSON
advise 'as JSON' 0 --scenario pod-remediation --json
is 'every answer, pattern, reason and figure' "$(python3 -c '
import json, sys
d = json.load(sys.stdin)
p = {x["pattern"]: x for x in d["patterns"]}
print(len(d["answers"]), len(p), all(x["reason"] for x in p.values()), p["retry"]["verdict"],
      p["checkpoints"]["verdict"], p["checkpoints"]["cost"], p["retry"]["added_s"], d["worst_case_s"],
      d["configuration"].count("cluster:"), list(d))' <<<"$out")" \
    "12 12 True needed not needed None 97 127 1 ['answers', 'patterns', 'notes', 'worst_case_s', 'configuration', 'use']"

# --- the guide: what stands under a line to type is what it prints
awk -v into="$work/shown" '
    /^```sh$/ { getline line; getline after; if (after == "```" && line ~ /^hardy (advise|validate) /) pending = line; next }
    /^```text$/ && pending != "" { n++; print pending > (into n ".line"); pending = ""; inside = 1; printf "" > (into n ".text"); next }
    /^```/ { inside = 0 }
    inside { print > (into n ".text") }' "$root/docs/choosing.md"
for line in shown*.line; do
    code "the guide: $(cat "$line")" 0 sh -c 'cd "$0" && PATH=$1:$PATH exec '"$(cat "$line")" "$root" "$(dirname "$HARDY")"
    is 'prints what is shown there' "$out" "$(cat "${line%.line}.text")"
    from=$(sed -n 's/^# From: hardy //p' <<<"$out")
    [ -z "$from" ] || is 'its first line makes the same' "$("$HARDY" $from)" "$(sed -n '/^# From/,/^$/{/./p}' <<<"$out")"
done
ok 'there are five of them' test "$(ls shown*.line | wc -l)" -eq 5

# --- mistakes
advise 'no terminal and no flag' 2
like 'says which flags' "$err" 'no terminal to ask on: give --scenario, or at least --side-effects and --depends-on'
advise 'side effects are not assumed' 2 --depends-on api
like 'they are asked for' "$err" '^hardy advise: --side-effects is missing: Does it change anything.* none\|same\|key'
advise 'nor what it depends on' 2 --side-effects none
like 'the question is told' "$err" '--depends-on is missing: What does it depend on\?'
advise 'a wrong word' 2 --side-effects prob --depends-on api
like 'has its place and the nearest' "$err" '--side-effects: expected none\|same\|key\|probe\|unknown, not "prob"; did you mean probe\?'
advise 'answers that cannot hold together' 2 --side-effects key --depends-on api --if-down stale
like 'are named' "$err" '--if-down: stale: what has side effects'
advise 'a deadline shorter than what it is for' 2 --side-effects none --depends-on api --takes 10s --deadline 5s
like 'both are named, and what would be right' "$err" '--deadline: 5s: .* takes 10s \(--takes\).* 20s'
advise 'a name twice' 2 --scenario provisioning --name a --name b --name a
like 'is told' "$err" '--name: "a" is given twice'
advise 'an unknown scenario' 2 --scenario log-analyis
like 'the nearest' "$err" 'did you mean log-analysis\?'
advise 'a wrong name' 2 --scenario provisioning --name 'a b'
advise 'an operand' 2 api

# --- questions on a terminal
if ! command -v python3 >/dev/null; then
    skip 'a terminal' 'python3 is not here'
    exit 0
fi
# Holds each conversation, NAME KEYS... up to `--`, typing a key when a question waits: NAME.shown is
# what the terminal showed and the code, NAME.yaml what was printed.
cat >questions.py <<'PY'
import os, pty, select, sys, time

def converse(name, keys):
    out = os.open(name + ".yaml", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    pid, fd = pty.fork()
    if pid == 0:
        os.dup2(out, 1)
        os.execv(sys.argv[1], [sys.argv[1], "advise", "--yaml"])
    os.close(out)
    shown, at, end, gone = b"", 0, time.monotonic() + 15, False
    while not gone and time.monotonic() < end:
        if not select.select([fd], [], [], 1)[0]:
            continue
        try:
            shown += os.read(fd, 65536)
        except OSError:
            gone = True
        if keys and shown.endswith(b"] ") and len(shown) > at:
            at = len(shown)
            os.write(fd, keys.pop(0))
    if not gone:
        os.kill(pid, 9)
    status = os.waitpid(pid, 0)[1]
    os.close(fd)
    with open(name + ".shown", "w") as file:
        print(shown.decode(errors="replace").replace("\r", ""), file=file)
        print("hangs" if not gone else "signal %d" % os.WTERMSIG(status) if os.WIFSIGNALED(status)
              else "code %d" % os.WEXITSTATUS(status), file=file)

rest = sys.argv[2:]
while rest:
    end = rest.index("--")
    converse(rest[0], [k.encode().decode("unicode_escape").encode() for k in rest[1:end]])
    rest = rest[end + 1:]
PY
timeout 60 python3 questions.py "$HARDY" \
    plain 'none\n' 'api\n' '\n' '\n' '\n' '\n' '\n' '\n' 'stale\n' '\n' -- \
    wrong '?\n' 'perhaps\n' 'key\n' 'files\n' '\n' '\n' '\n' '1s\n' '5s\n' 'stale\n' 'omit\n' '\n' -- \
    ctrl-c 'none\n' '\x03' -- \
    ctrl-d 'none\n' '\x04' --

shown=$(cat plain.shown)
like 'the questions, side effects first' "$(grep -m 1 '?$' <<<"$shown")" '^Does it change anything'
like 'end well' "$shown" '^code 0$'
like 'and give the configuration' "$(cat plain.yaml)" '^# From: hardy advise --side-effects none --depends-on api --if-down stale --yaml$'
code 'which is accepted' 0 timeout 20 "$HARDY" validate plain.yaml
unlike 'what cannot matter is not asked' "$shown" 'Must a person agree'
shown=$(cat wrong.shown)
like '? explains' "$shown" '^  unknown  none of these: nobody could tell after a time-out$'
like 'what is no answer is asked again' "$shown" 'expected none\|same\|key\|probe\|unknown, not "perhaps"'
like 'also a deadline that has no room' "$shown" '1s: all of it takes 2s \(--takes\)'
like 'and what does not go with an answer before' "$shown" 'stale: what has side effects is not done by'
like 'to the end' "$shown" '^code 0$'
is 'with what was said' "$(head -n 1 wrong.yaml)" '# From: hardy advise --side-effects key --depends-on files --deadline 5s --if-down omit --yaml'
like 'Ctrl-C' "$(cat ctrl-c.shown)" '^signal 2$'
is 'leaves nothing' "$(cat ctrl-c.yaml)" ''
like 'Ctrl-D' "$(cat ctrl-d.shown)" '^code 130$'
