#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Each kind of check against the server it is made for: well, stopped in its tracks (SIGSTOP), gone, and in
# the states in between that only the server itself can tell.
. "$(dirname "$0")/../../tools/free_port.sh"
. "$(dirname "$0")/../tap.sh"
PATH=$PATH:/usr/sbin:/sbin:$(printf "%s:" /usr/lib/postgresql/*/bin)
pids=()
outside= # a folder that another user may enter
servers_end() {
    tap_status=$?
    [ ${#pids[@]} -eq 0 ] || { kill -9 "${pids[@]}"; wait "${pids[@]}"; } 2>/dev/null
    [ -z "$outside" ] || rm -rf "$outside"
    (exit $tap_status)
    tap_end
}
trap servers_end EXIT

for name in redis postgresql nginx hole slow; do
    declare "${name}_port=$(free_port)"
done
printf 'se cret"' >password
printf 'wrong\n' >wrong
cat >c.yaml <<YAML
checks:
  - {name: redis, redis: "127.0.0.1:$redis_port", timeout: 500ms}
  - {name: redis-password, redis: {address: "127.0.0.1:$redis_port", password_file: password}}
  - {name: redis-wrong, redis: {address: "127.0.0.1:$redis_port", password_file: wrong}}
  - {name: redis-user, redis: {address: "127.0.0.1:$redis_port", user: probe, password_file: password}}
  - {name: redis-length, number: {command: ["redis-cli", "-p", "$redis_port", "llen", "jobs"], below: 3}}
  - {name: postgresql, postgresql: "127.0.0.1:$postgresql_port", timeout: 500ms}
  - {name: postgresql-stranger, postgresql: {address: "127.0.0.1:$postgresql_port", user: stranger, database: none}}
  - {name: not-postgresql, postgresql: "127.0.0.1:$redis_port"}
  - {name: not-redis, redis: "127.0.0.1:$postgresql_port"}
  - {name: nginx, http: "http://127.0.0.1:$nginx_port/", timeout: 300ms}
  - {name: nginx-missing, http: "http://127.0.0.1:$nginx_port/none"}
  - {name: nginx-tcp, tcp: "127.0.0.1:$nginx_port"}
  - {name: nginx-process, process: {pid_file: nginx.pid}}
  - {name: nginx-depth, number: {http: "http://127.0.0.1:$nginx_port/depth", json: queues.0.depth, below: 1000}}
  - {name: hole, tcp: "127.0.0.1:$hole_port", timeout: 300ms}
  - {name: hole-http, http: "http://127.0.0.1:$hole_port/", timeout: 300ms}
  - {name: slow, http: "http://127.0.0.1:$slow_port/", response_below: 200ms}
  - {name: slow-enough, http: "http://127.0.0.1:$slow_port/", response_below: 900ms}
YAML

# check NAME CODE PATTERN WHAT: what running it says
check() {
    local said status
    said=$(timeout 10 "$HARDY" checks run "$1" -c c.yaml 2>&1)
    status=$?
    like "$1: $4" "$status $said" "^$2 $1: .*$3"
}
passes() { timeout 10 "$HARDY" checks run "$1" -c c.yaml >/dev/null 2>&1; }

# --- Redis
if command -v redis-server >/dev/null && command -v redis-cli >/dev/null; then
    redis() { redis-cli -p "$redis_port" "$@" >/dev/null 2>&1; }
    start_redis() {
        redis-server --port "$redis_port" --bind 127.0.0.1 --dir "$work" --appendonly no --save '' "$@" >redis.log 2>&1 &
        redis_pid=$!
        pids+=("$redis_pid")
    }
    check redis 1 'connection refused' 'nobody is there'
    check redis-length 126 'unknown' 'then there is no number either'
    start_redis
    wait_for passes redis
    check redis 0 'pass.*PONG' 'it answers'
    check redis-password 126 'unknown.*AUTH' 'a password that is not wanted'
    check redis-length 0 'pass.* 0' 'the length of a list'
    redis rpush jobs a b c
    check redis-length 1 'fail.* 3, not below 3' 'that grew'
    check not-postgresql 1 'fail' 'it is not PostgreSQL'
    redis acl setuser probe on '>se cret"' +ping
    check redis-user 0 'pass.*PONG' 'a user of its own'
    redis config set requirepass 'se cret"'
    check redis 126 'unknown.*NOAUTH' 'a password is wanted'
    check redis-wrong 126 'unknown.*WRONGPASS' 'another one'
    check redis-password 0 'pass.*PONG' 'this one'
    kill -STOP "$redis_pid"
    check redis-password 1 'fail.*no answer within 1s' 'it hangs'
    kill -CONT "$redis_pid"
    check redis-password 0 'pass' 'and goes on'
    export REDISCLI_AUTH='se cret"'
    redis eval 'for i = 1, 3000 do redis.call("set", "key:" .. i, string.rep("x", 500)) end' 0
    redis config set requirepass ''
    unset REDISCLI_AUTH
    redis save
    { kill -9 "$redis_pid"; wait "$redis_pid"; } 2>/dev/null
    start_redis --key-load-delay 2000 --loading-process-events-interval-bytes 1024
    wait_for redis ping
    check redis 1 'fail.*LOADING' 'it is not there yet'
    { kill -9 "$redis_pid"; wait "$redis_pid"; } 2>/dev/null
else
    skip 'Redis' 'redis-server is not here'
fi

# --- PostgreSQL, which does not run as root
if command -v initdb >/dev/null && command -v postgres >/dev/null && command -v psql >/dev/null &&
    { [ "$(id -u)" -ne 0 ] || id postgres >/dev/null 2>&1; }; then
    outside=$(mktemp -d "${TMPDIR:-/tmp}/hardy-test-pg.XXXXXX")
    as_user=()
    if [ "$(id -u)" -eq 0 ]; then
        chown postgres "$outside"
        as_user=(setpriv --reuid=postgres --regid=postgres --clear-groups --)
    fi
    start_postgresql() {
        (cd "$outside" && exec "${as_user[@]}" postgres -D data -p "$postgresql_port" -h 127.0.0.1 -k "$outside" -F) >postgresql.log 2>&1 &
        postgresql_pid=$!
        pids+=("$postgresql_pid")
    }
    query() { psql -h 127.0.0.1 -p "$postgresql_port" -U postgres "$@"; }
    (cd "$outside" && "${as_user[@]}" initdb -N -A trust -U postgres -D data) >initdb.log 2>&1 || tap_note "$(tail -3 initdb.log)"
    check postgresql 1 'connection refused' 'nobody is there'
    start_postgresql
    wait_for passes postgresql
    check postgresql 0 'pass.*takes connections' 'it answers'
    check postgresql-stranger 0 'pass.*takes connections' 'also one it does not know'
    check not-redis 1 'fail' 'it is not Redis'
    is 'nobody logs in' "$(query -Atc "select count(*) from pg_stat_activity where application_name = 'hardy'")" 0
    kill -STOP "$postgresql_pid"
    check postgresql 1 'fail.*no answer within 500ms' 'it hangs'
    kill -CONT "$postgresql_pid"
    check postgresql 0 'pass' 'and goes on'
    # Told to end, it waits for its last session, and takes no new ones.
    query -c 'select pg_sleep(20)' >/dev/null 2>&1 &
    pids+=($!)
    wait_for eval '[ "$(query -Atc "select count(*) from pg_stat_activity where query like '\''%pg_sleep(20)%'\'' and pid <> pg_backend_pid()")" = 1 ]'
    kill -TERM "$postgresql_pid"
    not_passes() { ! passes postgresql; }
    wait_for not_passes
    check postgresql 1 'fail.*shutting down \(57P03\)' 'it is going'
    kill -INT "$postgresql_pid"
    wait "$postgresql_pid"
    check postgresql 1 'connection refused' 'it is gone'
else
    skip 'PostgreSQL' 'initdb, postgres or psql is not here'
fi

# --- nginx
if command -v nginx >/dev/null; then
    mkdir -p www logs
    echo well >www/index.html
    echo '{"queues": [{"name": "mail", "depth": 12}]}' >www/depth
    cat >nginx.conf <<CONF
daemon off; worker_processes 1; pid $work/nginx.pid; error_log $work/logs/error.log;
events {}
http { access_log off; client_body_temp_path $work/logs; proxy_temp_path $work/logs; fastcgi_temp_path $work/logs;
       uwsgi_temp_path $work/logs; scgi_temp_path $work/logs;
       server { listen 127.0.0.1:$nginx_port; root $work/www; } }
CONF
    chmod 755 "$work"
    check nginx-process 1 'fail.*there is no pid file' 'it never ran'
    nginx -c "$work/nginx.conf" -p "$work" >nginx.log 2>&1 &
    nginx_pid=$!
    pids+=("$nginx_pid")
    wait_for passes nginx
    check nginx 0 'pass.*answered 200 OK' 'it answers'
    check nginx-missing 1 'fail.*answered 404' 'not what is not there'
    check nginx-depth 0 'pass.* 12' 'a number in its JSON'
    check nginx-process 0 'pass.*nginx, pid [0-9]+, runs' 'its process'
    workers=$(pgrep -P "$nginx_pid" | tr '\n' ' ')
    # shellcheck disable=SC2086
    kill -STOP "$nginx_pid" $workers
    check nginx 1 'fail.*no answer within 300ms' 'it hangs'
    check nginx-tcp 0 'pass.*connected' 'though the kernel still takes its connections'
    check nginx-process 1 'fail.*is stopped' 'and its process is stopped'
    check nginx-depth 126 'unknown.*no answer' 'and of the number nothing is known'
    # shellcheck disable=SC2086
    kill -CONT "$nginx_pid" $workers
    check nginx 0 'pass' 'and goes on'
    kill -QUIT "$nginx_pid"
    wait "$nginx_pid"
    check nginx 1 'connection refused' 'it is gone'
else
    skip 'nginx' 'nginx is not here'
fi

# --- nobody accepts, and somebody answers late
if command -v python3 >/dev/null; then
    : >ports
    python3 - "$hole_port" "$slow_port" <<'PYTHON' >ports 2>&1 &
import http.server, socket, sys, time
hole = socket.socket()
hole.bind(("127.0.0.1", int(sys.argv[1])))
hole.listen(0)
waiting = []
for _ in range(4):  # its backlog is full: further connections are not even begun
    s = socket.socket()
    s.setblocking(False)
    s.connect_ex(("127.0.0.1", int(sys.argv[1])))
    waiting.append(s)
class Slow(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(0.35)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Slow)
print("there", flush=True)
server.serve_forever()
PYTHON
    pids+=($!)
    wait_for grep -q there ports
    check hole 1 'fail.*no answer within 300ms' 'nobody accepts'
    check hole-http 1 'fail.*no answer within 300ms' 'nor over HTTP'
    check slow 1 'fail.*answered 200 OK, in [0-9]+(ms|\.[0-9]s).*not below 200ms' 'an answer that is late has failed'
    check slow-enough 0 'pass.*answered 200 OK' 'and one in time has not'
else
    skip 'a black hole' 'python3 is not here'
fi
