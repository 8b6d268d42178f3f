# SPDX-License-Identifier: Apache-2.0
"""`hardy serve` for tests in Python: started on free ports in a folder of its own, asked through its admin API."""
import http.client
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "clients"))
HARDY = os.environ["HARDY"]
work = pathlib.Path(tempfile.mkdtemp(prefix="hardy-test."))
env = {**{k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy") and k not in ("HARDY_CONFIG", "STATE_DIRECTORY", "RUNTIME_DIRECTORY")},
       "XDG_RUNTIME_DIR": str(work / "run"), "XDG_CONFIG_HOME": str(work / "none"), "XDG_STATE_HOME": str(work / "none"),
       "HARDY_STATE": str(work / "state" / "hardy.db")}
started = []
numbers = itertools.count()


def wait_for(what, seconds=20):
    until = time.monotonic() + seconds
    while not what():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def run(*words, **more):
    """hardy, or a program by its path, to its end."""
    return subprocess.run([HARDY, *words], env=env, cwd=work, capture_output=True, text=True, timeout=60, **more)


class Daemon:
    def __init__(self, *arguments, before=(), **more):
        """`before`: words in front of the command; `more`: its environment."""
        self.log = work / f"log.{next(numbers)}"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([*before, HARDY, "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *arguments],
                                            env={**env, **more}, cwd=work, stdout=subprocess.PIPE, stderr=log, text=True)
        started.append(self.process)
        self.admin = self.gateway = ""
        for line in self.process.stdout:
            if line.startswith("listening on "):
                self.gateway = line.split()[-1]
            if line.startswith("admin on "):
                self.admin = line.split()[-1]
                break
        else:
            sys.exit(f"Bail out! hardy serve: {self.log.read_text()}")
        self.token = (work / "run" / "hardy" / "token").read_text().strip()

    def ask(self, method, path, body=None, headers=None):
        """(status, headers, text) of a request without a token."""
        connection = http.client.HTTPConnection(self.admin.removeprefix("http://"), timeout=30)
        connection.request(method, path if path.startswith("/") else "/api/v1/" + path, body, headers or {})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, answer.headers, text

    def write(self, method, path, body=None, **headers):
        """The same with it. `body`: a text, or what becomes JSON."""
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        return self.ask(method, path, body.encode() if isinstance(body, str) else body,
                        {"content-type": "application/json", "authorization": f"Bearer {self.token}",
                         **{k.replace("_", "-"): v for k, v in headers.items()}})

    def end(self, signum=signal.SIGTERM):
        self.process.send_signal(signum)
        code = self.process.wait(20)
        self.process.stdout.close()
        return code


def clean():
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()
    shutil.rmtree(work, ignore_errors=True)
