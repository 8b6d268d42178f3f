#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy sim --scenario: the program, its files, and what it says to what it cannot do.
. "$(dirname "$0")/../tap.sh"
home=$(cd "$(dirname "$0")/../.." && pwd)
json() { python3 -c 'import json,sys; d=json.load(sys.stdin); print(eval(sys.argv[1]))' "$1" <<<"$out"; }
scenario() { printf '%s\n' "$@" >mine.yaml; }

# --- the built-in ones
builtin='3am outage hang brownout slow-start 429-storm herd metastable transactions'
code 'help' 0 "$HARDY" sim --help
help=$(tr -s ' \n,;' '    ' <<<"$out")
for name in $builtin; do
    like "help names $name" "$help" " $name "
    "$HARDY" sim --scenario "$name" --print >"$name.yaml"
    code "$name is a scenario as a user would write it" 0 "$HARDY" validate "$name.yaml"
    like "$name: and is known as one" "$out" 'a scenario, nothing wrong'
    code "$name" 0 "$HARDY" sim --scenario "$name" --svg "$name.svg"
    like "$name has a title" "$out" "^$name: guard llm, [0-9]+ clients, capacity [0-9.]+/s, seed 42$"
    like "$name has a verdict" "$out" '^It (recovers by itself|does not recover)|^The trouble does no harm'
    unlike "$name: only ASCII without a locale" "$out" $'[\x80-\xff]'
    ok "$name: its picture is well-formed" python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' "$name.svg"
done
code 'once more' 0 "$HARDY" sim --scenario ./herd.yaml --svg again.svg
is 'the same bytes' "$(sed '1s/.*:/herd:/' <<<"$out" | sed 1d)" "$("$HARDY" sim --scenario herd | sed 1d)"
ok 'the same picture' cmp <(sed 's|\./herd.yaml|herd|' again.svg) herd.svg
code 'as JSON' 0 "$HARDY" sim --scenario 3am --json
is 'operations are accounted for' "$(json 'd["operations"] == d["good"] + d["failed"] + d["refused"]')" True
is 'by part and in all' "$(json 'sum(p["operations"] for p in d["parts"].values()) == d["operations"]')" True
is 'each second has its figures' \
    "$(json '[len(d["series"][k]) for k in ("calls", "good", "capacity")]')" '[900, 900, 900]'
is 'good answers of the series' "$(json 'sum(d["series"]["good"]) == d["good"]')" True
LC_ALL=C.UTF-8 code 'with UTF-8' 0 "$HARDY" sim --scenario outage
like 'there are blocks' "$out" '█'
is 'no line is longer than 80' "$(PYTHONUTF8=1 python3 -c 'import sys; [print(l) for l in sys.stdin.read().splitlines() if "│" in l and len(l) > 80]' <<<"$out")" ''
code 'JSON has what models have, too' 0 "$HARDY" sim --scenario outage --json
is 'all of it' "$(json 'sorted(set("model clients strategy control seed calls_per_operation done_after_s peak_over_capacity_1s peak_over_capacity_100ms goodput_last_minute recovered_after_s".split()) - set(d))')" '[]'
is 'and the same bytes again' "$("$HARDY" sim --scenario outage --json)" "$out"
other=$("$HARDY" sim --scenario outage --json --seed 7)
not_ok 'another seed, another run' test "$out" = "$other"

# --- pictures
for word in 'prefers-color-scheme: dark' '<title>metastable' '>calls a second<' '>time<' '>capacity<' '>trouble<'; do
    ok "the picture has $word" grep -q -e "$word" metastable.svg
done
not_ok 'and no script' grep -qiE 'script|http[^"]*[^g]"|href' <(sed 's|http://www.w3.org/2000/svg||' metastable.svg)
is 'nothing else is left there' "$(ls metastable.svg*)" metastable.svg
code 'a folder that is not there' 1 "$HARDY" sim --scenario outage --svg none/x.svg
like 'says so' "$err" 'none/x\.svg.*(No such|not there|cannot)'
code 'a disk that is full' 1 bash -c '"$HARDY" sim --scenario outage >/dev/full'
like 'says so, too' "$err" 'standard output.*space'

# --- guards
cat >two.yaml <<'YAML'
guards:
  search: {timeout: 2s, deadline: 30s, retry: {max_retries: 3}}
  bare: {timeout: 1s, retry: {max_retries: 3, repeatable: true, budget: off}, breaker: off}
YAML
code 'several guards' 2 "$HARDY" sim -c two.yaml --scenario outage
like 'which there are' "$err" 'two\.yaml: it has 2 guards: say which with --guard; search, bare'
code 'one of them' 0 "$HARDY" sim -c two.yaml --guard search --scenario outage
like 'is named' "$out" '^outage: guard search,'
code 'one that is not there' 2 "$HARDY" sim -c two.yaml --guard serach --scenario outage
like 'the nearest is named' "$err" 'no guard is called "serach"; did you mean "search"'
echo 'guards: {only: {timeout: 5s}}' >one.yaml
code 'the only one' 0 "$HARDY" sim -c one.yaml --scenario outage
like 'needs no name' "$out" '^outage: guard only,'
echo 'state: memory' >none.yaml
code 'no guards' 2 "$HARDY" sim -c none.yaml --scenario outage
like 'what could be done' "$err" 'none\.yaml: it has no guards, .*--guard NAME'
code 'the guard of an upstream' 0 "$HARDY" sim -c none.yaml --guard anthropic --scenario outage
like 'has its name' "$out" 'guard anthropic,'
code 'no file' 2 "$HARDY" sim -c absent.yaml --scenario outage

# --- what is asked wrongly
code 'no such scenario' 2 "$HARDY" sim --scenario hrd
like 'lists them' "$err" 'no scenario "hrd", did you mean "herd"\?; there are 3am, outage, hang, brownout, slow-start, 429-storm, herd, metastable, transactions'
code 'no such file' 2 "$HARDY" sim --scenario ./hrd.yaml
like 'is named' "$err" 'hrd\.yaml'
code 'too many clients' 2 "$HARDY" sim --scenario herd --clients 1000000000000
like 'the range is told' "$err" '--clients: .*1 to 100000'
code 'no capacity' 2 "$HARDY" sim --scenario herd --capacity 0
like 'a rate is above 0' "$err" '--capacity: .*rate'
code 'no seed' 2 "$HARDY" sim --scenario herd --seed -1
like 'a seed is a number' "$err" '--seed: '
code 'an option of models' 2 "$HARDY" sim --scenario herd --strategy full
like 'does not go' "$err" '--strategy goes with a model'
code 'a scenario'"'"'s option without one' 2 "$HARDY" sim --guard x
like 'needs one' "$err" '--guard goes with --scenario'
scenario 'clients: {count: 100000, rate: 1/s}' 'phases: [{fail: hang, from: 0s, for: 1m}]'
code 'absurdly many calls' 1 "$HARDY" sim -c two.yaml --guard search --scenario ./mine.yaml
like 'ends with what would have to be less' "$err" 'more than 100000 operations at once.*fewer clients'

# --- files
wrong() { # wrong WHAT PATTERN LINES...: validate and sim refuse it with the same place
    local what=$1 pattern=$2
    shift 2
    scenario "$@"
    code "$what: validate" 2 "$HARDY" validate mine.yaml
    like "$what: says where" "$out" "^mine\.yaml:$pattern"
    code "$what: sim" 2 "$HARDY" sim --scenario ./mine.yaml
    like "$what: says it too" "$err" "mine\.yaml:$pattern"
}
mkfifo pipe
cat pipe >piped &
code 'a picture into a pipe' 0 "$HARDY" sim --scenario outage --svg pipe
wait $!
like 'arrives' "$(head -c 5 piped)" '^<'
ok 'the pipe is one still' test -p pipe
code 'into a device that is full' 1 "$HARDY" sim --scenario outage --svg /dev/full
like 'is said' "$err" '/dev/full: cannot write'
ok 'the device is one still' test -c /dev/full
echo old >target.svg
chmod 644 target.svg
ln -s target.svg link.svg
code 'through a link' 0 "$HARDY" sim --scenario outage --svg link.svg
ok 'which is one still' test -L link.svg
is 'its file keeps its mode' "$(stat -c %a target.svg)" 644
like 'and has the picture' "$(head -c 5 target.svg)" '^<'
(umask 027 && "$HARDY" sim --scenario outage --svg new.svg >/dev/null)
is 'a new one has what the umask leaves' "$(stat -c %a new.svg)" 640
code 'no name' 1 "$HARDY" sim --scenario outage --svg ''
like 'is told' "$err" 'the name of the file is empty'
scenario 'about: "\e]0;owned\a\e[2J"' 'duration: 3m' 'phases: [{fail: down, from: 1m, for: 1m, name: "\e[2J"}]'
code 'texts that a terminal would obey' 0 "$HARDY" sim --scenario ./mine.yaml
not_ok 'are shown, not sent' grep -q $'\e' <<<"$out"
wrong 'an unknown key' '2:[0-9]+: .*capcity.*capacity' 'server:' '  capcity: 10/s' 'phases: [{fail: down, from: 1m, for: 1m}]'
wrong 'an unknown fault' '1:[0-9]+: .*downn' 'phases: [{fail: downn, from: 1m, for: 1m}]'
wrong 'no phase' '1:[0-9]+: no phase' 'phases: []'
for text in '' '# later' '---' '~'; do
    scenario "$text"
    code "a file with \"$text\"" 2 "$HARDY" sim --scenario ./mine.yaml
    like 'says what is missing' "$err" 'mine\.yaml:[12]:1: `phases` is missing'
done
wrong 'a phase without a begin' '1:[0-9]+: .*from' 'phases: [{fail: down, for: 1m}]'
wrong 'a phase without an end' '1:[0-9]+: .*for' 'phases: [{fail: down, from: 1m}]'
wrong 'a phase of nothing' '1:[0-9]+: .*nothing goes wrong; expected `fail` or `capacity`' 'phases: [{from: 1m, for: 1m}]'
wrong 'a status is missing' '1:[0-9]+: `status` is missing' 'phases: [{fail: status, from: 1m, for: 1m}]'
wrong 'a status for nothing' '1:[0-9]+: `status` changes nothing' 'phases: [{fail: down, status: 500, from: 1m, for: 1m}]'
wrong 'a time to wait for nothing' '1:[0-9]+: `retry_after` changes nothing' 'phases: [{fail: down, retry_after: 5s, from: 1m, for: 1m}]'
wrong 'a delay for nothing' '1:[0-9]+: `delay` changes nothing' 'phases: [{fail: down, delay: 5s, from: 1m, for: 1m}]'
wrong 'a share of nothing' '1:[0-9]+: `share` changes nothing' 'phases: [{capacity: 0.5, share: 0.5, from: 1m, for: 1m}]'
wrong 'a phase after the end' '1:[0-9]+: begins at 2h, when the scenario has ended .duration 10m.' 'phases: [{fail: down, from: 2h, for: 1m}]'
wrong 'two ways to call' '1:[0-9]+: `think` and `rate`' 'clients: {think: 1s, rate: 1/s}' 'phases: [{fail: down, from: 1m, for: 1m}]'
wrong 'too many clients in a file' '1:[0-9]+: .*count.*1 to 100000' 'clients: {count: 1000000000000}' 'phases: [{fail: down, from: 1m, for: 1m}]'
wrong 'no capacity in a file' '1:[0-9]+: .*rate' 'server: 0/s' 'phases: [{fail: down, from: 1m, for: 1m}]'
wrong 'too long' '1:[0-9]+: .*duration.*1d' 'duration: 30d' 'phases: [{fail: down, from: 1m, for: 1m}]'
scenario 'about: every key' 'duration: 3m' 'clients: {count: 20, rate: 12/m}' '# clients: {think: 10s}' \
    'server: {capacity: 10/s, service_time: 100ms, queue: 2s, when_full: rate_limit, retry_after: 3s, abandoned: dropped}' \
    'phases:' '  - {name: all at once, from: 30s, for: 30s, fail: status, status: 502, retry_after: 1s, share: 0.5, capacity: 0.5}' \
    '  - {from: 1m, for: 10s, fail: slow_first, delay: 2s}' '  - {from: 70s, for: 10s, fail: hang, delay: 5s}' \
    '  - {from: 80s, for: 5s, fail: reset}' '  - {from: 85s, for: 5s, fail: overloaded}'
code 'every key' 0 "$HARDY" sim --scenario ./mine.yaml
like 'what it is about' "$out" '^every key$'
is 'what is printed is the file' "$("$HARDY" sim --scenario ./mine.yaml --print)" "$(cat mine.yaml)"
for key in $("$HARDY" validate --schema | sed -n '/^# a scenario/,/^$/s/^ *\([a-z_]*\):\{0,1\} .*/\1/p'); do
    ok "the example has the key $key" grep -q "$key:" mine.yaml "$home/docs/sim.md"
done

