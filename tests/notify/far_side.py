# SPDX-License-Identifier: Apache-2.0
"""far_side.py PORT LOG: takes POSTs and writes each as a line of JSON to LOG (path, headers, body).

/v2/enqueue answers as PagerDuty, /hook as Slack, /page as a webhook. PUT /answer with
{"status", "body", "times", "retry_after"} says what the next ones are answered instead."""
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

told = []


class FarSide(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def say(self, status, text, kind="text/plain", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_PUT(self):
        answer = json.loads(self.body())
        told[:] = [answer] * answer.get("times", 1)
        self.say(200, "")

    def do_POST(self):
        body = self.body()
        with open(sys.argv[2], "a", encoding="utf-8") as log:
            log.write(json.dumps({"path": self.path, "headers": dict(self.headers), "body": json.loads(body)}) + "\n")
        if told:
            answer = told.pop(0)
            wait = answer.get("retry_after")
            self.say(answer["status"], answer.get("body", ""), headers=[("Retry-After", wait)] if wait else [])
        elif self.path == "/v2/enqueue":
            self.say(202, json.dumps({"status": "success", "message": "Event processed", "dedup_key": "k"}),
                     "application/json")
        else:
            self.say(200, "ok" if self.path.startswith("/hook") else "")

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), FarSide).serve_forever()
