# SPDX-License-Identifier: Apache-2.0
"""Random bodies: whatever comes is answered, by 200 or by an error of the client's, and the server stays.

BANYAN_FUZZ_BODIES sets how many (400), BANYAN_FUZZ_SEED where they start."""

import http.client
import json
import os
import random
import socket

from wire import call, connect, post

BODIES = int(os.environ.get("BANYAN_FUZZ_BODIES", "400"))
SEED = int(os.environ.get("BANYAN_FUZZ_SEED", "1"))

USER = [{"role": "user", "content": "hi"}]
VALID = {
    "/v1/chat/completions": {
        "messages": USER,
        "max_tokens": 4,
        "stream": True,
        "stream_options": {"include_usage": True},
        "logprobs": True,
        "top_logprobs": 2,
        "n": 2,
        "stop": ["x", "y"],
        "logit_bias": {"65": 1.5},
        "seed": 3,
        "temperature": 0.5,
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "tool_choice": "none",
        "chat_template_kwargs": {"a": 1},
        "rid": "r",
        "priority": 1,
    },
    "/v1/completions": {
        "prompt": ["hi", "there"],
        "max_tokens": 4,
        "logprobs": 2,
        "echo": True,
        "stop_token_ids": [3],
        "top_k": 5,
        "min_p": 0.1,
        "rid": ["a", "b"],
        "cache_salt": "s",
    },
    "/generate": {
        "input_ids": [[65, 66], [67]],
        "sampling_params": [{"max_new_tokens": 3}, {"max_new_tokens": 2, "temperature": 0, "stop": "a"}],
        "return_logprob": [True, False],
        "logprob_start_len": 0,
        "top_logprobs_num": [1, 2],
        "token_ids_logprob": [[1], [2]],
        "stream": False,
        "rid": ["a", "b"],
    },
    "/tokenize": {"prompt": "hi", "add_special_tokens": True},
    "/detokenize": {"tokens": [[65], [66]]},
    "/render": {"messages": USER, "chat_template_kwargs": {}},
    "/abort_request": {"rid": "nobody", "abort_all": False},
}
STRANGE = [
    None, True, False, 0, 1, -1, 2, 127, 128, 129, 2**31 - 1, 2**31, -(2**31), 2**32, 2**63 - 1, 2**63, 2**64, 2**70, 1e308,
    -1e308, 5e-324, 0.5, 1.5, "", "a", "none", "auto", "\0", "\ud800", "é" * 50, "🌳", "{{ 7 * 7 }}", "A" * 3000, [], [[]], [None],
    [0], [0.5], ["a"], [[0], "a"], [-1], [2**40], {}, {"": 0}, {"a": {"b": [1]}}, {"type": "text"}, {"-1": 1}, {"65": None},
    [{"type": "text", "text": "x"}], [{"role": "user"}], [{"role": "tool", "content": None}], [{}] * 3, list(range(300)),
]  # fmt: skip


def spoil(choose, value, depth=0):
    """`value` with one thing changed, anywhere within."""
    if depth < 4 and isinstance(value, dict) and value and choose.random() < 0.8:
        copy, key = dict(value), choose.choice(list(value))
        what = choose.random()
        if what < 0.1:
            del copy[key]
        elif what < 0.2:
            copy[choose.choice(["x", key + "s", "text", "prompt", "regex", "input_embeds"])] = choose.choice(STRANGE)
        else:
            copy[key] = spoil(choose, value[key], depth + 1)
        return copy
    if depth < 4 and isinstance(value, list) and value and choose.random() < 0.6:
        copy, at = list(value), choose.randrange(len(value))
        copy[at] = spoil(choose, value[at], depth + 1)
        return copy
    return choose.choice(STRANGE)


def bytes_of(choose, body):
    data = json.dumps(body).encode()
    if choose.random() < 0.2:
        data = bytearray(data)
        for _ in range(choose.randint(1, 4)):
            at = choose.randrange(len(data) + 1)
            data[at : at + choose.randint(0, 3)] = bytes(choose.choices(b'{}[]",:\\\0\xff\xc3u0e9-.', k=choose.randint(0, 3)))
    return bytes(data)


def test_random_bodies(start):
    server = start("--context-length", "128", "--max-total-tokens", "16k", "--log-level", "warning")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    seen = {}
    for i in range(BODIES):
        choose = random.Random(SEED * 1_000_003 + i)
        path = choose.choice(list(VALID))
        body = VALID[path]
        for _ in range(choose.choice([1, 1, 2])):
            body = spoil(choose, body)
        data = bytes_of(choose, body)
        connection.request("POST", path, data)
        reply = connection.getresponse()
        text = reply.read().decode()  # whole characters, always
        about = f"seed {SEED}, body {i}: POST {path} {data[:2000]!r} gave {reply.status} {text[:500]}"
        assert reply.status in (200, 400), about
        seen[reply.status] = seen.get(reply.status, 0) + 1
        if reply.status == 400:
            error = json.loads(text)["error"]
            assert set(error) == {"message", "type", "param", "code"} and error["message"], about
        elif "event-stream" in reply.headers["Content-Type"]:
            assert text.endswith("data: [DONE]\n\n"), about
        elif path != "/abort_request":
            json.loads(text)
    assert seen[200] > BODIES // 20 and seen[400] > BODIES // 4, seen
    assert call(server.url + "/health")[0] == 200
    loads = call(server.url + "/v1/loads")[1]["loads"][0]
    assert loads["num_running_reqs"] == loads["num_waiting_reqs"] == 0
    assert server.stop() == 0


def test_random_bytes(start):
    """Whole requests with bytes changed: each connection ends, with replies or without."""
    server = start("--context-length", "128", "--max-total-tokens", "16k", "--log-level", "warning")
    chunked = b"POST /generate HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}   \r\n0\r\n\r\n"
    get = b"GET /v1/models?a=%20&b HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer x\r\nAccept: */*\r\n\r\n"
    whole = [chunked, get, get + get, post("/tokenize", VALID["/tokenize"]), post("/generate", VALID["/generate"])]
    for i in range(BODIES // 2):
        choose = random.Random(SEED * 1_000_003 + i)
        data = bytearray(choose.choice(whole))
        for _ in range(choose.randint(1, 6)):
            at = choose.randrange(len(data) + 1)
            junk = bytes(choose.choices(b"\r\n :/\0\x80\xff%09aPT;,-", k=choose.randint(0, 4)))
            data[at : at + choose.randint(0, 4)] = junk
        with connect(server.url) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            reply = b""
            try:
                while part := sock.recv(65536):
                    reply += part
            except ConnectionResetError:
                pass
        assert reply == b"" or reply.startswith(b"HTTP/1.1 "), (SEED, i, bytes(data), reply[:200])
        assert not reply.startswith(b"HTTP/1.1 5") or reply.startswith(b"HTTP/1.1 501"), (SEED, i, bytes(data), reply)
    assert call(server.url + "/health")[0] == 200
    assert server.stop() == 0
