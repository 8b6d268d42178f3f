# SPDX-License-Identifier: Apache-2.0
"""service_manager.py SOCKET LOG: what a service manager hears: each datagram as a line "MILLISECONDS TEXT".

SOCKET is a path, or @ and an abstract name."""
import socket
import sys
import time

name, log = sys.argv[1:]
ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
ear.bind("\0" + name[1:] if name[0] == "@" else name)
with open(log, "a", encoding="utf-8") as out:
    while True:
        text = ear.recv(4096).decode().replace("\n", " ")
        out.write(f"{time.time_ns() // 1000000} {text}\n")
        out.flush()
