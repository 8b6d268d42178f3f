#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""/api/v1/actions and /api/v1/checkpoints: what other languages build on. Leases run out in earnest here, so they are
short; what is decided is tested on virtual time in tests/durable. Prints TAP.

    HARDY=build/hardy actions.py
"""
import atexit
import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import threading
import time

from serving import HARDY, Daemon, clean, env, run, wait_for, work
from tap import check, finish, skip

F_OFD_SETLK = 37
atexit.register(clean)
d = Daemon()


def same(what, got, wanted):
    check(what, got == wanted, f"got:    {got}\nwanted: {wanted}")


def like(what, text, pattern):
    check(what, re.search(pattern, text), f"got: {text}\nto match: {pattern}")


def post(path, body):
    status, headers, text = d.write("POST", path, body)
    told = json.loads(text) if text[:1] == "{" else {}
    told["http"], told["headers"], told["text"] = status, headers, text
    return told


def problem(what, told, status, kind):
    same(what, (told["http"], told["headers"]["content-type"], told.get("type")), (status, "application/problem+json", kind))


def look(path):
    status, _, text = d.ask("GET", path)
    return status, json.loads(text)


# --- meanwhile: a process that was stopped while it wrote keeps the state
busy = work / "busy"
busy.mkdir()
told = {}


def kept_waiting():
    b = Daemon(HARDY_STATE=str(busy / "hardy.db"))
    same_write = lambda: b.write("PUT", "checkpoints/a", "1")
    told["before"] = same_write()[0]
    with open(busy / "hardy.db-lock", "r+b") as lock:
        fcntl.fcntl(lock, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0))
        told["at"] = time.monotonic()
        others = [threading.Thread(target=lambda: told.setdefault("begun", b.write("POST", "actions", {"key": "k", "claim": 20 * "c"})))]
        others[0].start()
        told["put"] = b.write("PUT", "checkpoints/a", "2")
        told["took"] = time.monotonic() - told["at"]
        others[0].join()
        told["read"] = b.ask("GET", "checkpoints/a")[2]
        told["live"] = b.ask("GET", "/health/live")[0]
    told["after"] = b.write("POST", "actions", {"key": "k", "claim": 20 * "c"})
    told["now"] = b.ask("GET", "checkpoints/a")[2]
    told["end"] = b.end()


waiting = threading.Thread(target=kept_waiting)
waiting.start()

# --- who may
for what, method, path, headers, wanted in (
        ("without the type", "POST", "actions", {"authorization": "Bearer " + d.token}, 415),
        ("without the token", "POST", "actions", {"content-type": "application/json"}, 401),
        ("settling without it", "POST", "actions/a/resolve", {"content-type": "application/json"}, 401),
        ("a checkpoint without it", "PUT", "checkpoints/a", {"content-type": "application/json"}, 401),
        ("a page that knows it", "POST", "actions", {"content-type": "application/json", "origin": "https://evil.example",
                                                    "authorization": "Bearer " + d.token}, 403),
        ("removing without the type", "DELETE", "checkpoints/a", {"authorization": "Bearer " + d.token}, 415)):
    same(what, d.ask(method, path, b'{"key":"a"}', headers)[0], wanted)
same("nothing was begun", look("actions"), (200, {"actions": []}))

# --- one action from its begin to its end
key, path = "order 1/ü", "actions/order%201%2F%C3%BC"
a = post("actions", {"key": key, "params": {"amount": 0.1}, "owner": "agent.py", "lease": "1m"})
same("begun", (a["http"], a["id"], a["state"], a["attempt"], a["lease"], a["lease_ms"], len(a["idempotency_key"])),
     (201, key, "running", 1, "1m", 60000, 32))
b = post("actions", {"key": key, "params": {"amount": 0.1}})
problem("it runs", b, 409, "running")
check("and for how long", 55 <= int(b["headers"]["retry-after"]) <= 60 and 55000 < int(b["headers"]["retry-after-ms"]) <= 60000, b)
like("and by whom", b["detail"], "agent.py")
b = post("actions", {"key": key, "params": {"amount": 0.2}})
problem("other parameters, though it runs", b, 422, "other-parameters")
like("both are named", b["detail"], r'\{"amount":0\.1\}; now: \{"amount":0\.2\}')
b = post(path + "/renew", {"fence": a["fence"], "lease": "2m"})
same("renewed", (b["http"], b["lease_ms"]), (200, 120000))
problem("a fence that was never handed out", post(path + "/renew", {"fence": a["fence"] + 1}), 409, "fenced")
problem("no fence", post(path + "/renew", {}), 400, None)
status, b = look(path)
same("looked at", (status, b["id"], b["state"], b["owner"], b["params"], b["fence"]),
     (200, key, "running", "agent.py", {"amount": 0.1}, a["fence"]))
end = '{"fence":%d,"result":{"id": 7, "sum": 1e400}}' % a["fence"]
same("a result that no double can hold", (post(path + "/complete", end)["http"], post(path + "/complete", end)["http"]), (200, 200))
problem("another end", post(path + "/complete", {"fence": a["fence"], "result": 8}), 409, "ended")
problem("yet another", post(path + "/fail", {"fence": a["fence"]}), 409, "ended")
b = post("actions", '{"params":{ "amount" : 0.10 },"key":"order 1\\/\\u00fc"}')
same("done: the result again", (b["http"], b["headers"]["idempotent-replayed"], b["fence"]), (200, "true", a["fence"]))
like("to the byte", b["text"], r'"result":\{"id": 7, "sum": 1e400\}\}')

# --- it fails, and is begun again
a = post("actions", {"key": "f", "owner": "agent.py"})
same("failed", post("actions/f/fail", {"fence": a["fence"], "detail": "no funds", "retryable": True})["state"], "failed")
b = look("actions/f")[1]
same("with its reason", (b["state"], b["detail"], b["code"]), ("failed", "no funds", 75))
b = post("actions", {"key": "f"})
same("may be begun again", (b["http"], b["attempt"]), (201, 2))

# --- its owner is silent: in doubt
first = post("actions", {"key": "lost", "owner": "agent.py", "lease": "100ms", "params": [1]})["fence"]
post("actions", {"key": "mine", "lease": "100ms"})
time.sleep(0.11)
b = post("actions", {"key": "lost", "params": [1]})
problem("in doubt", b, 409, "in-doubt")
like("who was silent", b["detail"], "agent.py began it")
status, b = look("actions")
same("the list says so", [(x["id"], x["state"]) for x in b["actions"]],
     [("f", "running"), ("lost", "in_doubt"), ("mine", "in_doubt"), (key, "done")])
same("without what they gave", [x["output"] for x in b["actions"]], [None] * 4)
same("further on", [x["id"] for x in look("actions?n=1&after=lost")[1]["actions"]], ["mine"])
same("of remedies there are none", look("actions?kind=remedy"), (200, {"actions": []}))
same("nor of anything else", look("actions?kind=step")[0], 400)
like("hardy actions list tells it too", run("actions", "list").stdout, r"(?m)^lost +in_doubt .*agent\.py")
shown = run("actions", "show", "lost").stdout
like("hardy actions show: whose it is", shown, r"begun by agent\.py, fence \d+, lease until")
like("and the line to type", shown, "hardy actions resolve lost --done")
b = run("actions", "resolve", "f", "--retry")
same("one that runs is left alone", b.returncode, 1)
like("by whom it is run", b.stderr, r"f is still run by 127\.0\.0\.1:\d+; its lease runs for another")
problem("also through the API", post("actions/f/resolve", {"as": "retry"}), 409, "running")
b = post("actions", {"key": "lost", "params": [1], "in_doubt": "rerun", "owner": "second"})
same("declared safe: begun again", (b["http"], b["attempt"], b["fence"] > first), (201, 2, True))
second = b["fence"]
b = post("actions/lost/complete", {"fence": first, "result": 1})
problem("the first one is fenced", b, 409, "fenced")
like("and told by whom", b["detail"], "taken over by second")
same("the second one is not", post("actions/lost/complete", {"fence": second, "result": 2})["http"], 200)
b = post("actions/mine/resolve", {"as": "done", "result": {"by": "hand"}, "by": "mona"})
same("settled", (b["http"], b["state"], b["detail"], b["output"]), (200, "done", "resolved as done by mona", {"by": "hand"}))
b = post("actions", {"key": "mine"})
same("and replayed", (b["http"], b["result"]), (200, {"by": "hand"}))
problem("settled once", post("actions/mine/resolve", {"as": "done"}), 409, "ended")
post("actions", {"key": "hand", "lease": "100ms"})
time.sleep(0.11)
problem("declared to count as failed", post("actions", {"key": "hand", "in_doubt": "fail"}), 409, "failed")
a = post("actions", {"key": "hand", "lease": "100ms"})
same("and then begun again", (a["http"], a["attempt"]), (201, 2))
time.sleep(0.11)
same("settled by hand", run("actions", "resolve", "hand", "--retry").returncode, 0)
problem("its owner is fenced", post("actions/hand/renew", {"fence": a["fence"]}), 409, "fenced")
b = post("actions", {"key": "hand", "params": "something else"})
same("begun again as what it is now", (b["http"], b["attempt"]), (201, 3))

# --- the same begin again is no second owner
claim = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
a = post("actions", {"key": "claimed", "claim": claim})
b = post("actions", {"key": "claimed", "claim": claim})
same("its answer was lost", (b["http"], b["fence"]), (201, a["fence"]))
problem("another one", post("actions", {"key": "claimed", "claim": claim[:-1] + "8"}), 409, "running")
claimed = a["fence"]

# --- many at once over one key: one of them begins
begun = []
crowd = [threading.Thread(target=lambda: begun.append(post("actions", {"key": "crowd"})["http"])) for _ in range(16)]
for one in crowd:
    one.start()
for one in crowd:
    one.join()
same("one of a crowd begins", sorted(begun), [201] + [409] * 15)

# --- exec --key beside it
b = run("exec", "--key", "claimed", "--", "touch", "ran")
same("exec under such a key", (b.returncode, (work / "ran").exists()), (125, False))
like("says why", b.stderr, "used for other parameters")
same("exec under its own", run("exec", "--key", "own", "--", "echo", "yes").returncode, 0)
problem("is not ours to begin", post("actions", {"key": "own"}), 422, "other-parameters")
problem("nor to end", post("actions/own/complete", {"fence": 1}), 409, "fenced")
same("but to be seen", look("actions/own")[1]["output"], "yes\n")

# --- what is wrong with a request
for wrong in ('{"kez":1}', '{"key":7}', '{"key":""}', '{"key":"a","key":"b"}', '[]', '', '{"key":"a"', '{"key":"a","lease":"30"}',
              '{"key":"a","lease":30}', '{"key":"a","lease":"1ms"}', '{"key":"a","in_doubt":"probe"}', '{"key":"a","ttl":"0"}',
              '{"key":"a","claim":"x"}', '{"key":"a\\u0000b"}', '{"key":"a","params":{"x":1,"x":2}}', '{"key":"a","p\\u0061rams":1}',
              '{"key":"a","params":' + 70 * '[' + 70 * ']' + '}', '{"key":"a","owner":{}}'):
    problem("refused: " + wrong[:40], post("actions", wrong), 400, None)
like("the nearest", post("actions", '{"kez":"a"}')["detail"], 'did you mean "key"')
problem("parameters that are too large", post("actions", {"key": "a", "params": "1" * 1100000}), 413, None)
problem("other members that are", post("actions", {"key": "a", "owner": "1" * 70000}), 413, None)
same("nothing of it was begun", look("actions/a")[0], 404)
problem("one that is not there", post("actions/none/complete", {"fence": 1}), 404, None)
problem("no such change", post("actions/f/explode", {"fence": 1}), 404, None)
problem("no such way to settle", post("actions/f/resolve", {"as": "perhaps"}), 400, None)
problem("a name that is not encoded well", post("actions/%zz/renew", {"fence": 1}), 400, None)
largest = '{"fence":%d,"result":[%s1]}' % (post("actions", {"key": "large"})["fence"], 2097150 * "1,")
same("a result of millions of parts", post("actions/large/complete", largest)["http"], 200)
same("comes back", post("actions", {"key": "large"})["result"], [1] * 2097151)

# --- checkpoints
status, headers, _ = d.write("PUT", "checkpoints/agent/7", '{"n": 1}', if_none_match="*")
tag = headers["etag"]
same("made", (status, bool(re.fullmatch(r'"\d+"', tag))), (201, True))
status, headers, text = d.ask("GET", "checkpoints/agent/7")
same("read, to the byte", (status, headers["etag"], text), (200, tag, '{"n": 1}'))
status, headers, text = d.write("PUT", "checkpoints/agent%2F7", "2", if_none_match="*")
same("only when it is new", (status, headers["etag"], json.loads(text)["type"]), (412, tag, "other-version"))
status, headers, _ = d.write("PUT", "checkpoints/agent/7", "2", if_match=tag)
new = headers["etag"]
same("written over", (status, new != tag), (200, True))
status, headers, _ = d.write("PUT", "checkpoints/agent/7", "3", if_match=tag)
same("not over what was not read", (status, headers["etag"]), (412, new))
for what, method, name, body, conditions, wanted in (
        ("nor removed", "DELETE", "agent/7", None, {"if_match": tag}, 412),
        ("a tag it never had", "PUT", "agent/7", "3", {"if_match": '"x"'}, 412),
        ("only when it is there", "PUT", "none", "3", {"if_match": "*"}, 412),
        ("two conditions", "PUT", "agent/7", "3", {"if_match": new, "if_none_match": "*"}, 400),
        ("two tags", "PUT", "agent/7", "3", {"if_match": new + ", " + tag}, 400),
        ("no JSON", "PUT", "agent/7", "[4", {}, 400), ("nothing", "PUT", "agent/7", "", {}, 400),
        ("no id", "PUT", "a%20b", "1", {}, 400), ("no ttl", "PUT", "a?ttl=1", "1", {}, 400),
        ("whatever is there", "PUT", "agent/7", "5", {}, 200), ("removed", "DELETE", "agent/7", None, {}, 204),
        ("once", "DELETE", "agent/7", None, {}, 404)):
    same("a checkpoint: " + what, d.write(method, "checkpoints/" + name, body, **conditions)[0], wanted)
same("gone", d.ask("GET", "checkpoints/agent/7")[0], 404)
status, headers, _ = d.write("PUT", "checkpoints/short?ttl=20ms", "1")
same("read already", d.ask("GET", "checkpoints/short", None, {"if-none-match": headers["etag"]})[0::2], (304, ""))
time.sleep(0.03)
same("kept no longer than it was to be", d.ask("GET", "checkpoints/short")[0], 404)
largest = '"' + 8388606 * "x" + '"'
same("the largest", d.write("PUT", "checkpoints/large", largest)[0], 201)
check("comes back", d.ask("GET", "checkpoints/large")[2] == largest)
same("one byte more", d.write("PUT", "checkpoints/large", largest + " ")[0], 413)

# --- workflows, as the commands show them
(work / "flow.yaml").write_text("name: flow\nsteps:\n  - {name: one, run: [echo, '{\"id\": 7}']}\n  - {name: two, run: [\"false\"]}\n")
same("no run yet", look("workflows"), (200, {"workflows": []}))
run("run", "flow.yaml", "--id", "first")
run("run", "flow.yaml", "--id", "second")
same("runs", look("workflows")[1]["workflows"], json.loads(run("workflows", "list", "--json").stdout))
same("further on", [x["id"] for x in look("workflows?after=first")[1]["workflows"]], ["second"])
same("one of them", look("workflows/second")[1], json.loads(run("workflows", "show", "second", "--json").stdout))
same("with its steps", [(x["name"], x["state"]) for x in look("workflows/second")[1]["steps"]], [("one", "done"), ("two", "failed")])
same("none", look("workflows/third")[0], 404)

# --- and what people say to them
(work / "asks.yaml").write_text('name: asks\nsteps:\n  - {name: ok, approve: {message: ship}}\n  - {name: pay, run: ["sh", "-c", "kill -9 $$"]}\n')


def begin(run_id):
    p = subprocess.Popen([HARDY, "run", "asks.yaml", "--id", run_id], env=env, cwd=work, stderr=subprocess.PIPE, text=True)
    check(f"{run_id} waits", wait_for(lambda: look("workflows/" + run_id)[1].get("state") == "waiting"))
    return p


def say(run_id, verb, **body):
    return post(f"workflows/{run_id}/{verb}", body)


p = begin("a1")
same("no step", say("a1", "approve")["http"], 400)
b = say("a1", "approve", step="pax")
same("another step", (b["http"], "did you mean `pay`?" in b["detail"]), (404, True))
problem("one that does not wait", say("a1", "approve", step="pay"), 409, "ended")
same("no such run", say("a9", "approve", step="ok")["http"], 404)
same("nothing that can be said", say("a1", "praise", step="ok")["http"], 404)
same("without the token", d.ask("POST", "workflows/a1/approve", b'{"step":"ok"}', {"content-type": "application/json"})[0], 401)
b = say("a1", "approve", step="ok", by="ann", comment="fine")
same("approved", (b["http"], b["said"], b["by"]), (200, "approved", "ann"))
check("twice: who was first", say("a1", "approve", step="ok")["http"] == 409)
same("it goes on, and is in doubt", (p.wait(20), look("workflows/a1")[1]["steps"][0]["detail"]), (4, "approved by ann"))
p.stderr.close()
same("how it is settled is missing", say("a1", "resolve", step="pay")["http"], 400)
b = say("a1", "resolve", step="pay", **{"as": "done"}, result={"paid": 1}, by="bob")
same("settled", (b["http"], b["state"], b["output"]), (200, "done", {"paid": 1}))
problem("once", say("a1", "resolve", step="pay", **{"as": "done"}), 409, "ended")
same("it can be resumed", run("workflows", "resume", "a1").returncode, 0)
p = begin("a2")
same("refused", say("a2", "approve", step="ok", refuse=True)["said"], "refused")
same("ends with 5", (p.wait(20), look("workflows/a2")[1]["state"]), (5, "failed"))
p.stderr.close()
p = begin("a3")
b = say("a3", "cancel", comment="not today")
same("cancelled", (b["http"], b["cancelled"], b["by"]), (200, True, "the admin API"))
same("ends", (p.wait(20), look("workflows/a3")[1]["detail"]), (1, "cancelled by the admin API: not today"))
p.stderr.close()
problem("what is over", say("a3", "cancel"), 409, "ended")

# --- it outlives the daemon, whose end waits for nobody
d.end(signal.SIGKILL)
d = Daemon()
same("the owner has not noticed", post("actions/claimed/complete", {"fence": claimed, "result": "late"})["http"], 200)
same("nor has its result", post("actions", {"key": "claimed"})["result"], "late")
same("it ends", d.end(), 0)

# --- without a state that can be used
d = Daemon(HARDY_STATE="memory")
same("in memory, it is another world", post("actions", {"key": key, "params": {"amount": 0.1}, "lease": "100ms"})["http"], 201)
time.sleep(0.11)
same("and settled there", post(path + "/resolve", {"as": "fail"})["state"], "failed")
same("with checkpoints of its own", d.write("PUT", "checkpoints/a", "1", if_none_match="*")[0], 201)
same("which end with it", d.end(), 0)
damaged = work / "state" / "damaged.db"
damaged.touch()
(work / "state" / "damaged.db-steps").mkdir()
d = Daemon(HARDY_STATE=str(damaged))
b = post("actions", {"key": "a"})
problem("a state that cannot be used", b, 503, "state-unavailable")
like("is told", b["detail"], "is empty, though steps were recorded in it")
same("for reading too", (d.ask("GET", "checkpoints/a")[0], look("actions")[0]), (503, 503))
b = look("status")[1]
same("status tells", (b["actions_served"], "is empty" in b["store_problem"], b["guards_shared"]), (False, True, True))
same("what needs no state is served", d.ask("GET", "/health/live")[0], 200)
d.end()

# --- a disk that is full
small = work / "small"
small.mkdir()
mount = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=2600k none "$0" && exec "$@"', str(small)]
if subprocess.run([*mount, "true"], capture_output=True).returncode == 0:
    d = Daemon(before=mount, HARDY_STATE=str(small / "hardy.db"))
    largest = '"' + 1000000 * "x" + '"'
    same("a disk with room", d.write("PUT", "checkpoints/a", largest)[0], 201)
    status, headers, text = d.write("PUT", "checkpoints/b", largest)
    same("without", (status, json.loads(text)["type"], headers["retry-after"]), (503, "state-unavailable", "1"))
    like("is told", text, "the state is full: .*small/hardy.db")
    b = look("status")[1]
    same("status tells", (b["actions_served"], b["ready"], bool(b["store_problem"])), (False, True, True))
    same("nothing of it is there", d.ask("GET", "checkpoints/b")[0], 404)
    same("what has room goes on", (post("actions", {"key": "a"})["http"], look("status")[1]["actions_served"]), (201, True))
    d.end()
else:
    skip("a disk that is full", "no mounts of one's own here")
(work / "refuse.yaml").write_text("on_state_error: refuse\n")
env["HARDY_STATE"] = str(damaged)
b = run("serve", "-c", "refuse.yaml", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
same("on_state_error: refuse", b.returncode, 1)
like("says so", b.stderr, r"is empty.*\(on_state_error: refuse\)")

# --- a state that fails while it is served
for refuse in (False, True):
    gone = work / "state" / f"gone{refuse}.db"
    d = Daemon(*(["-c", "refuse.yaml"] if refuse else []), HARDY_STATE=str(gone))
    same("a state", (post("actions", {"key": "a"})["http"], d.ask("GET", "/health/ready")[0]), (201, 200))
    gone.rename(work / "state" / "elsewhere.db")
    problem("that somebody takes away", post("actions", {"key": "b"}), 503, "state-unavailable")
    status, _, text = d.ask("GET", "/health/ready")
    same("readiness goes by on_state_error", status, 503 if refuse else 200)
    like("and says why", text, "the state cannot be written" if refuse else "pass")
    same("serving goes on", d.ask("GET", "/health/live")[0], 200)
    same("it ends", d.end(), 0)

waiting.join()
same("a state that is kept from being written", (told["before"], told["put"][0], json.loads(told["put"][2])["type"]), (201, 503, "state-unavailable"))
check("is told after some seconds", 4 < told["took"] < 15 and "another process" in told["put"][2], told)
same("of an action too", (told["begun"][0], told["begun"][1]["retry-after"]), (503, "1"))
same("reading goes on", (told["read"], told["live"]), ("1", 200))
same("the same begin gets what has become of it", (told["after"][0], json.loads(told["after"][2])["attempt"]), (201, 1))
same("the write, too, was done in the end", (told["now"], told["end"]), ("2", 0))
finish()
