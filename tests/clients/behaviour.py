#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a gateway must do when its upstream fails, and what it must leave alone, at the level of bytes: a raw
upstream that answers by plan, `hardy serve`, and raw clients and curl. Prints TAP.

    HARDY=build/hardy behaviour.py
"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HARDY = os.environ["HARDY"]
BODY = b'{"model":"m", "max_tokens":9,  "zeta":1,"alpha":{"b":[1, 2],"a":null},"messages":[]}'
STREAM = b'{"model":"m","max_tokens":9,"stream":true,"messages":[]}'
GOOD = b'{"type":"message","content":[]}'
EVENTS = [b'event: message_start\ndata: {"type":"message_start","message":{}}\n\n',
          b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"a"}}\n\n',
          b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"b"}}\n\n',
          b'event: message_stop\ndata: {"type":"message_stop"}\n\n']
SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def answer(status, body=GOOD, *headers):
    head = b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\n" % status
    return head + b"".join(h + b"\r\n" for h in headers) + b"content-length: %d\r\n\r\n" % len(body) + body


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def read_request(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    while length and len(body) < int(length.group(1)):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


class Upstream:
    """Each connection's request is given to the next function of `plan` (the last one serves all others)."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.restart(lambda c: c.sendall(answer(200)))
        threading.Thread(target=self.accept, daemon=True).start()

    def restart(self, *plan):
        self.plan, self.requests, self.times, self.ended = list(plan), [], [], threading.Event()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            request = read_request(connection)
            if request:
                self.times.append(time.monotonic())
                self.requests.append(request)
                self.plan[min(len(self.requests), len(self.plan)) - 1](connection)
        except OSError:
            pass
        finally:
            connection.close()


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


def stream(*events, end=b"0\r\n\r\n", spacing=0.0, then=None):
    def run(connection):
        connection.sendall(SSE)
        for event in events:
            connection.sendall(chunk(event))
            time.sleep(spacing)
        connection.sendall(end)
        if then:
            then(connection)
    return run


def sends(data):
    return lambda connection: connection.sendall(data)


count = failed = 0


def check(what, good, note=""):
    global count, failed
    count += 1
    print(f"{'ok' if good else 'not ok'} {count} - {what}", flush=True)
    if not good:
        failed += 1
        print("\n".join("#   " + line for line in str(note).splitlines()), flush=True)


def call(port, body=BODY, *headers, path=b"/up/v1/messages", method=b"POST", timeout=30):
    """The whole answer as bytes: head, body without chunk framing, and when each piece came."""
    connection = socket.create_connection(("127.0.0.1", port), timeout)
    connection.settimeout(timeout)
    connection.sendall(method + b" " + path + b" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
                       b"content-type: application/json\r\n" + b"".join(h + b"\r\n" for h in headers) +
                       b"content-length: %d\r\n\r\n" % len(body) + body)
    data, times = b"", []
    try:
        while more := connection.recv(65536):
            data += more
            times.append(time.monotonic())
    except OSError:
        data += b"<RESET>"
    connection.close()
    head, _, rest = data.partition(b"\r\n\r\n")
    if b"chunked" in head.lower():
        text = b""
        while match := re.match(rb"([0-9a-f]+)\r\n", rest):
            size = int(match.group(1), 16)
            text += rest[match.end():match.end() + size]
            rest = rest[match.end() + size + 2:]
        rest = text
    return head, rest, times


def status(head):
    return int(head.split(b" ")[1]) if head.startswith(b"HTTP/") else 0


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def failures(up, port):
    up.restart(sends(answer(529, b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}',
                            b"x-should-retry: true", b"retry-after: 1")), sends(answer(200)))
    head, body, _ = call(port)
    check("529 with x-should-retry and retry-after: tried again when it was told to",
          status(head) == 200 and len(up.times) == 2 and 1.0 <= up.times[1] - up.times[0] < 5, up.times)
    up.restart(sends(answer(429, b"{}", b"retry-after: 2")), sends(answer(200)))
    head, body, _ = call(port)
    check("429 with retry-after 2: two tries, two seconds apart",
          status(head) == 200 and len(up.times) == 2 and 2.0 <= up.times[1] - up.times[0] < 6, up.times)
    waits = []
    for _ in range(4):
        up.restart(*[sends(answer(503, b"{}"))] * 4, sends(answer(200)))
        call(port)
        waits += [b - a for a, b in zip(up.times, up.times[1:])]
    check("503: the waits are spread, none is like another", len({round(w, 2) for w in waits}) > 8, waits)
    own = b'{"type":"error","error":{"type":"invalid_request_error","message":"no"},"request_id":"req_1"}'
    up.restart(sends(answer(400, own, b"request-id: req_1", b"x-odd: 1")))
    head, body, _ = call(port)
    check("an error's body and headers are the upstream's own",
          status(head) == 400 and body == own and b"request-id: req_1" in head and b"x-odd: 1" in head, head + body)

    def refuse(connection):
        reset(connection)
    up.restart(refuse, refuse, sends(answer(200)))
    head, body, _ = call(port)
    check("a reset before the reply: tried again", status(head) == 200 and len(up.requests) == 3, head)
    up.restart(stream(*EVENTS[:3], end=b"", then=reset), sends(answer(200)))
    head, body, _ = call(port, STREAM)
    check("a reset in the middle of a stream: what came, and an error event",
          body.startswith(b"".join(EVENTS[:3])) and b"event: error\n" in body and len(up.requests) == 1, body)
    up.restart(stream(*EVENTS[:3]), sends(answer(200)))
    head, body, _ = call(port, STREAM)
    check("a stream that ends without message_stop: an error event",
          b"event: error\n" in body and b"message_stop" not in body and len(up.requests) == 1, body)


def bytes_pass(up, port):
    names = [b"anthropic-ratelimit-requests-remaining: 7", b"CF-Ray: abc", b"request-id: req_9", b"via: 1.1 x",
             b"server: cloudflare", b"set-cookie: a=1", b"set-cookie: b=2"]
    up.restart(sends(answer(200, GOOD, *names)))
    head, body, _ = call(port, BODY, b"anthropic-version: 2026-10-21", b"anthropic-beta: a,b;q=1", b"X-Odd:  x")
    check("all headers of an answer are kept", all(n in head for n in names), head)
    request = up.requests[0]
    check("the body is sent byte for byte, with unknown fields in their order", request.endswith(b"\r\n\r\n" + BODY), request)
    check("anthropic-version and -beta byte for byte",
          b"anthropic-version: 2026-10-21\r\n" in request and b"anthropic-beta: a,b;q=1\r\n" in request, request)
    check("nothing of hardy's goes upstream", b"hardy" not in request.lower(), request)
    up.restart(stream(*EVENTS))
    head, body, _ = call(port, STREAM)
    check("a stream passes byte for byte", body == b"".join(EVENTS), body)
    up.restart(stream(*EVENTS[:2], *[EVENTS[2]] * 10, EVENTS[3], spacing=0.05))
    head, body, times = call(port, STREAM)
    gaps = [b - a for a, b in zip(times, times[1:])]
    check("events are not bunched: those sent 50 ms apart come apart", len([g for g in gaps if g > 0.02]) >= 8, gaps)

    def watch(connection):
        connection.sendall(SSE + chunk(EVENTS[0]) + chunk(EVENTS[1]))
        connection.settimeout(5)
        if connection.recv(10) == b"":
            up.ended.set()
    up.restart(watch)
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(b"POST /up/v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(STREAM) + STREAM)
    client.recv(1000)
    client.close()
    check("the client leaves: the upstream is cancelled", up.ended.wait(1.0))


def curl(up, port):
    if not shutil.which("curl"):
        check("curl # SKIP curl is not here", True)
        return
    url = f"http://127.0.0.1:{port}/up/v1/messages"

    def run(*args, body=BODY):
        return subprocess.run(["curl", "-sS", "--max-time", "20", "--data-binary", "@-", *args, url], input=body,
                              stdout=subprocess.PIPE, check=False).stdout
    up.restart(stream(*EVENTS))
    check("curl -N", run("-N", body=STREAM) == b"".join(EVENTS))
    large = b'{"model":"m","max_tokens":1,"messages":"' + b"x" * 200000 + b'"}'
    up.restart(sends(answer(200)))
    check("a body of 200 KB, with Expect: 100-continue",
          run("-H", "Expect: 100-continue", body=large) == GOOD and up.requests[0].endswith(large))
    up.restart(sends(answer(200)))
    check("HTTP/1.0", run("--http1.0") == GOOD)
    import gzip
    packed = gzip.compress(GOOD)
    up.restart(sends(answer(200, packed, b"content-encoding: gzip")))
    check("--compressed", run("--compressed") == GOOD and b"gzip" in up.requests[0])


def strict(port):
    good = b"GET /up/v1/models HTTP/1.1\r\nHost: localhost\r\n"
    post = b"POST /up/v1/messages HTTP/1.1\r\nHost: localhost\r\n"
    table = {
        "Content-Length and Transfer-Encoding": post + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "two different Content-Lengths": post + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        'Content-Length "+5"': post + b"Content-Length: +5\r\n\r\nhello",
        'Transfer-Encoding "xchunked"': post + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "a space before the colon": good + b"X-Odd : 1\r\n\r\n",
        "a NUL in a value": good + b"X-Odd: a\x00b\r\n\r\n",
        "no Host": b"GET /up/v1/models HTTP/1.1\r\n\r\n",
        "a folded line": good + b"X-Odd: a\r\n b\r\n\r\n",
        "a bare LF": good + b"X-Odd: a\n\r\n",
    }
    for what, request in table.items():
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.sendall(request)
            connection.settimeout(10)
            said = connection.recv(4096)
        check(f"{what}: 400", said.startswith(b"HTTP/1.1 400 "), said[:80])


def main():
    work = tempfile.mkdtemp(prefix="hardy-behaviour-")
    up, port = Upstream(), free_port()
    with open(f"{work}/hardy.yaml", "w", encoding="utf-8") as file:
        json.dump({"state": "memory",
                   "gateway": {"listen": f"127.0.0.1:{port}"}, "admin": {"listen": f"127.0.0.1:{free_port()}"},
                   "guards": {"up": {"retry": {"base_delay": "100ms", "max_delay": "1s"}, "breaker": "off"}},
                   "upstreams": {"up": {"url": f"http://127.0.0.1:{up.port}", "protocol": "anthropic"}}}, file)
    env = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": work, "XDG_STATE_HOME": work, "XDG_CONFIG_HOME": work}
    with subprocess.Popen([HARDY, "serve", "-q", "-c", f"{work}/hardy.yaml"], stdout=subprocess.PIPE, env=env) as serve:
        try:
            serve.stdout.readline()  # it listens
            failures(up, port)
            bytes_pass(up, port)
            curl(up, port)
            strict(port)
            serve.send_signal(signal.SIGTERM)
            check("SIGTERM ends it", serve.wait(10) == 0)
        finally:
            serve.kill()
            shutil.rmtree(work)
    print(f"1..{count}")
    sys.exit(1 if failed else 0)


main()
