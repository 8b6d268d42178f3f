#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The checks of a daemon: what its API, its metrics, its log and `hardy checks` tell of them, and what a real
# Prometheus sees that has blackbox-exporter ask for /health/ready.
. "$(dirname "$0")/../../tools/free_port.sh"
. "$(dirname "$0")/../daemon/support.sh"
PATH=$PATH:/usr/sbin:/sbin

health_port=$(free_port)
cat >c.yaml <<YAML
health: {listen: "127.0.0.1:$health_port"}
checks:
  - {name: vital, command: [test, -e, vital], critical: true, interval: 50ms, timeout: 50ms, grace: 0s, failure_threshold: 1, success_threshold: 1, failures_in_last: off, flap: off}
  - {name: wavers, command: "n=\$(cat n 2>/dev/null || echo 0); echo \$((n + 1)) >n; [ -e calm ] || exit \$((n % 2))", interval: 60ms, timeout: 60ms, failures_in_last: {count: 4, of: 12}, flap: {high: 0.5, low: 0.25}}
  - {name: broken, command: ["/no/such/program"], interval: 50ms, timeout: 50ms}
  - {name: young, command: ["false"], interval: 50ms, timeout: 50ms, grace: 1h}
  - {name: llm, guard: llm, interval: 100ms, timeout: 100ms, grace: 0s}
YAML
touch vital
serve -c c.yaml --state state/hardy.db
tells() { ask "$admin/api/v1/checks"; json "{c['name']: c for c in d['checks']}['$1']['$2']" 2>/dev/null; }
tells_that() { [ "$(tells "$1" "$2")" = "$3" ]; }

# --- judgement
wait_for tells_that wavers flapping True
is 'it is down, though never twice in a row' "$(tells wavers level)" down
ask "http://127.0.0.1:$health_port/health/ready"
is 'what flaps only warns' "$status $(json 'd["status"], d["checks"]["wavers"][0]["status"], d["checks"]["wavers"][0]["flapping"]')" "200 ('warn', 'warn', True)"
is 'it is told once' "$(grep -c '"name":"wavers","flapping":"yes"\|name=wavers flapping=yes' "log.$served")" 1
wait_for tells_that broken stale True
is 'what cannot be run is unknown, and stale' "$(tells broken level) $(tells broken last)" 'unknown unknown'
is 'who has just begun is left in peace' "$(tells young level) $(tells young graced) $(tells young failures)" 'unknown True 0'
is 'a guard that is not there yet' "$(tells llm level): $(tells llm message)" 'unknown: no guard llm has been used yet'
"$HARDY" exec --state state/hardy.db --name llm -- true
wait_for tells_that llm level up
"$HARDY" guards force-open llm --state state/hardy.db 2>/dev/null
wait_for tells_that llm level down
is 'a guard that is open' "$(tells llm message)" 'forced_open, 0 recent failures'

# --- hardy checks
admin_address=${admin#http://}
code 'list, asking the daemon' 0 "$HARDY" checks list --admin "$admin_address" -c c.yaml
like 'list: what it knows' "$out" '^vital +command +up +50ms +1 in a row +[0-9.]+m?s +exit code 0 \(critical\)$'
like 'list: what flaps and what is stale' "$out" '^wavers .*4 of 12.*\(flapping\)'
like 'list: stale' "$out" '^broken .*\(stale\)$'
code 'list as JSON' 0 "$HARDY" check list --admin "$admin_address" -c c.yaml --json
body=$out
is 'list as JSON: the same' "$(json "len(d['checks']), d['daemon'], d['checks'][0]['target'], d['checks'][1]['failures_in_last']")" "(5, '$admin', 'test -e vital', {'count': 4, 'of': 12})"
code 'list without a daemon' 0 "$HARDY" checks -c c.yaml --admin 127.0.0.1:1
like 'list without a daemon: what is configured' "$out" '^vital +command +- +50ms +1 in a row +- +test -e vital \(critical\)$'
like 'list without a daemon: says so' "$err" 'no daemon answers'
code 'run: passes' 0 "$HARDY" checks run vital -c c.yaml
like 'run: what came' "$out" '^vital: pass, in [0-9.]+.s: exit code 0$'
code 'run: fails' 1 "$HARDY" checks run young -c c.yaml
code 'run: unknown' 126 "$HARDY" checks run broken -c c.yaml --json
body=$out
is 'run as JSON' "$(json "d['name'], d['kind'], d['result'], '/no/such/program' in d['message'], d['took_s'] >= 0")" "('broken', 'command', 'unknown', True, True)"
code 'run: a name that is none' 2 "$HARDY" checks run vitl -c c.yaml
like 'run: the nearest' "$err" 'did you mean `vital`'
code 'run: no name' 2 "$HARDY" checks run -c c.yaml
code 'another form' 2 "$HARDY" checks walk
code 'run asks nobody' 2 "$HARDY" checks run vital -c c.yaml --admin 127.0.0.1:1
code 'a configuration that is wrong' 2 "$HARDY" checks list -c /dev/stdin <<<'checks: [{name: a}]'
code 'no configuration' 0 "$HARDY" checks
like 'no configuration: says so' "$err" 'no checks'

code 'status' 0 "$HARDY" status --admin "$admin_address" -c c.yaml --state state/hardy.db
like 'status: what flaps' "$out" '^wavers +down +.*\(flapping\)$'

# --- metrics
ask "$admin/metrics"
for line in 'hardy_check_up{check="vital"} 1' 'hardy_check_up{check="wavers"} 0' 'hardy_check_flapping{check="wavers"} 1' \
    'hardy_check_flapping{check="vital"} 0' 'hardy_check_stale{check="broken"} 1' 'hardy_check_stale{check="vital"} 0'; do
    ok "metrics: $line" grep -qxF "$line" body
done
like 'metrics: how long it took' "$(cat body)" '^hardy_check_duration_seconds\{check="vital"\} 0\.0'
like 'metrics: results' "$(cat body)" '^hardy_check_results_total\{check="broken",result="unknown"\} [1-9]'
if command -v promtool >/dev/null; then
    code 'promtool reads them' 0 timeout 20 promtool check metrics <body
fi

# --- what hangs in the kernel holds up neither a command nor the end of a daemon
mkfifo pipe
echo 'checks: [{name: dead, number: {file: pipe, below: 3}, interval: 100ms, timeout: 50ms}]' >hang.yaml
code 'a look that hangs' 126 timeout -k 1 10 "$HARDY" checks run dead -c hang.yaml
like 'it is unknown' "$out" 'unknown.*no answer within 50ms'
"$HARDY" serve -c hang.yaml --state memory --listen 127.0.0.1:0 --admin 127.0.0.1:0 >hang.out 2>hang.log &
hung=$!
to_end+=("$hung")
wait_for grep -qs '^admin on ' hang.out
hung_admin=$(sed -n 's/^admin on //p' hang.out)
hung_says() { curl -s "$hung_admin/api/v1/checks" | grep -qF "$1"; }
wait_for hung_says 'an earlier look at it still hangs'
is 'one thread for it, however often' "$(ls /proc/$hung/task | wc -l)" 2
kill -TERM "$hung"
ended_soon() { ! kill -0 "$hung" 2>/dev/null; }
ok 'the daemon ends' wait_for ended_soon

# --- Ctrl-C ends a check with all that it started
echo "checks: [{name: slow, command: 'sleep 4321.$$', interval: 1h, timeout: 1h}]" >slow.yaml
sleeps() { pgrep -f "^sleep 4321[.]$$\$" >/dev/null; }
sleeps_no_more() { ! sleeps; }
env --default-signal=INT "$HARDY" checks run slow -c slow.yaml &
running=$!
wait_for sleeps
kill -INT "$running"
wait "$running"
is 'an interrupted check' "$?" 130
ok 'and its command' wait_for sleeps_no_more

# --- the supervisor tells of it too
cat >steady.yaml <<YAML
checks:
  - {name: wavers, command: "n=\$(cat m 2>/dev/null || echo 0); echo \$((n + 1)) >m; exit \$((n % 2))", interval: 60ms, timeout: 60ms, failures_in_last: {count: 3, of: 12}}
  - {name: late, command: ["false"], interval: 50ms, timeout: 50ms}
YAML
"$HARDY" supervise -c steady.yaml --state watch.db >watch.log 2>&1 &
watcher=$!
to_end+=("$watcher")
wait_for grep -q ' wavers .*flapping' watch.log
like 'down by the last results' "$(cat watch.log)" ' wavers +down +exit code 1 \(3 of the last 12\)'
is 'flapping is told once' "$(grep -c ' wavers .*flapping' watch.log)" 1
like 'in its grace' "$(cat watch.log)" ' late +unknown +exit code 1 \(in its grace\)'
is 'which is told once' "$(grep -c ' late ' watch.log)" 1

# --- the calm after it
touch calm
wait_for tells_that wavers flapping False
wait_for tells_that wavers level up
is 'the end of it is told once too' "$(grep -c '"name":"wavers","flapping":"no"\|name=wavers flapping=no' "log.$served")" 1

# --- Prometheus
if ! command -v prometheus >/dev/null || ! command -v prometheus-blackbox-exporter >/dev/null; then
    skip 'Prometheus' 'prometheus or prometheus-blackbox-exporter is not here'
    exit 0
fi
prometheus_port=$(free_port) exporter_port=$(free_port)
cat >exporter.yml <<YAML
modules: {http_2xx: {prober: http, timeout: 900ms, http: {preferred_ip_protocol: ip4}}}
YAML
cat >prometheus.yml <<YAML
global: {scrape_interval: 200ms, scrape_timeout: 200ms}
scrape_configs:
- job_name: ready
  metrics_path: /probe
  params: {module: [http_2xx]}
  static_configs: [{targets: ["http://127.0.0.1:$health_port/health/ready"]}]
  relabel_configs:
  - {source_labels: [__address__], target_label: __param_target}
  - {target_label: __address__, replacement: "127.0.0.1:$exporter_port"}
- job_name: hardy
  static_configs: [{targets: ["127.0.0.1:$health_port"]}]
YAML
prometheus-blackbox-exporter --config.file=exporter.yml --web.listen-address="127.0.0.1:$exporter_port" >exporter.log 2>&1 &
to_end+=($!)
prometheus --config.file=prometheus.yml --storage.tsdb.path=metrics --web.listen-address="127.0.0.1:$prometheus_port" >prometheus.log 2>&1 &
to_end+=($!)
# value QUERY: of the one sample that there is
value() {
    ask -G "http://127.0.0.1:$prometheus_port/api/v1/query" --data-urlencode "query=$1"
    json 'd["data"]["result"][0]["value"][1]' 2>/dev/null
}
value_is() { [ "$(value "$1")" = "$2" ]; }
ok 'Prometheus sees hardy ready' wait_for value_is probe_success 1
ok 'and the check up, by its own metric' wait_for value_is 'hardy_check_up{check="vital"}' 1
rm vital
ok 'and no longer ready' wait_for value_is probe_success 0
ok 'with the code for it' wait_for value_is probe_http_status_code 503
ok 'and the check down' wait_for value_is 'hardy_check_up{check="vital"}' 0
touch vital
ok 'and ready again' wait_for value_is probe_success 1
ask "http://127.0.0.1:$health_port/health/live"
is 'and live all the while' "$status" 200
