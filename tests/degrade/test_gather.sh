#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `hardy serve` gathers from real servers: one is killed, and what is there instead is told as it is.
. "$(dirname "$0")/../../tools/free_port.sh"
. "$(dirname "$0")/../daemon/support.sh"
sources=$here/../degrade/sources.py

# source_up NAME PORT: $NAME_pid
source_up() {
    : >"up-$2"
    python3 "$sources" "$2" >"up-$2" 2>"errors-$2" &
    declare -g "$1_pid=$!"
    to_end+=("$!")
    wait_for grep -qs ready "up-$2"
}
source_down() { kill -9 "$1" && wait "$1" 2>/dev/null; }
asked() { wc -l <"asked-$1" 2>/dev/null || echo 0; }
metrics=$(free_port) spare=$(free_port) logs=$(free_port)
source_up metrics "$metrics"
source_up logs "$logs"

cat >hardy.yaml <<END
state: here.db
guards:
  api: {retry: {max_retries: 1, base_delay: 10ms}, breaker: off}
  fragile: {retry: off, breaker: {failure_threshold: 2, recovery_timeout: 1h}}
degrade:
  cache: {answers: 50, size: 4MiB}
  gatherings:
    web:
      deadline: 5s
      components:
        metrics: {http: "http://127.0.0.1:$metrics/m", guard: api, cache: 10m, cache_key: shared/metrics, weight: 1}
        logs: {http: "http://127.0.0.1:$logs/l", timeout: 4s, static: '["none"]', cache: 0s}
        quick: {command: "echo x >>quick-asked; echo '{}'", refresh: 10m, strategy: static_fallback, static: "1"}
      levels:
        slight: {refresh: 5m}
        moderate: {essential_only: true}
        minimal: {read_only: true}
        failed: {status: down, estimated_recovery: 10m, read_only: false}
    other: {components: {metrics: {http: "http://127.0.0.1:$metrics/o", guard: fragile, cache_key: shared/metrics}}}
    spare:
      max_degradation: strict
      components:
        metrics: {file: gone, alternates: [{http: "http://127.0.0.1:$metrics/a"}, {command: [echo, '7']}]}
        exact: {command: [cat, exact], fresh_only: true, strategy: alternate_source, alternates: [{process: none.pid}]}
    quickly:
      max_degradation: full
      deadline: 20s
      components:
        first: {command: "until [ -e fail-now ]; do sleep 0.02; done; exit 3", timeout: 15s, strategy: fail_fast}
        slow: {command: "sleep 1; while [ ! -e never ]; do sleep 0.02; done; touch effect", timeout: 15s}
        tail: {file: tail.txt, tail: 4, critical: true, strategy: partial_response}
END
printf 'a long line' >tail.txt
code 'the configuration holds' 0 "$HARDY" validate hardy.yaml
awk '/^```yaml/ { inside = 1; next } /^```/ { inside = 0 } inside' "$here/../../docs/degrade.md" >guide.yaml
code 'so does the one of docs/degrade.md' 0 "$HARDY" validate guide.yaml
serve -c hardy.yaml
token=$(cat run/hardy/token)
gather() { ask "$admin/api/v1/gather/$1" "${@:2}"; }
of() { json "[d['components'][c]['state'] for c in '$*'.split()]"; }
forget() { ask -X DELETE "$admin/api/v1/cache?prefix=$1" -H 'content-type: application/json' -H "authorization: Bearer $token"; }

# --- all is well
gather web
is 'all is fresh' "$status $(json 'd["degradation_level"]') $(of metrics logs quick) $(json 'd["switches"]')" \
    "200 full ['fresh', 'fresh', 'fresh'] {}"
is 'what the source said' "$(json 'd["components"]["metrics"]["data"]')" "{'port': $metrics, 'n': 1}"
is 'the metadata' "$(json 'd["metadata"]')" \
    "{'total_components': 3, 'successful_components': 3, 'cached_responses': 0, 'degraded_components': []}"
is 'the level as a header' "$(header x-hardy-degraded)" full
gather web
is 'within its refresh a component is not asked' "$(json 'd["degradation_level"]') $(wc -l <quick-asked)" 'full 1'
is 'its age is told' "$(json '0 < d["components"]["quick"]["age"] < 20, d["components"]["quick"]["cached"]')" '(True, False)'
gather 'web?fresh=quick'
is 'but when it has to be fresh' "$status $(wc -l <quick-asked)" '200 2'

# --- one is killed
source_down "$metrics_pid"
gather web
is 'its last good answer stands in' "$status $(json 'd["degradation_level"]') $(of metrics logs quick)" \
    "200 moderate ['cached', 'fresh', 'fresh']"
is 'with its age, and why' "$(json '0 < d["components"]["metrics"]["age"] < 30') $(json 'd["components"]["metrics"]["error"]')" \
    'True connection refused'
is 'and what to switch' "$(json 'd["switches"]')" "{'refresh': '5m', 'essential_only': True}"
gather other
is 'another gathering of the same finds it too' "$status $(of metrics)" "200 ['cached']"
gather 'web?fresh=1'
is 'fresh data is demanded: nothing stands in' "$status $(of metrics)" "200 ['missing']"
gather 'web?fresh=metrics,logs'
is 'of some of them' "$status $(of metrics logs quick)" "200 ['missing', 'fresh', 'fresh']"
gather web -H 'x-hardy-fresh: metrics'
is 'by the header' "$(of metrics)" "['missing']"
gather 'web?fresh=metrix'
is 'of one that is not there' "$status" 404
gather web
is 'and the next one has it again' "$(of metrics)" "['cached']"

# --- a breaker
gather other
gather other
is 'its breaker has opened' "$(json 'd["components"]["metrics"]["error"]')" 'guard fragile: circuit breaker is open'

# --- across a restart
end
serve -c hardy.yaml
gather web
is 'the answer outlasts a restart' "$status $(of metrics) $(json '0 < d["components"]["metrics"]["age"] < 60')" "200 ['cached'] True"

# --- forgetting
ask -X DELETE "$admin/api/v1/cache?prefix=shared/" -H 'content-type: application/json'
is 'forgetting needs the token' "$status" 401
ask -X DELETE "$admin/api/v1/cache" -H 'content-type: application/json' -H "authorization: Bearer $token"
is 'and a prefix' "$status" 400
forget shared/metrics
is 'forgotten' "$status $(json 'd["removed"]')" '200 1'
gather web
is 'so it is missing' "$status $(json 'd["degradation_level"]') $(of metrics)" "200 moderate ['missing']"
touch "bad-$logs"
gather 'web?fresh=logs'
is 'two of three are away' "$status $(json 'd["degradation_level"]') $(of metrics logs quick)" \
    "503 minimal ['missing', 'missing', 'fresh']"
is 'that is a problem with names' "$(header content-type) $(json 'd["type"], d["status"]')" "application/problem+json ('degraded', 503)"
like 'and reasons' "$(json 'd["detail"]')" \
    '^degraded beyond max_degradation: minimal, at worst moderate; failed: metrics \(connection refused\), logs \(answered 500'
is 'what there is comes with it' "$(json 'd["switches"], d["components"]["quick"]["success"]')" \
    "({'refresh': '5m', 'essential_only': True, 'read_only': True}, True)"
gather web
is 'a static answer stands in' "$status $(of logs) $(json 'd["components"]["logs"]["data"]')" "200 ['static'] ['none']"
gather 'web?fresh=1'
is 'of nothing but a command' "$status $(of metrics logs quick)" "503 ['missing', 'missing', 'fresh']"
rm "bad-$logs"

# --- an old answer past its time
source_up metrics "$metrics"
gather web
is 'it is back' "$status $(json 'd["degradation_level"]')" '200 full'
sed -i 's/cache: 10m/cache: 1ms/' hardy.yaml
kill -HUP "$daemon"
wait_for logged 'configuration loaded'
source_down "$metrics_pid"
gather web
is 'past its time an answer does not stand in' "$status $(of metrics)" "200 ['missing']"
ask "$admin/metrics"
like 'levels outlast a new configuration' "$body" '^hardy_degradation_seconds_total\{gathering="web",level="full"\} 0*\.?[0-9]'
like 'the level as a metric' "$body" '^hardy_degradation_level\{gathering="web"\} 2$'
like 'the component as a metric' "$body" '^hardy_component_state\{gathering="web",component="metrics"\} 4$'
like 'answers as a metric' "$body" '^hardy_gather_answers_total\{gathering="web",level="full"\} [1-9]'
sed -i 's/fragile: {/fragile: {nonsense: 1, /' hardy.yaml
kill -HUP "$daemon"
wait_for logged 'configuration refused'
gather web
is 'a configuration that is wrong changes nothing' "$status" 200
sed -i 's/nonsense: 1, //' hardy.yaml

# --- alternates, and what must be fresh
gather spare
is 'an alternate answers' "$(of metrics) $(json 'd["components"]["metrics"]["data"], d["components"]["metrics"]["alternate"]')" \
    "['fresh'] (7, 2)"
is 'what must be fresh: by an alternate' "$(json 'd["components"]["exact"]["data"]["running"]')" False
is 'is all of it' "$status $(json 'd["degradation_level"]')" '200 full'

# --- shared
source_up metrics "$metrics"
before=$(asked "$metrics")
touch "slow-$metrics"
for n in 1 2 3 4 5 6; do
    curl -s --max-time 20 -o "shared-$n" "$admin/api/v1/gather/web" &
    clients[n]=$!
done
shared_by() { ask "$admin/metrics" && grep -q "^hardy_gather_shared_total{gathering=\"web\"} $1$" <<<"$body"; }
wait_for shared_by 5
rm "slow-$metrics"
wait "${clients[@]}"
is 'six requests at once are one call' "$(($(asked "$metrics") - before))" 1
is 'and all have the answer' "$(sort -u shared-? | wc -l) $(grep -c '"full"' shared-1)" '1 1'

# --- who asked leaves
touch "slow-$logs"
curl -s --max-time 0.3 -o /dev/null "$admin/api/v1/gather/web"
ask "$admin/metrics"
like 'what nobody waits for is no answer' "$body" '^hardy_gather_runs_total\{gathering="web"\} [0-9]+$'
runs=$(sed -n 's/^hardy_gather_runs_total{gathering="web"} //p' <<<"$body")
rm "slow-$logs"
gather web
ask "$admin/metrics"
is 'and the next begins anew' "$(sed -n 's/^hardy_gather_runs_total{gathering="web"} //p' <<<"$body")" $((runs + 1))

# --- failing fast
curl -s --max-time 20 -o failed "$admin/api/v1/gather/quickly" &
client=$!
running() { grep -qsF -e "$1" /proc/[0-9]*/cmdline; }
wait_for running 'touch effect'
began=$(milliseconds)
touch fail-now
wait "$client"
took=$(($(milliseconds) - began))
body=$(cat failed)
is 'one fails: the whole has failed' "$(json 'd["status"], d["degradation_level"]') $(of first slow tail)" \
    "(503, 'failed') ['missing', 'missing', 'fresh']"
is 'its sibling was stopped' "$(json 'd["components"]["slow"]["error"]')" 'stopped, because first has failed'
ok "at once ($took ms)" test "$took" -lt 5000
touch never
ok 'its process is gone' ended 'touch effect'
not_ok 'and what it would have done is not done' test -e effect
is 'the end of a file' "$(json 'd["components"]["tail"]["data"]')" line

# --- what a person sees
code 'status' 0 "$HARDY" status -c hardy.yaml --admin "${admin#http://}"
like 'its gatherings' "$out" '^GATHERING +LEVEL'
like 'with what is not fresh' "$out" '^quickly +failed +first: missing slow: missing$'
code 'status as JSON' 0 "$HARDY" status -c hardy.yaml --admin "${admin#http://}" --json
body=$out
is 'the same' "$(json '[g["level"] for g in d["daemon"]["gatherings"] if g["name"] == "quickly"]')" "['failed']"
gather wbe
is 'a gathering that is not there' "$status" 404
like 'the nearest' "$body" 'did you mean `web`'

# --- the end
touch "slow-$logs"
curl -s --max-time 20 -o /dev/null "$admin/api/v1/gather/web" &
wait_for grep -qs . "asked-$logs"
end
is 'hardy ends while somebody waits' "$code" 0
ok "soon ($took ms)" test "$took" -lt 5000
