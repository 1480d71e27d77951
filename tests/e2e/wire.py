# SPDX-License-Identifier: Apache-2.0
"""HTTP by hand, where a test must say exactly what is on the wire."""

import json
import socket
import urllib.error
import urllib.parse
import urllib.request


def call(url, body=None, headers=None, method=None):
    """(status, parsed or raw body, headers)."""
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers or {}, method=method)
    if data is not None:
        request.add_header("Content-Type", "application/json")
    try:
        reply = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        reply = error
    text = reply.read().decode()
    try:
        return reply.status, json.loads(text), reply.headers
    except ValueError:
        return reply.status, text, reply.headers


def connect(url):
    parts = urllib.parse.urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=60)


def post(path, body):
    data = json.dumps(body).encode()
    return (
        f"POST {path} HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    ).encode() + data


def running(url):
    """Requests running or waiting in the engine."""
    return call(url + "/get_load")[1][0]["num_reqs"]
