#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The three scenarios of hardy advise as examples: what is advised is what they run under, and they
# keep what is promised against local stand-ins that fail.
. "$(dirname "$0")/../work/common.sh"
mkdir bin
ln -s "$HARDY" bin/hardy
export PATH=$work/bin:$PATH
cp -r "$EXAMPLES"/{pod-remediation,provisioning,log-analysis,cloud} .
is_begun() { compgen -G "$HARDY_STATE-steps/*.begun" >/dev/null; }

for scenario in pod-remediation provisioning log-analysis; do
    code "$scenario is advised" 0 hardy advise --scenario $scenario --yaml
    is "$scenario: the example runs under what is advised" "$(sed -n '/^# From/,$p' $scenario/hardy.yaml)" "$out"
    code "$scenario: its configuration" 0 hardy validate $scenario/hardy.yaml
    like "$scenario: has nothing wrong" "$out" 'nothing wrong$'
done
# Waits of seconds become milliseconds; what is tested is the same.
sed -i 's/base_delay: [0-9]*s, max_delay: [0-9]*m/base_delay: 10ms, max_delay: 50ms/' */hardy.yaml

# --- pods that fail
cd pod-remediation || exit 1
export CLUSTER_DELAY=0.1
./cluster.sh start web api
./cluster.sh break web
code 'a round' 0 ./remediate.sh
is 'restarts the pod that fails, and no other' "$(cat cluster-state/*.pod)" $'1 well\n2 well'
code 'the next round' 0 ./remediate.sh
is 'has nothing to do' "$(cat cluster-state/web.pod)" '2 well'
./cluster.sh break web
for i in 1 2 3; do ./remediate.sh >/dev/null 2>&1 & done
wait
is 'three rounds at once: one restart' "$(cat cluster-state/web.pod)" '3 well'
is 'each failure has its record' "$(hardy actions list | grep -c 'restart-web-[12] *done')" 2

./cluster.sh break api
CLUSTER_DELAY=5 hardy exec -c hardy.yaml --name cluster --key restart-api-1 \
    --probe './cluster.sh restarted api 1' -- ./cluster.sh restart api >/dev/null 2>&1 &
round=$!
wait_for is_begun
kill_hard $round $(shims)
wait_for no_shims
is 'killed in the middle of a restart: nothing happened yet' "$(cat cluster-state/api.pod)" '1 failing'
code 'the next round looks' 0 ./remediate.sh
like 'with the probe' "$err" 'the probe says: not done'
is 'and restarts it' "$(cat cluster-state/api.pod)" '2 well'

./cluster.sh break web
failing=$(./cluster.sh failing)
touch cluster-state/down
code 'the API is away' 75 ./remediate.sh
for i in 2 3 4 5; do ./remediate.sh >/dev/null 2>&1; done
code 'after five operations that failed' 69 ./remediate.sh
like 'the breaker spares it' "$err" 'breaker.* open'
rm cluster-state/down
is 'nothing was done meanwhile' "$(./cluster.sh failing)" "$failing"
code 'its trials are let through by hand' 0 hardy guards reset cluster
code 'and the pod that waited' 0 ./remediate.sh
is 'is restarted once' "$(cat cluster-state/web.pod)" '4 well'
cd ..

# --- a network, a subnet, an instance, a database
cd provisioning || exit 1
export CLOUD_DIR=$work/things CLOUD_DELAY=0.1
made() { ls "$CLOUD_DIR" 2>/dev/null | sed 's/\..*//' | tr '\n' ' '; }
code 'a cloud that refuses two calls for each thing' 0 env CLOUD_FAILS=2 hardy run provision.yaml --set name=shop
is 'is asked again' "$(grep -c 'too many requests' <<<"$err")" 8
is 'and makes each once' "$(made)" 'database-shop instance-shop subnet-shop vpc-shop '
rm -rf "$CLOUD_DIR"
for step in vpc subnet instance database; do
    CLOUD_DELAY=0.5 hardy run provision.yaml --set name=lost >/dev/null 2>run.err &
    run=$!
    wait_for grep -q "$step: started" run.err
    wait_for is_begun
    kill_hard $run $(shims)
done
code 'killed with its step at each of the four' 0 hardy run provision.yaml --set name=lost
is 'nothing is made twice' "$(made)" 'database-lost instance-lost subnet-lost vpc-lost '

hardy guards force-open compute --for 1h 2>/dev/null
code 'the service for instances is away' 69 hardy run provision.yaml --set name=half
is 'the network is there, nothing else' "$(made | tr ' ' '\n' | grep half | tr '\n' ' ')" 'subnet-half vpc-half '
hardy guards reset compute 2>/dev/null
code 'the same line when it is back' 0 hardy run provision.yaml --set name=half
is 'goes on where it was' "$(grep -c ': started' <<<"$err") $(made | tr ' ' '\n' | grep -c half)" '2 4'
cd ..

# --- logs
if ! command -v curl >/dev/null || ! command -v python3 >/dev/null; then
    skip 'an agent that reads logs' 'curl or python3 is not here'
    exit 0
fi
cd log-analysis || exit 1
serving=
end_serving() {
    local status=$?
    [ -z "$serving" ] || kill_hard "$serving"
    (exit $status)
    tap_end
}
trap end_serving EXIT
unset http_proxy https_proxy all_proxy
hardy serve -c hardy.yaml --listen 127.0.0.1:0 --admin 127.0.0.1:0 >serve.out 2>serve.log &
serving=$!
wait_for grep -qs '^admin on ' serve.out
ADMIN=$(sed -n 's|^admin on http://||p' serve.out)
export ADMIN
touch app.log.down
code 'no logs, and none from before' 1 ./analyse.sh
like 'is an error' "$err" 'no logs, fresh or old: exit code 75'
rm app.log.down
printf '03:00:00 INFO up\n' >app.log
code 'logs' 0 ./analyse.sh
is 'are read; the error before was not kept' "$out" 'nothing is wrong in 1 lines'
echo '03:00:01 ERROR pool: connections exhausted' >>app.log
code 'logs that tell something' 0 ./analyse.sh
is 'are understood' "$out" 'raise the size of the pool: 1 errors, the last 03:00:01 ERROR pool: connections exhausted'
touch app.log.down
code 'the log service is away' 0 ./analyse.sh
like 'the last answer is used, and its age is told' "$out" '^raise the size of the pool: .* \([0-9]+s old: exit code 75'
code 'the guard' 0 hardy guards list
like 'stands in between' "$out" '^logs +closed +2/10'
