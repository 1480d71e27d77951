# SPDX-License-Identifier: Apache-2.0
"""Events a second of 64 streams at once: events.py PORT SECONDS. Reads raw bytes and counts newlines, so that
the reader costs little beside the server."""

import json
import selectors
import socket
import sys
import time

port, seconds = int(sys.argv[1]), float(sys.argv[2])
body = json.dumps(
    {
        "prompt": "go",
        "stream": True,
        "max_tokens": 2000,
        "temperature": 0,
        "ignore_eos": True,
    }
).encode()
request = b"POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
selector = selectors.DefaultSelector()
for _ in range(64):
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(request)
    selector.register(sock, selectors.EVENT_READ)
events, began = 0, time.time()
while time.time() - began < seconds:
    for key, _ in selector.select(1):
        data = key.fileobj.recv(1 << 18)
        events += data.count(b"data: ")
        if data.endswith(b"0\r\n\r\n"):
            key.fileobj.sendall(request)
print(f"64 streams: {events / (time.time() - began):.0f} events/s")
