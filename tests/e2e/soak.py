# SPDX-License-Identifier: Apache-2.0
"""Ten minutes of mixed load; the server's memory at the end must be within 1 % of that after the first minute.

  tests/e2e/soak.py BANYAN_BINARY [--model PATH] [--minutes 10]

Not part of CI. Requests of every kind run at once: whole and streamed, with logprobs and several samples, cut off
by the client, and wrong ones."""

import argparse
import http.client
import json
import pathlib
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request


DEMO = pathlib.Path(__file__).resolve().parents[2] / "build/models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def rss(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def post(port, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request("POST", "/v1/completions", json.dumps(body))
    reply = connection.getresponse()
    assert reply.status == 200, reply.read()
    reply.read()
    connection.close()


def fill(port):
    """Touches every page of the cache and runs the largest steps that the load can make, so that its first minute is
    not spent on that."""
    for i in range(6):
        post(port, {"prompt": [10 + i] * 900, "max_tokens": 8})
    largest = {"max_tokens": 64, "echo": True, "logprobs": 3, "n": 1}
    threads = [threading.Thread(target=post, args=(port, largest | {"prompt": [30 + i] * 220})) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def worker(port, stop, counts, seed):
    choose = random.Random(seed)
    while not stop.is_set():
        kind = choose.choice(["whole", "stream", "logprobs", "samples", "cut", "bad"])
        words = " ".join(choose.choice(["tree", "root", "leaf", "branch"]) for _ in range(choose.randint(1, 200)))
        body = {"prompt": words, "max_tokens": choose.randint(1, 64), "temperature": choose.choice([0, 1])}
        if kind in ("stream", "cut"):
            body["stream"] = True
        if kind == "logprobs":
            body.update(logprobs=3, echo=True)
        if kind == "samples":
            body["n"] = 4
        if kind == "bad":
            body["no_such_field"] = 1
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("POST", "/v1/completions", json.dumps(body))
            reply = connection.getresponse()
            if kind == "cut":
                reply.read(choose.randint(0, 300))
            else:
                reply.read()
            counts[kind, reply.status] = counts.get((kind, reply.status), 0) + 1
        except (OSError, http.client.HTTPException) as error:
            counts[kind, type(error).__name__] = counts.get((kind, type(error).__name__), 0) + 1
        finally:
            connection.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("banyan")
    parser.add_argument("--model", default=str(DEMO) if DEMO.exists() else "echo", help="the demo's, else echo")
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    # The cache is small, so that it is full soon.
    flags = ["--port", str(port), "--max-total-tokens", "4k", "--context-length", "1k", "--log-level", "warning"]
    server = subprocess.Popen([options.banyan, "serve", "--model-path", options.model, *flags])
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ready")
            break
        except OSError:
            time.sleep(0.1)
    fill(port)
    stop, counts = threading.Event(), {}
    threads = [threading.Thread(target=worker, args=(port, stop, counts, i)) for i in range(16)]
    for thread in threads:
        thread.start()
    first = None
    began = time.time()
    while time.time() - began < options.minutes * 60:
        time.sleep(min(10, options.minutes * 6))
        now = rss(server.pid)
        if first is None and time.time() - began >= options.minutes * 6:
            first = now
        print(f"{time.time() - began:6.0f} s  {now / 1024:8.1f} MiB  {sum(counts.values())} requests", flush=True)
    stop.set()
    for thread in threads:
        thread.join()
    last = rss(server.pid)
    server.send_signal(signal.SIGTERM)
    code = server.wait(30)
    print({f"{kind} {status}": n for (kind, status), n in sorted(counts.items(), key=str)})
    print(f"after the first tenth {first / 1024:.1f} MiB, at the end {last / 1024:.1f} MiB: {last / first - 1:+.2%}")
    return 0 if code == 0 and last <= first * 1.01 else 1


if __name__ == "__main__":
    sys.exit(main())
