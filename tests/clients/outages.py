#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Long outages, lived through in seconds: all times of examples/agent.py and of the gateway's guard are a
fiftieth of what they are by default. Each story has its own `hardy chaos llm`, and its own `hardy serve` before it;
they are lived through at once. Prints TAP.

    HARDY=build/hardy outages.py
"""
import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from tap import check, finish

HARDY = os.environ["HARDY"]
AGENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "agent.py")
SCALE = 0.02
# The defaults of a model's guard, times SCALE.
GUARD = {"deadline": "5600ms",
         "timeout": {"connect": "1s", "first_content": "2400ms", "idle": "2400ms"},
         "retry": {"max_retries": 20, "base_delay": "20ms", "max_delay": "600ms", "max_total_wait": "5600ms",
                   "budget": {"ratio": 0.1, "floor": "500/s"}},
         "breaker": {"failure_window": "2400ms", "recovery_timeout": "600ms"}}
THREE_MINUTES = "3600ms"
BEFORE, EVENTS = 3, 14  # of a stream: 3 before the content, 8 with it, 3 behind it
REFUSAL = "[status 529; "
PATIENCE = 100  # seconds for all of an agent's session
work = tempfile.mkdtemp(prefix="hardy-outages-")
environment = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": work, "XDG_STATE_HOME": work, "XDG_CONFIG_HOME": work}
started = {}


def start(name, args, pattern):
    """The first group of `pattern` in what it says when it is ready."""
    assert name not in started
    path = f"{work}/{name}.out"
    with open(path, "w", encoding="utf-8") as out:
        started[name] = subprocess.Popen([HARDY, *args], stdout=out, stderr=subprocess.STDOUT, env=environment)
    for _ in range(1000):
        with open(path, encoding="utf-8") as said:
            text = said.read()
        if match := re.search(pattern, text, re.M):
            return match.group(1)
        time.sleep(0.02)
    raise RuntimeError(f"{args[0]} is not ready: {text}")


def provider(name, *faults, listen="127.0.0.1:0"):
    with open(f"{work}/{name}.yaml", "w", encoding="utf-8") as file:
        json.dump({"pace": "5ms", "think": "5ms", "words": 8, "faults": faults}, file)
    return start(name, ["chaos", "llm", "--listen", listen, "--faults", f"{work}/{name}.yaml",
                        "--journal", f"{work}/{name}.journal"], r"^listening on (\S+)")


def gateway(name, upstream):
    with open(f"{work}/{name}-serve.yaml", "w", encoding="utf-8") as file:
        json.dump({"state": "memory", "gateway": {"listen": "127.0.0.1:0", "heartbeat": "1s"},
                   "admin": {"listen": "127.0.0.1:0"}, "guards": {"anthropic": GUARD},
                   "upstreams": {"anthropic": {"url": upstream, "protocol": "anthropic"}}}, file)
    return start(f"{name}-serve", ["serve", "-q", "-c", f"{work}/{name}-serve.yaml"],
                 r"^export ANTHROPIC_BASE_URL=(\S+)")


class Told:
    """What an agent's session came to."""

    def __init__(self, base, question, model="m", refused=lambda: None):
        """refused: called when the agent has been told for the first time that no answer came."""
        with subprocess.Popen([sys.executable, AGENT, "--time-scale", str(SCALE), question], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True,
                              env=environment | {"ANTHROPIC_BASE_URL": base, "ANTHROPIC_MODEL": model}) as done:
            end = threading.Timer(PATIENCE, done.kill)
            end.start()
            self.notes = ""
            for line in done.stderr:
                if REFUSAL in line and REFUSAL not in self.notes:
                    refused()
                self.notes += line
            answer = done.stdout.read()
            done.wait()
            end.cancel()
        # What came before it asked once more is not part of its answer.
        answer = answer.rstrip("\n").rpartition("\n")[2]
        whole = answer.startswith(f'You said "{question[:20]}"') and answer.endswith(" END.")
        self.how = "dead" if done.returncode else "full" if whole else "half"
        self.refusals = self.notes.count(REFUSAL)

    def __str__(self):
        return f"{self.how}: {self.notes}"


def calls(name):
    """What the journal of this story's provider has: a line a call."""
    with open(f"{work}/{name}.journal", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def failures(name):
    return len([call for call in calls(name) if call["fault"]])


# What fails, for as long as it lasts.
OUTAGES = {"529": {"fail": "overloaded"}, "503": {"fail": "status", "status": 503},
           "500": {"fail": "status", "status": 500}, "429": {"fail": "status", "status": 429},
           "reset": {"fail": "reset"}, "hang": {"fail": "hang"}, "error-event": {"fail": "error_event"},
           "cut-early": {"fail": "cut"}, "slow-first": {"fail": "slow_first", "delay": "1h"}}
# What ends the agent's session when it happens once; a storm of 529 must outlive its own ten tries.
DEADLY = ("503", "500", "reset", "hang")


def recover(name, upstream):
    """After a while, the same address answers."""
    time.sleep(2)
    started[name].terminate()
    started[name].wait(30)
    provider(f"{name}-over", listen=upstream.removeprefix("http://"))


# The ends of these outages follow from what has happened, not from a clock: a busy machine may begin late.
def within_a_deadline(name, fault):
    """The outage ends a while after the first call has failed."""
    upstream = provider(name, fault)

    def over():
        for _ in range(PATIENCE * 50):
            if os.path.getsize(f"{work}/{name}.journal") > 0:
                break
            time.sleep(0.02)
        recover(name, upstream)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(over)
        return Told(gateway(name, upstream), f"what is {name}")


def beyond_a_deadline(name, fault):
    """The outage ends a while after the gateway has given up for the first time."""
    upstream = provider(name, fault)
    return Told(gateway(name, upstream), f"what is {name}", refused=lambda: recover(name, upstream))


def alone(name, fault):
    return Told(provider(name, fault), f"what is {name}")


def many_at_once(name, fault, lasts):
    """Twelve sub-agents of one agent."""
    base = gateway(name, provider(name, fault | {"for": lasts}))
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        return list(pool.map(lambda i: Told(base, f"{i} {name}"), range(12)))


def every_place(name, kind):
    """This fault in the first attempt, behind each number of events; a model a place, all at one provider."""
    base = gateway(name, provider(name, *[{"fail": kind, "after_events": at, "first": 1, "model": f"m{at}"}
                                          for at in range(EVENTS)]))
    return [Told(base, f"{at} {name}", f"m{at}") for at in range(EVENTS)]


def silent_for_ever(name):
    """First the stream, then the answer that is asked for without one."""
    return provider(name, {"fail": "silence", "after_events": 6, "delay": "1h", "first": 1})


def expectations(pool):
    """(what, future, judge) in the order in which they are told; the longest are begun first."""
    told = []

    def story(what, judge, fn, *args):
        told.append((what, pool.submit(fn, *args), judge))

    def is_full(result):
        return result.how == "full"

    def is_dead(result):
        return result.how == "dead"

    for kind, fault in OUTAGES.items():
        name = f"{kind}-beyond"
        story(f"{kind} for longer than a deadline: through hardy the whole answer",
              lambda r, name=name: is_full(r) and r.refusals >= 1 and failures(name) >= 2, beyond_a_deadline, name,
              fault)
    story("ten minutes of 529: directly the agent's own tries do not suffice", is_dead, alone, "529-alone",
          {"fail": "overloaded", "for": "1h"})
    story("silent for ever in the middle of each first answer: through hardy the whole answer", is_full,
          lambda: Told(gateway("silence", silent_for_ever("silence")), "silence"))
    story("... directly a dead session", is_dead, lambda: Told(silent_for_ever("silence-alone"), "silence"))
    for kind in ("529", "reset"):
        story(f"three minutes of {kind}, twelve agents at once: all have their answers",
              lambda results: all(is_full(r) for r in results), many_at_once, f"{kind}-many", OUTAGES[kind],
              THREE_MINUTES)
    for kind in ("cut", "error_event", "truncated", "reset_after", "malformed"):
        story(f"{kind} at every place of a stream: each answer is whole, and before its content nobody notices",
              lambda results: all(is_full(r) and (not r.notes or at > BEFORE) for at, r in enumerate(results)),
              every_place, kind, kind)
    story("cut in its content: directly half an answer is taken for a whole one", lambda r: r.how == "half", alone,
          "cut-alone", {"fail": "cut", "after_events": BEFORE + 2})
    for kind, fault in OUTAGES.items():
        name = f"{kind}-within"
        story(f"{kind} for less than a deadline: through hardy the whole answer",
              lambda r, name=name: is_full(r) and failures(name) >= 1, within_a_deadline, name, fault)
    for kind in DEADLY:
        story(f"{kind}: directly a dead session", is_dead, alone, f"{kind}-alone", OUTAGES[kind])
    story("429 with retry-after 61: directly the session is over at once",
          lambda r: is_dead(r) and "come back in 61 s" in r.notes, alone, "61-alone",
          {"fail": "rate_limit", "retry_after": "61s"})
    final = {"fail": "status", "status": 429, "headers": {"x-should-retry": "false"}}
    story("429 with x-should-retry false: through hardy as directly, and asked once",
          lambda r: is_dead(r) and len(calls("final")) == 1,
          lambda: Told(gateway("final", provider("final", final)), "final"))
    return told


def main():
    try:
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            for what, future, judge in expectations(pool):
                result = future.result()
                check(what, judge(result), "\n".join(map(str, result)) if isinstance(result, list) else result)
        for process in started.values():
            process.terminate()
        check("all of them end when they are told", {process.wait(30) for process in started.values()} == {0})
    finally:
        for process in started.values():
            process.kill()
        shutil.rmtree(work)
    finish()


main()
