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
import tempfile
import threading
import time

from tap import check, finish

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
        self.plan, self.requests, self.times = list(plan), [], []
        self.arrived, self.ended = threading.Event(), threading.Event()

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


def wait_for(condition):
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)


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
    pauses = []
    for _ in range(4):
        up.restart(*[sends(answer(503, b"{}"))] * 4, sends(answer(200)))
        call(port)
        pauses += [b - a for a, b in zip(up.times, up.times[1:])]
    check("503: the waits are spread, none is like another", len({round(w, 2) for w in pauses}) > 8, pauses)
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


def clients_leave(up, port):
    request = b"POST /up/v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(STREAM) + STREAM

    def watch(*events):
        def run(connection):
            connection.sendall(SSE + b"".join(map(chunk, events)))
            connection.settimeout(5)
            if connection.recv(10) == b"":
                up.ended.set()
        return run

    def silent(connection):
        up.arrived.set()
        connection.settimeout(5)
        if connection.recv(10) == b"":
            up.ended.set()
    up.restart(watch(*EVENTS[:2]))
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(request)
        client.recv(1000)
    check("the client leaves in the middle: the upstream is cancelled", up.ended.wait(1.0))
    up.restart(silent)
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(request)
        up.arrived.wait(5)
    check("the client leaves before anything has come: the upstream is cancelled", up.ended.wait(1.0))
    up.restart(sends(answer(429, b"{}", b"retry-after: 1")))
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(request)
        wait_for(lambda: up.requests)
    time.sleep(1.5)
    check("the client leaves while it waits: nothing is tried again", len(up.requests) == 1, up.times)


def framings(up, port):
    """Whatever an upstream may do by the rules of HTTP and of server-sent events."""
    whole = b"".join(EVENTS)
    head = b"HTTP/1.%d 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n%s\r\n"
    streams = {
        "ended by its connection": head % (1, b"connection: close\r\n") + whole,
        "of HTTP/1.0": head % (0, b"") + whole,
        "of a known length": head % (1, b"content-length: %d\r\n" % len(whole)) + whole,
        "in chunks of one byte": SSE + b"".join(chunk(whole[i:i + 1]) for i in range(len(whole))) + b"0\r\n\r\n",
        "in one chunk with a trailer": SSE + chunk(whole) + b"0\r\nx-sum: 1\r\n\r\n",
    }
    for what, data in streams.items():
        up.restart(sends(data))
        _, body, _ = call(port, STREAM)
        check(f"a stream {what} passes byte for byte", body == whole, body)
    for what, end in {"CR LF": b"\r\n", "CR": b"\r"}.items():
        events = [event.replace(b"\n", end) for event in EVENTS]
        up.restart(stream(*events))
        _, body, _ = call(port, STREAM)
        check(f"a stream with lines that end in {what} passes byte for byte", body == b"".join(events), body)
    odd = [b"\xef\xbb\xbf: a comment\n\n", EVENTS[0], b"event: from_the_future\ndata: {\"a\":1}\nid: 7\nretry: 9\n\n",
           b"event: ping\ndata: {\"type\": \"ping\"}\n\n", *EVENTS[1:], b": behind the end\n\n"]
    up.restart(stream(*odd))
    _, body, _ = call(port, STREAM)
    check("comments, unknown events, pings and what comes behind the end pass", body == b"".join(odd), body)
    up.restart(sends(head % (1, b"") + b"".join(EVENTS[:3])))
    _, body, _ = call(port, STREAM)
    check("one that its connection ends too early gets its error event",
          body.startswith(b"".join(EVENTS[:3])) and b"event: error\n" in body, body)
    up.restart(sends(head % (1, b"") + EVENTS[0]), stream(*EVENTS))
    _, body, _ = call(port, STREAM)
    check("... before its content it is tried again", body == whole and len(up.requests) == 2, body)
    up.restart(sends(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + answer(200)))
    head, body, _ = call(port)
    check("interim answers are passed over", status(head) == 200 and body == GOOD and b"link" not in head, head)
    for what, bad in {"no HTTP": b"hello\r\n\r\n", "nothing": b"",
                      "half a head": b"HTTP/1.1 200 OK\r\ncontent-ty",
                      "half a body": answer(200)[:-4],
                      "two lengths": answer(200, GOOD, b"content-length: 7")}.items():
        up.restart(sends(bad), sends(answer(200)))
        head, body, _ = call(port)
        check(f"{what} for an answer: tried again", status(head) == 200 and body == GOOD and len(up.requests) == 2,
              head + body)
    up.restart(sends(answer(200)))
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(b"POST /up/v1/messages HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n"
                       b"connection: close\r\n\r\n" +
                       b"".join(chunk(BODY[i:i + 7]) for i in range(0, len(BODY), 7)) + b"0\r\n\r\n")
        client.settimeout(10)
        said = b"".join(iter(lambda: client.recv(65536), b""))
    check("a request in chunks arrives whole", status(said) == 200 and up.requests[0].endswith(b"\r\n\r\n" + BODY) and
          b"content-length: %d\r\n" % len(BODY) in up.requests[0], up.requests)
    up.restart(sends(answer(200)))
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.settimeout(10)
        client.sendall((b"POST /up/v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(BODY) +
                        BODY) * 3 + b"HEAD /up HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        said = b"".join(iter(lambda: client.recv(65536), b""))
    check("three requests and a HEAD in one write: four answers in their order",
          said.count(b"HTTP/1.1 200 OK") == 4 and said.count(GOOD) == 3 and said.endswith(b"\r\n\r\n") and
          len(up.requests) == 3, said)


def waits(up, port):
    up.restart(stream(*EVENTS[:2], end=b"", then=lambda c: (time.sleep(2.5), c.sendall(
        b"".join(map(chunk, EVENTS[2:])) + b"0\r\n\r\n"))))
    _, body, _ = call(port, STREAM)
    check("a silent stream gets comments, and goes on",
          body.count(b": keepalive\n\n") >= 1 and body.replace(b": keepalive\n\n", b"") == b"".join(EVENTS), body)
    up.restart(sends(answer(503, b"{}")))
    began = time.monotonic()
    head, body, _ = call(port, BODY, b"x-stainless-timeout: 1.5")
    after = re.search(rb"\r\nretry-after: (\d+)", head)
    check("before the client gives up it is told to come again",
          status(head) == 529 and time.monotonic() - began < 5 and after and 1 <= int(after.group(1)) <= 59 and
          b"x-should-retry" not in head and json.loads(body)["error"]["type"] == "overloaded_error", head + body)


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


def strict(up, port):
    """Requests that two readers may understand differently: refused, and nothing of them reaches the upstream."""
    get = b"GET /up/v1/models HTTP/1.1\r\nHost: localhost\r\n"
    post = b"POST /up/v1/messages HTTP/1.1\r\nHost: localhost\r\n"
    chunked = post + b"Transfer-Encoding: chunked\r\n\r\n"
    table = {
        "Content-Length and Transfer-Encoding": post + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "two different Content-Lengths": post + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        'Content-Length "5, 6"': post + b"Content-Length: 5, 6\r\n\r\nhello!",
        'Content-Length "+5"': post + b"Content-Length: +5\r\n\r\nhello",
        'Content-Length "-5"': post + b"Content-Length: -5\r\n\r\nhello",
        'Content-Length "0x5"': post + b"Content-Length: 0x5\r\n\r\nhello",
        'Content-Length "5 5"': post + b"Content-Length: 5 5\r\n\r\nhello",
        'Content-Length ""': post + b"Content-Length: \r\n\r\nhello",
        'Transfer-Encoding "xchunked"': post + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        'Transfer-Encoding "chunked, chunked"': post + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "two Transfer-Encodings": post + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding in HTTP/1.0": chunked.replace(b"1.1", b"1.0") + b"0\r\n\r\n",
        "a chunk's size with a sign": chunked + b"+5\r\nhello\r\n0\r\n\r\n",
        "a chunk's size that is none": chunked + b"5g\r\nhello\r\n0\r\n\r\n",
        "a chunk longer than its size": chunked + b"5\r\nhello!\r\n0\r\n\r\n",
        "a chunk's size beyond all numbers": chunked + b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "a space before the colon": get + b"X-Odd : 1\r\n\r\n",
        "a space before Content-Length's colon": post + b"Content-Length : 5\r\n\r\nhello",
        "a NUL in a value": get + b"X-Odd: a\x00b\r\n\r\n",
        "a NUL in a name": get + b"X-O\x00dd: a\r\n\r\n",
        "a header without a name": get + b": a\r\n\r\n",
        "a header without a colon": get + b"X-Odd\r\n\r\n",
        "no Host": b"GET /up/v1/models HTTP/1.1\r\n\r\n",
        "two Hosts": get + b"Host: localhost\r\n\r\n",
        "a folded line": get + b"X-Odd: a\r\n b\r\n\r\n",
        "a first line of headers that begins with a space": b"GET /up/v1/models HTTP/1.1\r\n Host: localhost\r\n\r\n",
        "a bare LF": get + b"X-Odd: a\n\r\n",
        "a bare LF behind the first line": get.replace(b"1.1\r\n", b"1.1\n") + b"\r\n",
        "a bare CR in a value": get + b"X-Odd: a\rb: c\r\n\r\n",
        "a space in the target": get.replace(b"models", b"mod els") + b"\r\n",
        "a control character in the target": get.replace(b"models", b"mod\x01els") + b"\r\n",
        "two spaces behind the method": get.replace(b"GET ", b"GET  ") + b"\r\n",
        "no version": get.replace(b" HTTP/1.1", b"") + b"\r\n",
    }
    up.restart(sends(answer(200)))
    smuggled = b"GET /up/v1/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for what, request in table.items():
        said = b""
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.settimeout(10)
            try:
                connection.sendall(request + smuggled)
                connection.shutdown(socket.SHUT_WR)  # else the gateway waits a moment for what may still come
                while more := connection.recv(4096):
                    said += more
            except ConnectionError:
                pass  # what it did not read is thrown away with the connection
        check(f"{what}: 400, and the connection ends",
              said.startswith(b"HTTP/1.1 400 ") and said.count(b"\r\n\r\n") == 1, said[:300])
    for path in (b"/up/../../x", b"/up/%2e%2e/x", b"/up/v1/..", b"/up/v1/%2E./%2e%2E/x"):
        head, _, _ = call(port, path=path)
        check(f"{path.decode()} climbs out of the upstream: 400", status(head) == 400, head)
    check("nothing of all this came to the upstream", up.requests == [], up.requests)


def main():
    work = tempfile.mkdtemp(prefix="hardy-behaviour-")
    up = Upstream()
    with open(f"{work}/hardy.yaml", "w", encoding="utf-8") as file:
        json.dump({"state": "memory",
                   "gateway": {"listen": "127.0.0.1:0", "heartbeat": "1s"}, "admin": {"listen": "127.0.0.1:0"},
                   "guards": {"up": {"retry": {"base_delay": "100ms", "max_delay": "1s"}, "breaker": "off"}},
                   "upstreams": {"up": {"url": f"http://127.0.0.1:{up.port}", "protocol": "anthropic"}}}, file)
    env = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": work, "XDG_STATE_HOME": work, "XDG_CONFIG_HOME": work}
    with subprocess.Popen([HARDY, "serve", "-q", "-c", f"{work}/hardy.yaml"], stdout=subprocess.PIPE, env=env) as serve:
        try:
            port = int(serve.stdout.readline().rpartition(b":")[2])  # "listening on http://127.0.0.1:PORT"
            failures(up, port)
            bytes_pass(up, port)
            clients_leave(up, port)
            framings(up, port)
            waits(up, port)
            curl(up, port)
            strict(up, port)
            serve.send_signal(signal.SIGTERM)
            check("SIGTERM ends it", serve.wait(10) == 0)
        finally:
            serve.kill()
            shutil.rmtree(work)
    finish()


main()
