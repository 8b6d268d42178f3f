#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""agent.py [--time-scale X] QUESTION: asks a model of Anthropic's protocol, streamed, and prints its answer.

It finds the model at ANTHROPIC_BASE_URL and behaves as coding agents were seen to, with their weaknesses: it
tries 429 and 529 again by itself (ten times, as long as retry-after says, up to 59 s), makes the call once more
without streaming when a stream reports an error, breaks, or is silent for 300 s, and takes a stream that simply
ends for a whole answer. Everything else ends its session, with exit code 1; so does x-should-retry: false.

--time-scale 0.01 makes a minute of its waiting 0.6 s: to live through a long outage in a short one.
"""
import argparse
import http.client
import json
import os
import sys
import time
import urllib.parse


class Lost(Exception):
    """The session cannot go on."""


def call(question, stream, scale):
    base = urllib.parse.urlsplit(os.environ.get("ANTHROPIC_BASE_URL", "https://api.anthropic.com"))
    kind = http.client.HTTPSConnection if base.scheme == "https" else http.client.HTTPConnection
    connection = kind(base.netloc, timeout=300 * scale)
    body = {"model": os.environ.get("ANTHROPIC_MODEL", "claude-sonnet-4-5"), "max_tokens": 1000, "stream": stream,
            "messages": [{"role": "user", "content": question}]}
    headers = {"content-type": "application/json", "anthropic-version": "2023-06-01",
               "x-api-key": os.environ.get("ANTHROPIC_API_KEY", "none")}
    try:
        connection.request("POST", base.path.rstrip("/") + "/v1/messages", json.dumps(body), headers)
        return connection.getresponse()
    except OSError as error:
        raise Lost(f"the connection failed: {error}") from error


def events(response):
    """The JSON of each event; a stream that ends is at its end."""
    for line in response:
        if line.startswith(b"data: "):
            yield json.loads(line[6:])


def read_stream(response):
    text = []
    try:
        for event in events(response):
            if event["type"] == "error":
                return None, event["error"]["message"]
            if event["type"] == "content_block_delta":
                text.append(event["delta"]["text"])
                print(event["delta"]["text"], end="", flush=True)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return None, f"the stream broke: {error}"
    return "".join(text), None


def ask(question, scale):
    stream = True
    for attempt in range(11):
        response = call(question, stream, scale)
        if response.status in (429, 529) and response.headers.get("x-should-retry") != "false":
            after = int(response.headers.get("retry-after", 0)) or min(2 ** attempt, 32)
            if after > 59:
                raise Lost(f"told to come back in {after} s")
            print(f"[status {response.status}; again in {after} s]", file=sys.stderr)
            time.sleep(after * scale)
            continue
        if response.status != 200:
            raise Lost(f"status {response.status}: {response.read(200).decode(errors='replace')}")
        if not stream:
            try:
                text = json.loads(response.read())["content"][0]["text"]
            except (OSError, ValueError, http.client.HTTPException) as error:
                raise Lost(f"half an answer: {error}") from error
            print(text, end="")
            return text
        text, trouble = read_stream(response)
        if trouble is None:
            return text
        print(flush=True)
        print(f"[{trouble}; once more, without streaming]", file=sys.stderr)
        stream = False
    raise Lost("it does not get better")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time-scale", type=float, default=1, metavar="X")
    parser.add_argument("question", metavar="QUESTION")
    options = parser.parse_args()
    try:
        ask(options.question, options.time_scale)
        print()
    except Lost as error:
        print(f"session lost: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
