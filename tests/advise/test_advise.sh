#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy advise: every configuration it can print is accepted by hardy validate, without a warning;
# flags, questions on a terminal, JSON, and what it says to wrong ones. TEST_ADVISE makes the
# configurations.
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/tests/tap.sh"
advise() { code "$1" "$2" timeout 20 "$HARDY" advise "${@:3}" </dev/null; }

# --- all configurations
mkdir all
"$TEST_ADVISE" "$work/all" >/dev/null 2>&1
ok 'there are hundreds of configurations' test "$(ls all | wc -l)" -ge 100
code 'hardy validate accepts each' 0 sh -c 'timeout 60 "$0" validate all/*.yaml' "$HARDY"
is 'and warns of nothing' "$(grep -vc 'a configuration, nothing wrong$' <<<"$out")" 0

# --- what is advised for a crowd survives one: the callers and the capacity that the scenarios have
crowd() { # SCENARIO CLIENTS CAPACITY DEPENDS EFFECTS
    local depends effects deadline
    for depends in $4; do
        for effects in $5; do
            for deadline in never 10m 5s; do
                "$HARDY" advise --depends-on $depends --side-effects $effects --deadline $deadline --takes 200ms \
                    --clients "$2" --capacity "$3" --yaml >crowd.yaml
                timeout 20 "$HARDY" sim -c crowd.yaml --scenario "$1" >crowd.out 2>&1
                grep -qE '^(It recovers by itself|The trouble does no harm)' crowd.out ||
                    { tap_note "$1: --depends-on $depends --side-effects $effects --deadline $deadline"; false; } ||
                    return 1
            done
        done
    done
}
ok 'after a minute of outage for all of them' crowd herd 75 7.5/s 'llm api' 'none probe'
ok 'after the trouble that retries keep up' crowd metastable 70 100/s api none

# --- flags
advise 'answers by flags' 0 --side-effects key --depends-on api --takes 1s --deadline 10s
like 'each pattern has its verdict' "$out" '^idempotency +needed +It has side effects'
like 'what is not needed has a reason, too' "$out" '^checkpoints +not needed +One step has nothing to go on from'
like 'its cost in latency' "$out" 'Cost: up to [0-9.a-z ]+ more\.'
like 'and how it is used' "$out" '^hardy exec --name api --key KEY --in-doubt rerun -- COMMAND$'
unlike 'lines fit a terminal' "$(sed '/^# From/,$d' <<<"$out")" '^.{97}'
advise 'the configuration alone' 0 --side-effects key --depends-on api --name pay --yaml
like 'begins with where it comes from' "$(head -n 1 <<<"$out")" '^# From: hardy advise --side-effects key$'
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
advise 'an unknown scenario' 2 --scenario log-analyis
like 'the nearest' "$err" 'did you mean log-analysis\?'
advise 'a wrong name' 2 --scenario provisioning --name 'a b'
advise 'an operand' 2 api

# --- questions on a terminal
if ! command -v python3 >/dev/null; then
    skip 'a terminal' 'python3 is not here'
    exit 0
fi
# questions KEYS...: types each when a question waits; prints what the terminal shows and the code.
cat >questions.py <<'PY'
import os, pty, select, sys, time
keys = [k.encode().decode("unicode_escape").encode() for k in sys.argv[2:]]
out = os.open("answer.yaml", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
pid, fd = pty.fork()
if pid == 0:
    os.dup2(out, 1)
    os.execv(sys.argv[1], [sys.argv[1], "advise", "--yaml"])
shown, at, end, how = b"", 0, time.monotonic() + 15, None
while time.monotonic() < end and how is None:
    try:
        shown += os.read(fd, 65536) if select.select([fd], [], [], 0.02)[0] else b""
    except OSError:
        pass
    if keys and shown.endswith(b"] ") and len(shown) > at:
        at = len(shown)
        os.write(fd, keys.pop(0))
    done, status = os.waitpid(pid, os.WNOHANG)
    how = status if done else None
if how is None:
    os.kill(pid, 9)
print(shown.decode(errors="replace").replace("\r", ""))
print("hangs" if how is None else "signal %d" % os.WTERMSIG(how) if os.WIFSIGNALED(how) else "code %d" % os.WEXITSTATUS(how))
PY
questions() { timeout 30 python3 questions.py "$HARDY" "$@"; }

shown=$(questions 'none\n' 'api\n' '\n' '\n' '\n' '\n' '\n' '\n' 'stale\n' '\n')
like 'the questions, side effects first' "$(grep -m 1 '?$' <<<"$shown")" '^Does it change anything'
like 'end well' "$shown" '^code 0$'
like 'and give the configuration' "$(cat answer.yaml)" '^# From: hardy advise --side-effects none --if-down stale$'
code 'which is accepted' 0 timeout 20 "$HARDY" validate answer.yaml
unlike 'what cannot matter is not asked' "$shown" 'Must a person agree'
shown=$(questions '?\n' 'perhaps\n' 'key\n' 'files\n' '\n' '\n' '\n' '\n' 'stale\n' 'omit\n' '\n')
like '? explains' "$shown" '^  unknown  none of these: nobody could tell after a time-out$'
like 'what is no answer is asked again' "$shown" 'expected none\|same\|key\|probe\|unknown, not "perhaps"'
like 'also what does not go with an answer before' "$shown" 'stale: what has side effects is not done by'
like 'to the end' "$shown" '^code 0$'
is 'with what was said' "$(head -n 1 answer.yaml)" '# From: hardy advise --side-effects key --depends-on files --if-down omit'
like 'Ctrl-C' "$(questions 'none\n' '\x03')" '^signal 2$'
is 'leaves nothing' "$(cat answer.yaml)" ''
like 'Ctrl-D' "$(questions 'none\n' '\x04')" '^code 130$'
