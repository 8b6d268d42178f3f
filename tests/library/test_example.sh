#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_example.sh pool|loop|http|guard.py PROGRAM: an example does what it says, against a far side that fails.
kind=$1 program=$(realpath "$2") examples=$(realpath "$(dirname "$0")/../../examples")
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/../tap.sh"
far_side_pid=

far_side() { # the address of a server that fails as it is asked to, in $server
    timeout 100 python3 "$examples/failing_server.py" >address &
    far_side_pid=$!
    wait_for test -s address && server=$(<address)
}

case $kind in
pool)
    code 'it ends by itself' 0 timeout 20 "$program"
    is 'the far side is kept whole, and the pool stops' "$out" \
        '160 jobs done by 16 threads, at most 4 of them in the far side, which broke 0 times
the far side is away: 0 jobs done, 16 cancelled'
    ;;

loop)
    far_side
    code 'it ends by itself' 0 timeout 60 "$program" "curl -fsS $server/flaky" 'exec sleep 60' 'exit 3' no-such-program \
        'kill -KILL $$'
    is 'each command has its verdict' "$(sed "s|$server||" <<<"$out" | sort)" \
        'curl -fsS /flaky: ok, attempts: 3
exec sleep 60: passing failure, and the retries are used up, attempts: 3
exit 3: passing failure, and the retries are used up, attempts: 3
hello
kill -KILL $$: passing failure, and the retries are used up, attempts: 3
no-such-program: failed, and trying again would not help, attempts: 1'
    count='mkdir in.$$ && ls -d in.* | wc -l >>seen; sleep 0.1; rmdir in.$$'
    code 'more of them' 0 timeout 60 "$program" "$count" "$count" "$count" "$count" "$count" "$count"
    is 'never more than two at once, and two' "$(sort -n seen | tail -n 1)" 2
    is 'all of them' "$(wc -l <seen)" 6
    ;;

http)
    far_side
    code 'not all of it can be had' 1 timeout 60 "$program" "$server/" "$server/flaky" "$server/busy" "$server/cut" \
        "$server/missing" "$server/slow" http://127.0.0.1:1/ "$server/broken" "$server/"
    is 'each answer is judged' "$(sed "s|$server||" <<<"$out")" '/
  attempt 1: 200
  hello
/flaky
  attempt 1: 503
  attempt 2: 503
  attempt 3: 200
  hello
/busy
  attempt 1: 429
  attempt 2: 200
  hello
/cut
  attempt 1: Server returned nothing (no headers, no data)
  attempt 2: 200
  hello
/missing
  attempt 1: 404
  failed, and trying again would not help (trying again would not help) after 1 attempt, the last with code 404
/slow
  attempt 1: Timeout was reached
  attempt 2: Timeout was reached
  attempt 3: Timeout was reached
  deadline passed (deadline) after 3 attempts, the last with code 110
http://127.0.0.1:1/
  attempt 1: Couldn'"'"'t connect to server
  attempt 2: Couldn'"'"'t connect to server
  attempt 3: Couldn'"'"'t connect to server
  attempt 4: Couldn'"'"'t connect to server
  passing failure, and the retries are used up (retries are used up) after 4 attempts, the last with code 111
/broken
  attempt 1: 500
  attempt 2: 500
  attempt 3: 500
  attempt 4: 500
  passing failure, and the retries are used up (retries are used up) after 4 attempts, the last with code 500
/
  circuit breaker is open (circuit breaker); nothing was called'
    before=$(milliseconds)
    code 'what the server asks for is waited for' 0 timeout 20 "$program" "$server/busy?again"
    ok 'at least that long' [ $(($(milliseconds) - before)) -ge 100 ]
    ;;

guard.py)
    far_side
    code 'not all of it can be had' 1 timeout 60 python3 "$program" "$server/" "$server/flaky" "$server/busy" "$server/cut" \
        "$server/missing" "$server/slow" http://127.0.0.1:1/ "$server/broken" "$server/"
    is 'each answer is judged' "$(sed "s|$server||" <<<"$out")" "/
  attempt 1
  hello
/flaky
  attempt 1
  attempt 2
  attempt 3
  hello
/busy
  attempt 1
  attempt 2
  hello
/cut
  attempt 1
  attempt 2
  hello
/missing
  attempt 1
  Failed: failed, and trying again would not help (trying again would not help) after 1 attempt, the last with code 404; the cause: <HTTPError 404: 'Not Found'>
/slow
  attempt 1
  attempt 2
  attempt 3
  Deadline: deadline passed (deadline) after 3 attempts, the last with code 110; the cause: TimeoutError('timed out')
http://127.0.0.1:1/
  attempt 1
  attempt 2
  attempt 3
  attempt 4
  Exhausted: passing failure, and the retries are used up (retries are used up) after 4 attempts, the last with code 111; the cause: URLError(ConnectionRefusedError(111, 'Connection refused'))
/broken
  attempt 1
  attempt 2
  attempt 3
  attempt 4
  Exhausted: passing failure, and the retries are used up (retries are used up) after 4 attempts, the last with code 500; the cause: <HTTPError 500: 'Internal Server Error'>
/
  Open: circuit breaker is open (circuit breaker); nothing was called; the cause: None"
    code 'as a module' 0 env PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$examples" timeout 60 python3 - <<'P'
import threading
import time
import guard

def refused(what, kind, function, *arguments, **settings):
    try:
        function(*arguments, **settings)
    except kind as error:
        print(what + ":", str(error).split("; expected")[0])
        return error
    raise SystemExit(f"{what}: no {kind.__name__}")

refused("a setting that is not one", TypeError, guard.Guard, "g", retry=dict(max_tries=3))
refused("a value that is not one", guard.Invalid, guard.Guard, "g", retry=dict(max_delay=-1))
quick = guard.Guard("g", breaker=dict(failure_threshold=1, recovery_timeout=60))
refused("a mistake of the program", ZeroDivisionError, quick.run, lambda call: 1 / 0)
assert quick.run(lambda call, a, b: a + b, 40, 2) == 42

def reset(call):
    raise ConnectionResetError(104, "reset")
refused("in doubt", guard.InDoubt, quick.run, reset)
error = refused("refused", guard.Open, quick.run, reset)
assert error.name == "E_OPEN" and 0 < error.retry_after <= 60.1, vars(error)

# Many threads in one guard: the slots hold, and Python runs meanwhile.
slots = guard.Guard("slots", bulkhead=dict(max_concurrent=3))
inside, most, lock = 0, 0, threading.Lock()
def work(call):
    global inside, most
    with lock:
        inside += 1
        most = max(most, inside)
    time.sleep(0.005)
    with lock:
        inside -= 1
threads = [threading.Thread(target=slots.run, args=[work]) for _ in range(20)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print("at most", most, "at once")
P
    is 'its errors, and its threads' "$out" 'a setting that is not one: RetryConfig has no max_tries
a value that is not one: guard g: max_delay is -1s, which should be from 1s to 1d
a mistake of the program: division by zero
in doubt: started, and nobody knows how it ended (not known to be repeatable) after 1 attempt, the last with code 104
refused: circuit breaker is open (circuit breaker); nothing was called
at most 3 at once'
    ;;
esac
[ -z "$far_side_pid" ] || kill "$far_side_pid"
