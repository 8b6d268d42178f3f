#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# gateway.sh HARDY STREAM_PEER: what the gateway costs beside nginx and HAProxy, in one run, with the same
# upstream (nginx answering from memory) and the same load (wrk). CPU time of the proxy itself is what is
# compared: it depends least on what else the machine does. Each figure is the median of ROUNDS (3), the
# proxies taking turns. One worker, one thread each; the proxy on processor 1, everything else on 0.
set -u
hardy=$(realpath "$1") # meson hands out paths relative to its build folder
peer=$(realpath "$2")
. "$(dirname "$0")/../tools/free_port.sh"
rounds=${ROUNDS:-3}
seconds=${SECONDS_EACH:-3}
PATH=$PATH:/usr/sbin:/sbin
for need in nginx haproxy wrk; do
    command -v $need >/dev/null || { echo "$need is not here: tools/packages.sh bench"; exit 77; }
done
work=$(mktemp -d) || exit 1
pids=()
finish() {
    [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null
    wait 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT
cd "$work" || exit 1
export XDG_CONFIG_HOME=$work/none XDG_STATE_HOME=$work/none XDG_RUNTIME_DIR=$work/run
unset HARDY_CONFIG HARDY_STATE
ulimit -n "$(ulimit -Hn)" 2>/dev/null

up() { # up PORT: until somebody listens there
    local i
    for i in $(seq 500); do
        (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return 0
        sleep 0.01
    done
    return 1
}
ticks() { # ticks PID...: processor time used so far, in microseconds
    local pid sum=0 fields
    for pid in "$@"; do
        read -ra fields <"/proc/$pid/stat"
        sum=$((sum + fields[13] + fields[14]))
    done
    echo $((sum * 1000000 / $(getconf CLK_TCK)))
}
rss() { # rss PID...: KiB
    local pid sum=0
    for pid in "$@"; do sum=$((sum + $(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status"))); done
    echo $sum
}
median() { sort -n | awk '{ v[NR] = $1 } END { print NR ? v[int((NR + 1) / 2)] : "-" }'; }
now_ms() { echo $(($(date +%s%N) / 1000000)); }

# --- the upstream ---------------------------------------------------------------------------------
mock=$(free_port)
text=$(head -c 700 /dev/zero | tr '\0' x)
reply="{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"bench\",\"content\":[{\"type\":\"text\",\"text\":\"$text\"}],\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":120,\"output_tokens\":200}}"
mkdir -p mock proxy
cat >mock.conf <<CONF
daemon off; master_process off; worker_processes 1; pid $work/mock/pid; error_log $work/mock/error.log;
events { worker_connections 20000; }
http { access_log off; client_max_body_size 10m; client_body_buffer_size 1m; keepalive_requests 100000000;
  client_body_temp_path $work/mock/body; proxy_temp_path $work/mock/p; fastcgi_temp_path $work/mock/f; uwsgi_temp_path $work/mock/u; scgi_temp_path $work/mock/s;
  server { listen 127.0.0.1:$mock backlog=4096; default_type application/json;
    location / { client_body_in_single_buffer on;
      add_header request-id req_011CSHoEeqs5C35K2UUqR7Fy; add_header anthropic-ratelimit-unified-status allowed;
      add_header anthropic-organization-id org_1; add_header cf-ray 1; add_header x-robots-tag none;
      return 200 '$reply'; } } }
CONF
taskset -c 0 nginx -c "$work/mock.conf" & pids+=($!)
up "$mock" || exit 1
taskset -c 0 "$peer" serve 150 20 >peer.port & pids+=($!)
while [ ! -s peer.port ]; do sleep 0.01; done
streams=$(cat peer.port)

# --- the proxies: name, port, path before /v1/messages, pids ---------------------------------------
declare -A port path pid start idle
start_nginx() {
    port[nginx]=$(free_port) path[nginx]=
    cat >proxy.conf <<CONF
daemon off; master_process off; worker_processes 1; pid $work/proxy/pid; error_log $work/proxy/error.log;
events { worker_connections 20000; }
http { access_log off; client_max_body_size 10m; client_body_buffer_size 1m; keepalive_requests 100000000;
  client_body_temp_path $work/proxy/body; proxy_temp_path $work/proxy/p; fastcgi_temp_path $work/proxy/f; uwsgi_temp_path $work/proxy/u; scgi_temp_path $work/proxy/s;
  upstream mock { server 127.0.0.1:$mock; keepalive 256; keepalive_requests 100000000; }
  upstream streams { server 127.0.0.1:$streams; keepalive 256; }
  server { listen 127.0.0.1:${port[nginx]} backlog=4096; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host localhost; proxy_buffering off;
    location / { proxy_pass http://mock; } location /streams/ { proxy_pass http://streams; } } }
CONF
    taskset -c 1 nginx -c "$work/proxy.conf" & pid[nginx]=$!
}
start_haproxy() {
    port[haproxy]=$(free_port) path[haproxy]=
    cat >haproxy.cfg <<CONF
global
  maxconn 4000
  nbthread 1
defaults
  mode http
  option http-no-delay
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  http-reuse always
frontend f
  bind 127.0.0.1:${port[haproxy]}
  use_backend streams if { path_beg /streams/ }
  default_backend mock
backend mock
  server m 127.0.0.1:$mock
backend streams
  server s 127.0.0.1:$streams
CONF
    taskset -c 1 haproxy -f haproxy.cfg >/dev/null 2>&1 & pid[haproxy]=$!
}
start_hardy() {
    port[hardy]=$(free_port) path[hardy]=/anthropic
    cat >hardy.yaml <<CONF
state: memory
gateway: {listen: "127.0.0.1:${port[hardy]}", max_connections: 20000}
admin: {listen: "127.0.0.1:$(free_port)"}
guards: {llm: {bulkhead: {max_concurrent: 100000, max_queue: 100000}}}
upstreams:
  anthropic: {url: "http://127.0.0.1:$mock", protocol: anthropic, guard: llm}
  streams: {url: "http://127.0.0.1:$streams", protocol: anthropic, guard: llm}
CONF
    taskset -c 1 "$hardy" serve -q -c hardy.yaml >/dev/null & pid[hardy]=$!
}
proxies=(nginx haproxy hardy)
for name in "${proxies[@]}"; do
    began=$(now_ms)
    "start_$name"
    pids+=("${pid[$name]}")
    up "${port[$name]}" || { echo "$name does not listen"; exit 1; }
    start[$name]=$(($(now_ms) - began))
    sleep 0.2
    idle[$name]=$(rss "${pid[$name]}")
done

# --- whole requests ---------------------------------------------------------------------------------
filler() { head -c "$1" /dev/zero | tr '\0' 'w' | sed 's/wwwwwwwwwwwwwwwwwwww/some words of it\\n /g'; }
write_lua() { # write_lua FILE BYTES
    printf '{"model":"bench","max_tokens":1000,"messages":[{"role":"user","content":"%s"}]}' "$(filler "$2")" >"$1.json"
    cat >"$1" <<LUA
local f = io.open("$work/$1.json") ; wrk.body = f:read("*a") ; f:close()
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.headers["anthropic-version"] = "2023-06-01"
wrk.headers["x-api-key"] = "sk-bench"
LUA
}
write_lua small.lua 520
write_lua large.lua 201000

measure() { # measure NAME LUA CONNECTIONS: "cpu_us_per_request requests_per_second p50_us bad"
    local name=$1 before after out requests rate p50 bad
    before=$(ticks "${pid[$name]}")
    out=$(taskset -c 0 wrk -t1 -c"$3" -d"${seconds}s" --latency -s "$2" "http://127.0.0.1:${port[$name]}${path[$name]}/v1/messages")
    after=$(ticks "${pid[$name]}")
    requests=$(awk '/requests in/ { print $1 }' <<<"$out")
    rate=$(awk '/^Requests\/sec/ { print $2 }' <<<"$out")
    bad=$(awk '/Non-2xx/ { print $NF }' <<<"$out")
    p50=$(awk '$1 == "50%" { v = $2; if (v ~ /ms$/) { sub(/ms/, "", v); v *= 1000 } else if (v ~ /us$/) sub(/us/, "", v); else { sub(/s/, "", v); v *= 1000000 } print v }' <<<"$out")
    awk -v t=$((after - before)) -v n="$requests" -v r="$rate" -v p="$p50" -v b="${bad:-0}" 'BEGIN { printf "%.2f %.0f %.0f %d\n", t / n, r, p, b }'
}
row() { # row TITLE LUA CONNECTIONS
    local name i base
    for name in "${proxies[@]}"; do : >"r.$name"; done
    for ((i = 0; i < rounds; i++)); do
        for name in "${proxies[@]}"; do measure "$name" "$2" "$3" >>"r.$name"; done
    done
    base=$(cut -d' ' -f1 r.nginx | median)
    for name in "${proxies[@]}"; do
        printf '%-34s %-8s %9s %8s %10s %9s %s\n' "$1" "$name" "$(cut -d' ' -f1 "r.$name" | median)" \
            "$(awk -v a="$(cut -d' ' -f1 "r.$name" | median)" -v b="$base" 'BEGIN { printf "%.2f", a / b }')" \
            "$(cut -d' ' -f2 "r.$name" | median)" "$(cut -d' ' -f3 "r.$name" | median)" \
            "$(awk '{ s += $4 } END { if (s) print s " not 2xx" }' "r.$name")"
    done
}
printf '%-34s %-8s %9s %8s %10s %9s\n' 'whole requests' '' 'cpu us' '/ nginx' 'requests/s' 'p50 us'
row 'small (0.6 KB), 1 connection' small.lua 1
row 'small (0.6 KB), 16 connections' small.lua 16
row '197 KB, 4 connections' large.lua 4

# --- streams ------------------------------------------------------------------------------------------
echo
printf '%-34s %-8s %9s %8s %9s %9s %9s\n' 'streams' '' 'cpu us/ev' '/ nginx' 'p50 us' 'p99 us' 'first us'
declare -A spath=([nginx]=/streams/v1/messages [haproxy]=/streams/v1/messages [hardy]=/streams/v1/messages)
stream_row() { # stream_row STREAMS
    local name i out before after base n events p50 p99 first missing
    n=$1
    for name in "${proxies[@]}"; do : >"s.$name"; done
    : >s.direct
    for ((i = 0; i < rounds; i++)); do
        taskset -c 0 "$peer" load "$streams" /v1/messages "$n" | awk '{ print "0", $3, $4, $5, $6 }' >>s.direct
        for name in "${proxies[@]}"; do
            before=$(ticks "${pid[$name]}")
            out=$(taskset -c 0 "$peer" load "${port[$name]}" "${spath[$name]}" "$n")
            after=$(ticks "${pid[$name]}")
            read -r _ events p50 p99 first missing <<<"$out"
            awk -v t=$((after - before)) -v e="$events" 'BEGIN { printf "%.2f ", e ? t / e : 0 }' >>"s.$name"
            echo "$p50 $p99 $first $missing" >>"s.$name"
        done
    done
    base=$(cut -d' ' -f1 s.nginx | median)
    for name in direct "${proxies[@]}"; do
        printf '%-34s %-8s %9s %8s %9s %9s %9s %s\n' "$n streams, an event each 20 ms" "$name" \
            "$(cut -d' ' -f1 "s.$name" | median)" \
            "$(awk -v a="$(cut -d' ' -f1 "s.$name" | median)" -v b="$base" 'BEGIN { printf "%.2f", b > 0 ? a / b : 0 }')" \
            "$(cut -d' ' -f2 "s.$name" | median)" "$(cut -d' ' -f3 "s.$name" | median)" "$(cut -d' ' -f4 "s.$name" | median)" \
            "$(awk '{ s += $5 } END { if (s) print s " incomplete" }' "s.$name")"
    done
}
stream_row 10
stream_row 200

# --- memory ---------------------------------------------------------------------------------------------
echo
printf '%-34s %-8s %9s %14s %9s\n' 'memory, start' '' 'idle KiB' 'KiB a stream' 'start ms'
for name in "${proxies[@]}"; do
    before=$(rss "${pid[$name]}")
    mkfifo "hold.$name"
    taskset -c 0 "$peer" hold "${port[$name]}" "${spath[$name]}" 1000 <"hold.$name" >/dev/null & holder=$!
    exec 4>"hold.$name"
    sleep 2
    after=$(rss "${pid[$name]}")
    exec 4>&-
    wait "$holder"
    printf '%-34s %-8s %9d %14s %9d\n' '1000 open streams' "$name" "${idle[$name]}" \
        "$(awk -v a=$((after - before)) 'BEGIN { printf "%.1f", a / 1000 }')" "${start[$name]}"
done

# --- system calls ------------------------------------------------------------------------------------------
if command -v strace >/dev/null; then
    echo
    printf '%-34s %-8s %s\n' 'system calls a request' '' '(16 connections, small)'
    for name in nginx hardy; do
        strace -f -c -o "calls.$name" -p "${pid[$name]}" >/dev/null 2>&1 & tracer=$!
        sleep 0.3
        out=$(taskset -c 0 wrk -t1 -c16 -d2s -s small.lua "http://127.0.0.1:${port[$name]}${path[$name]}/v1/messages")
        kill -INT $tracer 2>/dev/null
        wait $tracer 2>/dev/null
        requests=$(awk '/requests in/ { print $1 }' <<<"$out")
        printf '%-34s %-8s %s\n' '' "$name" "$(awk -v n="$requests" '$NF == "total" { printf "%.1f:", $4 / n } NR > 2 && $4 / n > 0.05 && $NF != "total" { list = list sprintf(" %s %.1f", $NF, $4 / n) } END { print list }' "calls.$name")"
    done
fi
