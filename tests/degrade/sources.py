#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""sources.py PORT...: an HTTP server on each port, until it is killed. GET / answers {"port": PORT, "n": N} with N =
how often it was asked. A file slow-PORT in this folder makes it wait until the file is gone; bad-PORT makes it answer
500. Each request is a line in asked-PORT."""
import http.server
import os
import sys
import threading
import time


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        port = self.server.server_address[1]
        with open(f"asked-{port}", "a") as file:
            file.write(self.path + "\n")
        with open(f"asked-{port}") as file:
            count = len(file.readlines())
        until = time.monotonic() + 20
        while os.path.exists(f"slow-{port}") and time.monotonic() < until:
            time.sleep(0.01)
        body = b'{"port": %d, "n": %d}' % (port, count)
        self.send_response(500 if os.path.exists(f"bad-{port}") else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


servers = [http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler) for port in sys.argv[1:]]
for server in servers:
    threading.Thread(target=server.serve_forever, daemon=True).start()
print("ready", flush=True)
time.sleep(120)
