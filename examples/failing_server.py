#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""failing_server.py [PORT]: a far side that fails as its address says, to try the other examples against.

    /flaky     503 twice, then it answers          /missing   404
    /busy      429 with retry-after-ms: 100, once  /broken    500, always
    /cut       hangs up without a word, once       /slow      answers after half a minute
    else       answers at once

Each counts for itself, and for each query: /flaky?a and /flaky?b fail twice each. Prints its own address; PORT 0, which
is the default, is a free one. Ends with Ctrl-C, or with whoever started it.
"""
import collections
import http.server
import os
import sys
import threading
import time

seen = collections.Counter()
lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        with lock:
            seen[self.path] += 1
            count = seen[self.path]
        kind = self.path.split("?")[0]
        if kind == "/flaky" and count <= 2:
            self.answer(503, "not now\n")
        elif kind == "/busy" and count == 1:
            self.answer(429, "slowly\n", {"retry-after-ms": "100"})
        elif kind == "/missing":
            self.answer(404, "no such thing\n")
        elif kind == "/broken":
            self.answer(500, "broken\n")
        elif kind == "/cut" and count == 1:
            self.close_connection = True
        else:
            if kind == "/slow":
                time.sleep(30)
            self.answer(200, "hello\n")

    def answer(self, status, text, headers=None):
        self.send_response(status)
        for name, value in {"content-length": str(len(text)), "connection": "close", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


def end_with(parent):
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=end_with, args=[os.getppid()], daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
