#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# hardy exec --name: breaker, rate and slots that processes share.
. "$(dirname "$0")/../tap.sh"
fast=(--base-delay 1ms)
refused=http://127.0.0.1:1/ # nobody listens there

# --- the breaker
for i in 1 2 3 4 5; do
    "$HARDY" exec --retries 3 --base-delay 20ms --deadline 10s --name search -- curl -fsS $refused 2>"err$i"
    echo $? >"code$i"
done
is 'five failures, each told as retries used up' "$(cat code? | tr '\n' ' ')" '75 75 75 75 75 '
like 'each retried three times' "$(cat err3)" 'attempt 3 of 4: exit code 7; trying again in'
like 'and why it gave up' "$(cat err3)" 'gave up after 4 attempts: exit code 7; retries are used up'
waits=$(cat err? | sed -n 's/.*trying again in //p')
ok 'the waits are spread' test "$(sort -u <<<"$waits" | wc -l)" -gt 5
like 'the last one opened the breaker' "$(cat err5)" 'breaker search was closed and is now open'
start=$(milliseconds)
code 'the sixth is refused' 69 "$HARDY" exec --retries 3 --deadline 10s --name search -- touch ran
took=$(($(milliseconds) - start))
ok "at once ($took ms)" test $took -lt 1000
like 'with the time until it may try again' "$err" \
    '^hardy exec: breaker search is open after 5 failures; may try again in ([0-9.]+s|1m)$'
not_ok 'and did not run' test -e ran
code 'another name is not concerned' 0 "$HARDY" exec --name other -- true
code 'nor another state' 0 "$HARDY" exec --state elsewhere.db --name search -- true
code 'the report knows when' 69 "$HARDY" exec --json report.json --name search -- true
like 'in seconds' "$(cat report.json)" '"retry_after_s": [1-6][0-9.]+'
like 'and how the breaker is' "$(cat report.json)" '"breaker": "open"'

code 'other settings under the name are refused' 125 "$HARDY" exec --name search --failure-threshold 3 -- true
like 'saying both' "$err" '"search" is stored with other breaker settings: failure_threshold 5 \(given 3\)'
like 'and the line to type' "$err" "hardy guards reset search --state $work/state/hardy.db$"
line=$(sed -n 's/.*to forget them: hardy //p' <<<"$err")
code 'which helps' 0 "$HARDY" $line
code 'so that the others are taken' 0 "$HARDY" exec --name search --failure-threshold 3 -- true
code 'and kept by who gives none' 0 "$HARDY" exec --name search -- true
code 'whether to wait is each call its own' 0 "$HARDY" exec --name search --when-open wait -- true
for i in 1 2 3; do "$HARDY" exec --name search -- false; done 2>/dev/null
code 'three failures open it now' 69 "$HARDY" exec --name search -- true
code 'retries and times may differ from call to call' 69 "$HARDY" exec --name search --retries 1 --timeout 1s --deadline 3s -- true

# Many at once: they count together.
for i in $(seq 10); do "$HARDY" exec --name crowd -- false 2>/dev/null & done
wait
code 'failures of ten processes at once count together' 69 "$HARDY" exec --name crowd -- true
like 'once' "$("$HARDY" guards explain crowd --json)" '"times_opened": 1'

code 'a short recovery' 1 "$HARDY" exec --name quick --failure-threshold 1 --recovery-timeout 50ms --success-threshold 1 -- false
sleep 0.1
code 'a trial after it closes it' 0 "$HARDY" exec --name quick -- true
like 'and says so' "$err" 'breaker quick was half_open and is now closed'
code 'again' 1 "$HARDY" exec --name quick2 --failure-threshold 1 --recovery-timeout 300ms --when-open wait -- false
start=$(milliseconds)
code '--when-open wait' 0 "$HARDY" exec --name quick2 --failure-threshold 1 --recovery-timeout 300ms --when-open wait -- true
took=$(($(milliseconds) - start))
ok "waits for the trial ($took ms)" test $took -ge 100

# What says nothing about the far side does not count.
for i in 1 2 3 4 5 6; do "$HARDY" exec --name mine -- no-such-command; done 2>/dev/null
for i in 1 2 3 4 5 6; do "$HARDY" exec --name mine --retries 1 "${fast[@]}" --retry-on 7 -- sh -c 'exit 22'; done 2>/dev/null
code '127, and codes that --retry-on leaves out, do not open it' 0 "$HARDY" exec --name mine -- true

printf 'guards:\n  api:\n    breaker: {failure_threshold: 2}\n    timeout: 100ms\n' >hardy.yaml
code 'the settings of the configuration apply to the name' 124 "$HARDY" exec --name api -- sleep 9
"$HARDY" exec --name api -- false 2>/dev/null
code 'also the threshold' 69 "$HARDY" exec --name api -- true
rm hardy.yaml
code 'breaker settings without a name' 125 "$HARDY" exec --failure-threshold 3 -- true
code 'slots without a name' 125 "$HARDY" exec --max-concurrent 3 -- true
like 'what they need' "$err" '\-\-max-concurrent: needs a --name'

# --- slots
for i in 1 2 3 4; do
    "$HARDY" exec -q --name slots --max-concurrent 2 -- sh -c 'echo in >>log; sleep 0.05; echo out >>log' &
done
wait
is 'never more than two at once' \
    "$(awk '/in/ { n++; if (n > most) most = n } /out/ { n-- } END { print most }' log)" 2
is 'all four had their turn' "$(grep -c out log)" 4
"$HARDY" exec -q --name slots -- sh -c 'touch one; while [ -e one ]; do sleep 0.01; done' &
"$HARDY" exec -q --name slots -- sh -c 'touch two; while [ -e two ]; do sleep 0.01; done' &
wait_for test -e one
wait_for test -e two
like 'the list shows them' "$("$HARDY" guards list)" '^slots .* 2/2$'
code 'all are taken: refused where that was asked for' 75 "$HARDY" exec --name slots --when-limited reject -- true
like 'and told' "$err" 'all 2 slots of slots are taken'
code 'or waited for, up to the deadline' 124 "$HARDY" exec --name slots --deadline 100ms -- true
like 'saying for what' "$err" 'waiting for one of the 2 slots of slots'
code 'another number of slots is refused' 125 "$HARDY" exec --name slots --max-concurrent 3 -- true
"$HARDY" exec --name slots -- true 2>err &
waiting=$!
wait_for grep -q waiting err
rm one two
wait $waiting
is 'who waited gets one' $? 0
wait
"$HARDY" exec --name killed --max-concurrent 1 -- sleep "77.$$" &
pid=$!
wait_for grep -qsF "77.$$" /proc/[0-9]*/cmdline
wait_for sh -c '"$0" guards list | grep -q "^killed.*1/1"' "$HARDY"
kill -9 $pid
wait $pid 2>/dev/null
code 'the dead give theirs back' 0 "$HARDY" exec --name killed --when-limited reject -- true
for f in /proc/[0-9]*/cmdline; do
    grep -qsF "77.$$" "$f" && kill "$(cut -d/ -f3 <<<"$f")" 2>/dev/null
done

# --- rate
code 'the first of a rate' 0 "$HARDY" exec --name rate --rate 2/m --burst 2 -- true
code 'the second' 0 "$HARDY" exec --name rate --rate 2/m --burst 2 -- true
code 'the third is refused where that was asked for' 75 "$HARDY" exec --name rate --when-limited reject -- true
like 'with the time' "$err" 'the rate limit of rate is reached; may try again in [0-9.]+s'
code 'or when it cannot be waited for' 75 "$HARDY" exec --name rate --deadline 1s -- true
code 'another rate is refused' 125 "$HARDY" exec --name rate --rate 3/m -- true
like 'saying both rates' "$err" 'requests 2 \(given 3\)'
start=$(milliseconds)
for i in 1 2 3; do "$HARDY" exec -q --name pace --rate 20/s --burst 1 -- true; done
took=$(($(milliseconds) - start))
ok "a rate is kept by waiting ($took ms)" test $took -ge 95

# --- the budget of retries: one name, one budget, whoever retries
cat >hardy.yaml <<'YAML'
guards:
  poor:
    breaker: off
    retry: {max_retries: 40, base_delay: 1ms, budget: {ratio: 0, floor: 0.001/s}}
YAML
code 'the budget is spent in one call' 75 "$HARDY" exec -q --name poor -- false
like 'and says so' "$err" 'retry budget is used up'
code 'so the next has none left' 75 "$HARDY" exec --name poor -- false
like 'not even for one' "$err" 'gave up after 1 attempt: exit code 1; retry budget is used up'
rm hardy.yaml

# --- places
code 'state in memory: nothing is shared, nothing is refused' 0 "$HARDY" exec --state memory --name x -- true
echo 'dear diary' >diary.db-guards
code 'a foreign file' 125 "$HARDY" exec --state diary.db --name x -- true
like 'is named' "$err" 'diary\.db-guards: is not a file of guards'
is 'and left alone' "$(cat diary.db-guards)" 'dear diary'
code 'a state that cannot be made' 125 "$HARDY" exec --state /proc/nowhere/x.db --name x -- true
