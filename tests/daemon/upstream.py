#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A provider for the tests: upstream.py FOLDER. Prints its port. What it does is the first part of the
path (so: the upstream's url ends in it):

  /ok       a JSON message            /sse      a short stream
  /slow     a stream of 1.5 s         /endless  a stream until the client leaves
  /held     a stream that ends when the file FOLDER/finish is there
  /busy-N   N times 529, then /ok     /mute     no answer
  /pause    a stream that says nothing for 2.5 s in its middle
  /limits   /ok with headers about rate limits
  /used-up  the same: nothing is left, there will be one each second

Each request is a line of JSON in FOLDER/asked; FOLDER/left counts streams that the client left."""
import datetime
import http.server
import json
import os
import sys
import threading
import time

folder = sys.argv[1]
lock = threading.Lock()
busy = {}


def note(name, what):
    with lock, open(os.path.join(folder, name), 'a') as f:
        f.write(json.dumps(what) + '\n')


def event(kind, **fields):
    return f'event: {kind}\ndata: {json.dumps(dict(fields, type=kind))}\n\n'.encode()


START = event('message_start', message={'usage': {'input_tokens': 11}})
TEXT = event('content_block_delta', index=0, delta={'type': 'text_delta', 'text': 'hi '})
END = (event('message_delta', delta={'stop_reason': 'end_turn'}, usage={'output_tokens': 7}) +
       event('message_stop'))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    wbufsize = -1  # head and body in one piece, or Nagle adds 40 ms

    def log_message(self, *args):
        pass

    def whole(self, status, body, headers=None):
        text = json.dumps(body).encode()
        self.send_response(status)
        for name, value in dict({'content-type': 'application/json',
                                 'content-length': len(text)}, **(headers or {})).items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(text)

    def message(self, headers=None):
        self.whole(200, {'type': 'message', 'content': [{'type': 'text', 'text': 'hi'}],
                         'usage': {'input_tokens': 11, 'output_tokens': 7}}, headers)

    def stream(self, count, pause, held=False):
        self.send_response(200)
        self.send_header('content-type', 'text/event-stream')
        self.send_header('connection', 'close')
        self.end_headers()
        self.close_connection = True
        try:
            self.wfile.write(START)
            self.wfile.flush()
            while count:
                self.wfile.write(TEXT)
                self.wfile.flush()
                time.sleep(pause)
                count -= 1
            for _ in range(2000 if held else 0):
                if os.path.exists(os.path.join(folder, 'finish')):
                    break
                time.sleep(0.01)
            self.wfile.write(END)
            self.wfile.flush()
        except OSError:
            note('left', self.path)

    def answer(self):
        body = self.rfile.read(int(self.headers.get('content-length', 0)))
        note('asked', {'method': self.command, 'path': self.path, 'body': body.decode('latin-1'),
                       'headers': {k.lower(): v for k, v in self.headers.items()}})
        what = self.path.split('/')[1]
        if what.startswith('busy-'):
            with lock:
                busy[what] = busy.get(what, 0) + 1
                seen = busy[what]
            if seen <= int(what.split('-')[1]):
                self.whole(529, {'type': 'error',
                                 'error': {'type': 'overloaded_error', 'message': 'Overloaded'}},
                           {'retry-after': '0.2'})
                return
            self.message()
        elif what == 'sse':
            self.stream(3, 0)
        elif what == 'slow':
            self.stream(15, 0.1)
        elif what == 'held':
            self.stream(15, 0, held=True)
        elif what == 'endless':
            self.stream(-1, 0.05)
        elif what == 'pause':
            self.stream(1, 2.5)
        elif what == 'mute':
            time.sleep(60)
        elif what == 'used-up':
            until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=4)
            self.message({'anthropic-ratelimit-requests-limit': '4',
                          'anthropic-ratelimit-requests-remaining': '0',
                          'anthropic-ratelimit-requests-reset': until.strftime('%Y-%m-%dT%H:%M:%SZ')})
        elif what == 'limits':
            self.message({'anthropic-ratelimit-requests-limit': '50',
                          'anthropic-ratelimit-requests-remaining': '48',
                          'anthropic-ratelimit-requests-reset': '2036-01-01T00:00:00Z'})
        else:
            self.message()

    do_GET = do_POST = do_HEAD = do_PUT = answer


server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
server.daemon_threads = True
print(server.server_address[1], flush=True)
server.serve_forever()
