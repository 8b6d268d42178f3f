#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hardy_durable.py: durable actions and checkpoints of a running `hardy serve`, in one file to copy.

    import hardy_durable as hardy

    def charge(a):  # a.idempotency_key goes to the far side, a.attempt counts from 1
        return bank.charge(4711, 5, idempotency_key=a.idempotency_key)

    receipt = hardy.action("order-12345", {"account": 4711, "amount": 5}, charge)

runs charge() once under that key, however often it is asked for: a success is replayed, whoever asks. While it
runs its lease is renewed in the background. When this process dies in it, nobody knows whether it took effect:
once the lease has run out, the next action() raises InDoubt (or, with in_doubt="rerun", runs it again).

    state = hardy.checkpoint("agent/7")
    notes = state.load({"done": 0})     # remembers the version it has read
    state.save({"done": 1})             # raises Changed when somebody else has saved in between

What ends charge() decides what is recorded: it returns, done; it raises, failed (it may be begun again; an
attribute `retryable` of the exception is recorded); it raises Unknown, or is interrupted, nothing: it is in doubt
once the lease has run out.

It finds the daemon at HARDY_ADMIN_URL (http://127.0.0.1:4274) and its token in HARDY_TOKEN_FILE, or where hardy
keeps it. Python 3.11, standard library only. Run as a program it shows an agent loop that can be killed anywhere:

    hardy_durable.py RUN --ledger FILE [--steps N] [--pause SECONDS] [--lease SECONDS] [--in-doubt ask|rerun|look]
"""
import http.client
import json
import os
import pathlib
import random
import socket
import sys
import threading
import time
import urllib.parse
import uuid


class HardyError(Exception):
    """`status` is HTTP's (0: no answer), `kind` the problem's type."""

    def __init__(self, detail, status=0, kind="", retry_after=None):
        super().__init__(detail)
        self.status, self.kind, self.retry_after = status, kind, retry_after


class InDoubt(HardyError):
    """It was begun, its owner fell silent, and nobody knows whether it took effect: find out, then resolve()."""


class Running(HardyError):
    """Somebody else's lease on it runs, for another `retry_after` seconds unless it is renewed."""


class Fenced(HardyError):
    """Somebody else has taken it over, or has settled it, while this process was silent for longer than its lease."""


class OtherParameters(HardyError):
    """The key was used for other parameters."""


class Changed(HardyError):
    """The checkpoint is not the one that was read."""


class Unavailable(HardyError):
    """No daemon, or its state is full or has failed."""


class Unknown(Exception):
    """For an action's function to raise: it does not know whether it took effect."""


KINDS = {"in-doubt": InDoubt, "running": Running, "fenced": Fenced, "other-parameters": OtherParameters,
         "other-version": Changed}


def find_token():
    """The text of the first of hardy's token files that there is."""
    env = os.environ
    if env.get("HARDY_TOKEN_FILE"):
        return pathlib.Path(env["HARDY_TOKEN_FILE"]).read_text().strip()
    places = []
    if env.get("XDG_RUNTIME_DIR", "").startswith("/"):
        places.append(pathlib.Path(env["XDG_RUNTIME_DIR"], "hardy", "token"))
    if env.get("RUNTIME_DIRECTORY", "").startswith("/"):
        places.append(pathlib.Path(env["RUNTIME_DIRECTORY"].split(":")[0], "token"))
    if env.get("HARDY_STATE"):
        places.append(pathlib.Path(env["HARDY_STATE"]).parent / "token")
    if env.get("STATE_DIRECTORY"):
        places.append(pathlib.Path(env["STATE_DIRECTORY"].split(":")[0], "token"))
    home = env.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    places.append(pathlib.Path(home, "hardy", "token"))
    for place in places:
        try:
            return place.read_text().strip()
        except FileNotFoundError:
            continue
    raise Unavailable(f"no token in {', '.join(map(str, places))}: does hardy serve run? HARDY_TOKEN_FILE names another")


def whole_path(*parts):
    return "/api/v1/" + "/".join(urllib.parse.quote(part, safe="") for part in parts)


def span(seconds):
    return f"{max(1, round(seconds * 1000))}ms"


class Client:
    """One daemon. Any thread. `patience`: seconds in which calls that get no answer are made again."""

    def __init__(self, url=None, token=None, owner=None, patience=30.0):
        self.url = urllib.parse.urlsplit(url or os.environ.get("HARDY_ADMIN_URL") or "http://127.0.0.1:4274")
        self._token = token
        self.owner = owner or f"{os.path.basename(sys.argv[0]) or 'python'} (pid {os.getpid()} on {socket.gethostname()})"
        self.patience = patience

    def _once(self, method, path, body, headers):
        kind = http.client.HTTPSConnection if self.url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self.url.netloc, timeout=10)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def call(self, method, path, body=None, headers=None):
        """(status, headers, body, whether it was tried before), of a call that may be made twice."""
        if self._token is None:
            self._token = find_token()
        headers = {"content-type": "application/json", "authorization": f"Bearer {self._token}", **(headers or {})}
        until, pause, tried = time.monotonic() + self.patience, 0.05, False
        while True:
            try:
                status, got, text = self._once(method, path, body, headers)
                again = status == 503 and got.get("retry-after")
                problem = text.decode(errors="replace")
            except (OSError, http.client.HTTPException) as error:
                status, again, problem = 0, True, f"no answer from {self.url.netloc}: {error}"
            if not again:
                return status, got, text, tried
            if time.monotonic() + pause > until:
                raise Unavailable(problem, status)
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause, tried = min(2 * pause, 2.0), True

    @staticmethod
    def refused(status, headers, text):
        try:
            problem = json.loads(text)
        except ValueError:
            problem = {}
        kind = problem.get("type", "")
        wait = headers.get("retry-after-ms")
        of = Unavailable if status == 503 else KINDS.get(kind, HardyError)
        return of(problem.get("detail") or f"HTTP {status}", status, kind, float(wait) / 1000 if wait else None)

    def post(self, path, body):
        status, headers, text, _ = self.call("POST", path, json.dumps(body, allow_nan=False))
        if status not in (200, 201):
            raise self.refused(status, headers, text)
        return status, headers, json.loads(text)

    def begin(self, key, params=None, *, name=None, lease=30.0, ttl="24h", in_doubt="ask"):
        """An Action that runs, or one with `replayed` and its `result`."""
        body = {"key": key, "params": params, "owner": self.owner, "claim": str(uuid.uuid4()), "lease": span(lease),
                "ttl": ttl, "in_doubt": in_doubt}
        if name:
            body["name"] = name
        status, _, told = self.post("/api/v1/actions", body)
        return Action(self, told, lease, status == 200)

    def resolve(self, key, how, result=None):
        """Settles what is in doubt: how = "done" (with its result), "retry" or "fail"."""
        body = {"as": how, "by": self.owner}
        if result is not None:
            body["result"] = result
        return self.post(whole_path("actions", key, "resolve"), body)[2]

    def action(self, key, params, function, **how):
        """The result of function(action), run once under `key`. InDoubt, Running, OtherParameters, Fenced."""
        a = self.begin(key, params, **how)
        if a.replayed:
            return a.result
        with a.renewed():
            try:
                result = function(a)
                text = json.dumps(result, allow_nan=False)
            except Unknown:
                raise
            except Exception as error:
                a.fail(f"{type(error).__name__}: {error}", bool(getattr(error, "retryable", False)))
                raise
        a.complete(result)
        return json.loads(text)  # as the next one will get it

    def checkpoint(self, id):
        return Checkpoint(self, id)


class Action:
    """One that this process has begun. `lost` is set when somebody else has taken it over."""

    def __init__(self, client, told, lease, replayed):
        self.client, self.lease, self.replayed = client, lease, replayed
        self.key, self.fence, self.attempt = told["id"], told["fence"], told["attempt"]
        self.idempotency_key, self.result = told["idempotency_key"], told.get("result")
        self.lost = threading.Event()
        self._over = threading.Event()

    def _say(self, verb, **body):
        return self.client.post(whole_path("actions", self.key, verb), {"fence": self.fence, **body})

    def renew(self):
        self._say("renew", lease=span(self.lease))

    def complete(self, result=None):
        self._say("complete", result=result)

    def fail(self, detail, retryable=False):
        self._say("fail", detail=detail, retryable=retryable)

    def _renew_on(self):
        while not self._over.wait(self.lease / 3):
            try:
                self.renew()
            except Unavailable:
                continue
            except HardyError:
                self.lost.set()
                return

    def renewed(self):
        return _Renewed(self)


class _Renewed:
    def __init__(self, action):
        self.action = action
        self.thread = threading.Thread(target=action._renew_on, daemon=True)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.action._over.set()


class Checkpoint:
    """One JSON value under an id. `version` is the one that was read or written last; None: none."""

    def __init__(self, client, id):
        self.client, self.id, self.version = client, id, None
        self.path = whole_path("checkpoints", id)

    def load(self, default=None):
        status, headers, text, _ = self.client.call("GET", self.path)
        if status == 404:
            self.version = None
            return default
        if status != 200:
            raise Client.refused(status, headers, text)
        self.version = headers["etag"]
        return json.loads(text)

    def save(self, value):
        condition = {"if-match": self.version} if self.version else {"if-none-match": "*"}
        body = json.dumps(value, allow_nan=False)
        status, headers, text, tried = self.client.call("PUT", self.path, body, condition)
        if status == 412 and tried:  # perhaps by ourselves: the answer was lost
            mine = json.loads(body)
            if self.load(object()) == mine:
                return
        if status not in (200, 201):
            raise Client.refused(status, headers, text)
        self.version = headers["etag"]

    def delete(self):
        condition = {"if-match": self.version} if self.version else {}
        status, headers, text, tried = self.client.call("DELETE", self.path, None, condition)
        if status != 204 and not (tried and status in (404, 412)):
            raise Client.refused(status, headers, text)
        self.version = None


_default = None


def client():
    global _default
    if _default is None:
        _default = Client()
    return _default


def action(key, params, function, **how):
    return client().action(key, params, function, **how)


def checkpoint(id):
    return client().checkpoint(id)


# --- the demonstration: an agent loop that can be killed anywhere, and goes on -----------------------------------

def note(ledger, line):
    with open(ledger, "a", encoding="utf-8") as file:
        file.write(line + "\n")


def step(run, number, args):
    """The effect is a line in the ledger; it stands for a mail that is sent, a card that is charged."""
    def effect(a):
        time.sleep(args.pause)
        note(args.ledger, f"{a.idempotency_key} {run} {number}")
        time.sleep(args.pause)
        return {"step": number}

    key = f"{run}/step-{number}"
    policy = "ask" if args.in_doubt == "look" else args.in_doubt
    while True:
        try:
            return action(key, {"run": run, "step": number}, effect, lease=args.lease, in_doubt=policy)
        except Running as running:  # perhaps we ourselves, before we were killed
            time.sleep(min(running.retry_after or 0.1, 0.2))
        except InDoubt:
            if args.in_doubt != "look":
                raise
            # Here the far side can be asked. Where it cannot, a person decides: hardy actions resolve.
            lines = open(args.ledger, encoding="utf-8").read() if os.path.exists(args.ledger) else ""
            happened = f" {run} {number}\n" in lines
            print(f"step {number} was in doubt: it {'took effect' if happened else 'did not take effect'}", flush=True)
            client().resolve(key, *(("done", {"step": number}) if happened else ("retry",)))


def main():
    import argparse
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--ledger", required=True)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--pause", type=float, default=0.1)
    parser.add_argument("--lease", type=float, default=2.0)
    parser.add_argument("--in-doubt", choices=["ask", "rerun", "look"], default="look")
    args = parser.parse_args()
    state = checkpoint(args.run)
    seen = state.load({"done": 0})
    try:
        for number in range(seen["done"], args.steps):
            result = step(args.run, number, args)
            seen = {"done": result["step"] + 1}
            state.save(seen)
            print(f"step {number} done", flush=True)
    except HardyError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 4 if isinstance(error, InDoubt) else 1
    print("all done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
