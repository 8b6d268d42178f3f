#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""durable_clients.py python|node: the one-file client of examples/ against the real daemon, killed and stopped in the
middle of its actions; so is the daemon. Prints TAP.

    HARDY=build/hardy durable_clients.py python
"""
import atexit
import json
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time

from serving import Daemon, clean, env, started, wait_for, work
from tap import check, finish

atexit.register(clean)
examples = pathlib.Path(__file__).resolve().parents[2] / "examples"
language = sys.argv[1]
if language == "node" and not shutil.which("node"):
    print("1..0 # SKIP node is not here")
    sys.exit(0)
d = Daemon()
port = d.admin.rsplit(":", 1)[1]
env["HARDY_ADMIN_URL"] = d.admin
program = [sys.executable, str(examples / "hardy_durable.py")] if language == "python" else ["node", str(examples / "hardy_durable.mjs")]


def same(what, got, wanted):
    check(what, got == wanted, f"got:    {got}\nwanted: {wanted}")


def client(run, *more, pause=0.02, lease=0.3, steps=2):
    process = subprocess.Popen([*program, run, "--ledger", str(work / run), "--pause", str(pause), "--lease", str(lease),
                                "--steps", str(steps), *more], env=env, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    started.append(process)
    return process


def end_of(process):
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def ledger(run):
    """(idempotency key, step) of each line."""
    path = work / run
    return [(line.split()[0], int(line.split()[2])) for line in path.read_text().splitlines()] if path.exists() else []


def script(python, node):
    """A few lines with the client loaded: what they print."""
    if language == "python":
        words = [sys.executable, "-c", f"import sys\nsys.path.insert(0, {str(examples)!r})\nimport hardy_durable as hardy\n{python}"]
    else:
        words = ["node", "--input-type=module", "-e", f"import * as hardy from {json.dumps(str(examples / 'hardy_durable.mjs'))}\n{node}"]
    return subprocess.run(words, env=env, cwd=work, capture_output=True, text=True, timeout=60)


# --- what the function's end means
result = script("""
class Busy(Exception):
    retryable = True
def busy(a):
    raise Busy("come again")
def unknown(a):
    raise hardy.Unknown()
print(hardy.action("once", {"n": 1}, lambda a: {"attempt": a.attempt, "key": len(a.idempotency_key)}))
print(hardy.action("once", {"n": 1}, lambda a: 1 / 0))
for key, params, function in (("once", {"n": 2}, len), ("busy", None, busy), ("unknown", None, unknown)):
    try:
        hardy.action(key, params, function, lease=0.1)
    except Exception as error:
        print(type(error).__name__)
import time
time.sleep(0.12)
try:
    hardy.action("unknown", None, len)
except hardy.InDoubt as error:
    print(error.status)
hardy.client().resolve("unknown", "done", [7])
print(hardy.action("unknown", None, len))
a, b = hardy.checkpoint("notes"), hardy.checkpoint("notes")
print(a.load("nothing"))
a.save([1])
print(b.load())
b.save([2])
try:
    a.save([3])
except hardy.Changed as error:
    print(error.status)
print(a.load())
a.delete()
print(a.load())
""", """
const names = []
const print = (value) => console.log(typeof value === 'string' ? value : JSON.stringify(value ?? null))
const caught = async (...how) => { try { await hardy.action(...how) } catch (error) { return error } }
print(await hardy.action('once', {n: 1}, (a) => ({attempt: a.attempt, key: a.idempotencyKey.length})))
print(await hardy.action('once', {n: 1}, () => { throw new Error('twice') }))
const busy = () => { throw Object.assign(new Error('come again'), {name: 'Busy', retryable: true}) }
const unknown = () => { throw new hardy.Unknown() }
print((await caught('once', {n: 2}, unknown)).name)
print((await caught('busy', null, busy, {lease: 0.1})).name)
print((await caught('unknown', null, unknown, {lease: 0.1})).constructor.name)
await new Promise((done) => setTimeout(done, 120))
print((await caught('unknown', null, busy)).status)
await new hardy.Client().resolve('unknown', 'done', [7])
print(await hardy.action('unknown', null, busy))
const a = hardy.checkpoint('notes'), b = hardy.checkpoint('notes')
print(await a.load('nothing'))
await a.save([1])
print(await b.load())
await b.save([2])
print((await a.save([3]).catch((error) => error)).status)
print(await a.load())
await a.delete()
print(await a.load())
""")
told = result.stdout.replace("'", '"').replace(" ", "").replace("None", "null").splitlines()
same("done, failed, unknown; replayed, refused, settled; checkpoints", told,
     ['{"attempt":1,"key":32}', '{"attempt":1,"key":32}', "OtherParameters", "Busy", "Unknown", "409", "[7]", "nothing", "[1]",
      "412", "[2]", "null"])
if len(told) != 12:
    print("\n".join("# " + line for line in result.stderr.splitlines()))
status, _, text = d.ask("GET", "actions/busy")
same("a failure is recorded with its reason", (json.loads(text)["detail"], json.loads(text)["code"]), ("Busy: come again", 75))

# --- where the token is
saved = env.pop("XDG_RUNTIME_DIR")
code, out, err = end_of(client("token"))
check("without a token it says where it has looked", code == 1 and re.search("no token in .*state/token", err), (code, out, err))
env["HARDY_TOKEN_FILE"] = saved + "/hardy/token"
same("HARDY_TOKEN_FILE", end_of(client("token", steps=1))[0::2], (0, ""))
env["XDG_RUNTIME_DIR"] = saved
del env["HARDY_TOKEN_FILE"]

# --- killed between the effect and its record: in doubt when the lease has run out, and not repeated
first = client("asked", pause=2)
check("it is in the middle of its action", wait_for(lambda: ledger("asked")))
first.send_signal(signal.SIGKILL)
first.communicate()
code, out, err = end_of(client("asked", "--in-doubt", "ask"))
same("the next one is told that it is in doubt", (code, "InDoubt" in err, len(ledger("asked"))), (4, True, 1))
code, out, err = end_of(client("asked", "--in-doubt", "look"))
same("looks, and goes on", (code, [n for _, n in ledger("asked")], "took effect" in out), (0, [0, 1], True))

# --- stopped for longer than its lease: taken over, and told
first = client("stopped", pause=0.6)
check("another one is in the middle", wait_for(lambda: ledger("stopped")))
first.send_signal(signal.SIGSTOP)
code, out, err = end_of(client("stopped", "--in-doubt", "rerun"))
same("it is taken over, as declared", (code, [n for _, n in ledger("stopped")]), (0, [0, 0, 1]))
same("under the same idempotency key", len({k for k, n in ledger("stopped") if n == 0}), 1)
first.send_signal(signal.SIGCONT)
code, out, err = end_of(first)
check("when it goes on it is fenced, and says so", code == 1 and re.search(r"Fenced: .*stopped/step-0", err), (code, out, err))

# --- the daemon dies in the middle, and comes back
first = client("restarted", pause=0.15, lease=5)
check("one more is in the middle", wait_for(lambda: ledger("restarted")))
d.end(signal.SIGKILL)
d = Daemon("--admin", "127.0.0.1:" + port)
code, out, err = end_of(first)
same("its owner has waited", (code, [n for _, n in ledger("restarted")], err), (0, [0, 1], ""))

# --- killed anywhere, again and again: every step once
seed = random.randrange(1 << 30)
chance = random.Random(seed)
kills = 0
for _ in range(20):
    process = client("often", "--in-doubt", "look", pause=0.02, lease=0.1, steps=4)
    try:
        process.communicate(timeout=chance.uniform(0.12, 0.35))
        break
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
else:
    end_of(client("often", "--in-doubt", "look", pause=0.02, lease=0.1, steps=4))
check(f"after {kills} kills (seed {seed}) each step once", [n for _, n in ledger("often")] == list(range(4)), ledger("often"))
same("and the checkpoint at its end", json.loads(d.ask("GET", "checkpoints/often")[2]), {"done": 4})
finish()
