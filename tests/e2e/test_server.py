# SPDX-License-Identifier: Apache-2.0
"""Connections, keys, shutting down, the command line."""

import json
import os
import pathlib
import re
import resource
import signal
import socket
import struct
import subprocess
import threading
import time
import urllib.parse

import pytest

from conftest import BANYAN
from wire import call, connect, post, running

LONG = {"text": "go on", "stream": True, "sampling_params": {"max_new_tokens": 3000, "ignore_eos": True}}


def wait_idle(url):
    deadline = time.time() + 20
    while time.time() < deadline:
        if running(url) == 0:
            return
        time.sleep(0.02)
    raise AssertionError("requests are still running")


def test_cutting_the_stream_anywhere(echo):
    """Whatever part of the reply a client reads before it goes, the server stays and frees the request."""
    with connect(echo) as sock:
        sock.sendall(post("/generate", {**LONG, "sampling_params": {"max_new_tokens": 5}}))
        whole = b""
        while not whole.endswith(b"0\r\n\r\n"):
            whole += sock.recv(65536)
    for cut in range(0, len(whole), max(1, len(whole) // 60)):
        with connect(echo) as sock:
            sock.sendall(post("/generate", LONG))
            read = 0
            while read < cut:
                read += len(sock.recv(cut - read))
            if cut % 2:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    wait_idle(echo)
    assert call(echo + "/health")[0] == 200


def test_cutting_the_request_anywhere(echo):
    request = post("/generate", {"text": "hi", "sampling_params": {"max_new_tokens": 2}})
    for cut in range(len(request)):
        with connect(echo) as sock:
            sock.sendall(request[:cut])
    wait_idle(echo)
    assert call(echo + "/health")[0] == 200


def test_half_close_ends_the_request(echo):
    with connect(echo) as sock:
        sock.sendall(post("/generate", {**LONG, "stream": False}))
        time.sleep(0.05)
        sock.shutdown(socket.SHUT_WR)
        wait_idle(echo)


def test_garbage(echo):
    for junk in (b"\0" * 100, b"GET", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
        with connect(echo) as sock:
            sock.sendall(junk + b"\r\n\r\n")
            reply = sock.recv(1000)
            assert reply == b"" or reply.startswith(b"HTTP/1.1 4"), reply
    assert call(echo + "/health")[0] == 200


def test_deep_and_large_json(echo):
    assert call(echo + "/generate", b"[" * 100_000)[0] == 400
    assert call(echo + "/generate", b'{"text":' + b"[" * 100_000)[0] == 400
    assert call(echo + "/generate", b'{"a":' * 200 + b"1" + b"}" * 200)[0] == 400
    assert call(echo + "/generate", b'{"text": "' + b"\xff\xfe" + b'"}')[0] == 400
    with connect(echo) as sock:
        sock.sendall(b"POST /generate HTTP/1.1\r\nHost: t\r\nContent-Length: 999999999999\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 413")


def test_limits(start):
    server = start("--max-body-bytes", "1000", "--max-connections", "4")
    with connect(server.url) as sock:
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: t\r\nX: " + b"a" * 100_000 + b"\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 431")
    status, reply, _ = call(server.url + "/generate", {"text": "a" * 2000})
    assert status == 413 and "1000" in reply["error"]["message"]
    time.sleep(0.1)  # the server sees that those two are closed
    socks = [connect(server.url) for _ in range(4)]
    for sock in socks:
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: t\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 200")
    status, reply, headers = call(server.url + "/health")
    assert status == 503 and headers["Retry-After"] and "connections" in reply["error"]["message"]
    socks.pop().close()
    deadline = time.time() + 10
    while call(server.url + "/health")[0] != 200 and time.time() < deadline:
        time.sleep(0.02)
    assert call(server.url + "/health")[0] == 200


def test_keys(start):
    server = start("--api-key", "k1", "--admin-api-key", "k2", "--open-paths", "/metrics")
    assert call(server.url + "/health")[0] == 200
    assert call(server.url + "/metrics")[0] == 200
    assert call(server.url + "/v1/models")[0] == 401
    assert call(server.url + "/ready")[0] == 401
    bearer = lambda key: {"Authorization": f"Bearer {key}"}
    assert call(server.url + "/v1/models", headers=bearer("k1"))[0] == 200
    assert call(server.url + "/v1/models", headers=bearer("k2"))[0] == 401
    assert call(server.url + "/flush_cache", b"", bearer("k1"))[0] == 401
    assert call(server.url + "/flush_cache", b"", bearer("k2"))[0] == 200
    assert call(server.url + "/no/such/path")[0] == 401
    assert call(server.url + "/v1/models", headers=bearer("k1" * 50))[0] == 401
    assert call(server.url + "/v1/models", headers={"Authorization": "Basic k1"})[0] == 401
    log = server.lines()
    assert "k1" not in log and "k2" not in log
    assert server.stop() == 0


def test_an_admin_key_alone_closes_the_control_paths_only(start):
    server = start("--admin-api-key", "k2")
    assert call(server.url + "/v1/models")[0] == 200
    for path in ("/flush_cache", "/abort_request"):
        assert call(server.url + path, {})[0] == 401
    assert call(server.url + "/flush_cache", b"", {"Authorization": "Bearer k2"})[0] == 200


@pytest.mark.parametrize("flag", ["--api-key", "--admin-api-key"])
def test_an_empty_key_does_not_open_the_server(start, flag):
    with pytest.raises(RuntimeError, match=flag):
        start(flag, "")


def test_sigterm_drains(start):
    server = start()
    with connect(server.url) as sock:
        sock.sendall(post("/v1/completions", {"prompt": "x", "stream": True, "max_tokens": 20_000, "ignore_eos": True}))
        first = sock.recv(100)
        server.process.send_signal(signal.SIGTERM)
        # No more is taken, and probes are told.
        status = 200
        while status == 200:
            status, _, headers = call(server.url + "/generate", {"text": "x", "sampling_params": {"max_new_tokens": 1}})
        assert status == 503 and int(headers["Retry-After"]) >= 1
        assert call(server.url + "/health")[0] == call(server.url + "/ready")[0] == 503
        data = first
        while chunk := sock.recv(65536):
            data += chunk
        assert b"data: [DONE]" in data
    assert server.process.wait(20) == 0


def test_a_second_signal_ends_every_request_with_its_own_event(start):
    server = start("--incremental-streaming-output")
    params = {"max_new_tokens": 20_000, "ignore_eos": True}
    openai = {"prompt": "x", "max_tokens": 20_000, "ignore_eos": True}
    kinds = {
        "completion": post("/v1/completions", {**openai, "stream": True}),
        "native": post("/generate", {"text": "x", "sampling_params": params, "stream": True}),
        "whole": post("/v1/completions", openai),
    }
    replies = []

    def one(kind):
        with connect(server.url) as sock:
            sock.sendall(kinds[kind])
            data = b""
            while chunk := sock.recv(65536):
                data += chunk
            replies.append((kind, data))

    threads = [threading.Thread(target=one, args=(kind,)) for kind in kinds for _ in range(12)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 30
    while running(server.url) < len(threads):
        assert time.monotonic() < deadline, "they do not all run"
        time.sleep(0.01)
    server.process.send_signal(signal.SIGTERM)
    server.await_line("shutting down")
    server.process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join()
    assert server.process.wait(10) == 0
    assert len(replies) == len(threads)
    cut = 0
    for kind, data in replies:
        if kind == "whole":
            status = int(data.split(b" ")[1])
            assert status in (200, 503)
            cut += status == 503
            continue
        assert data.count(b"data: [DONE]") == 1 and data.endswith(b"0\r\n\r\n"), (kind, data[-500:])
        error = b'data: {"error":{' if kind == "completion" else b'"finish_reason":{"type":"abort","message":'
        usual = b'"finish_reason":"length"' if kind == "completion" else b'"finish_reason":{"type":"length"'
        assert data.count(error) + data.count(usual) == 1, (kind, data[-500:])
        cut += data.count(error)
    assert cut > 0


def test_a_second_signal_when_all_requests_have_ended_is_no_failure(start):
    server = start()
    with socket.socket() as sock:
        # A client that does not read its reply, which is more than the kernel takes.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(120)
        parts = urllib.parse.urlsplit(server.url)
        sock.connect((parts.hostname, parts.port))
        sock.sendall(post("/v1/completions", {"prompt": "x", "n": 128, "max_tokens": 4000, "logprobs": 5, "ignore_eos": True}))
        assert sock.recv(12) == b"HTTP/1.1 200"
        server.process.send_signal(signal.SIGTERM)
        server.await_line("all requests have ended")
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0


def test_queue_full_is_429(start):
    server = start("--max-queued-requests", "1", "--max-running-requests", "1")
    statuses, lock = [], threading.Lock()

    def one():
        status, _, headers = call(
            server.url + "/generate",
            {"text": "x", "sampling_params": {"max_new_tokens": 2000, "ignore_eos": True}},
        )
        with lock:
            statuses.append(status)
            if status == 429:
                assert int(headers["Retry-After"]) >= 1

    threads = [threading.Thread(target=one) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200, 429}, statuses
    assert server.stop() == 0


def test_more_samples_than_the_server_holds(start):
    server = start("--max-queued-requests", "10", "--max-running-requests", "10")
    status, reply, _ = call(server.url + "/v1/completions", {"prompt": ["a"] * 3, "n": 7, "max_tokens": 1})
    assert status == 400 and reply["error"]["param"] == "n"
    assert "21" in reply["error"]["message"] and "20" in reply["error"]["message"]


def test_port_in_use(start):
    server = start()
    second = subprocess.run(
        [BANYAN, "serve", "--model-path", "echo", "--port", str(server.port)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert second.returncode == 1 and "cannot listen" in second.stderr


def run(*args):
    return subprocess.run([BANYAN, *args], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    "args,text",
    [
        (["serve", "--model-pth", "m"], "did you mean --model-path?"),
        (["serve", "--model-path", "m", "--tp-size", "2"], "--tp-size is not supported yet"),
        (["serve", "--model-path", "m", "--gc-threshold", "1"], "--gc-threshold is not supported"),
        (["serve", "--model-path", "m", "stray"], "unexpected argument 'stray'"),
        (["serve", "--model-path", "m", "--port", "70000"], "--port"),
        (["serve", "--model-path", "m", "--page-size", "-1"], "--page-size"),
        (["serve", "--model-path", "m", "--device", "tpu"], "--device"),
        (["serve", "--model-path", "m", "--device", "cuda"], "there are no CUDA kernels yet"),
        (["serve"], "--model-path"),
        (["srve"], "did you mean 'serve'?"),
        (["serve", "--config", "/no/such/file.yaml"], "cannot read"),
        (["serve", "--model-path", "/no/such/model"], "/no/such/model"),
    ],
)
def test_command_line_errors(args, text):
    done = run(*args)
    assert done.returncode != 0
    assert text in done.stderr + done.stdout


def test_doctor_tells_of_gpus():
    done = run("doctor", "--json")
    assert done.returncode == 0, done.stderr
    gpus = [row["text"] for row in json.loads(done.stdout) if row["topic"] == "gpu"]
    reasons = ("built without CUDA", "NVIDIA driver", "there are no CUDA kernels yet")
    assert gpus and any(reason in gpus[-1] for reason in reasons)
    assert gpus[-1].endswith("the CPU would be used")


def test_the_clock_of_render_is_no_variable(tmp_path):
    template = tmp_path / "t.jinja"
    template.write_text("{{ now is defined }} {{ x }} {{ strftime_now('%Y') }}")
    line = '{"now": "2024-07-26T12:34:56", "x": 99999999999999999999}\n'
    done = subprocess.run(
        [BANYAN, "render", "--template", str(template)], input=line, capture_output=True, text=True, timeout=120
    )
    assert json.loads(done.stdout) == {"text": "False 99999999999999999999 2024"}, done.stderr


def gguf(path, **strings):
    """A GGUF file of metadata alone: a vocabulary of one token, and these keys."""
    text = lambda value: struct.pack("<Q", len(value.encode())) + value.encode()
    pairs = [(key, struct.pack("<I", 8) + text(value)) for key, value in strings.items()]
    pairs.append(("tokenizer.ggml.tokens", struct.pack("<IIQ", 9, 8, 1) + text("a")))
    body = b"".join(text(key) + value for key, value in pairs)
    path.write_bytes(struct.pack("<4sIQQ", b"GGUF", 3, 0, len(pairs)) + body + b"\0" * 32)


def test_named_templates_of_a_gguf_file(tmp_path):
    model = tmp_path / "m.gguf"
    keys = {"general.architecture": "llama", "tokenizer.ggml.model": "gpt2"}
    templates = {"tokenizer.chat_template": "plain", "tokenizer.chat_template.tool_use": "{{ tools | length }} tools"}
    gguf(model, **keys, **templates)
    lines = '{"messages": []}\n{"messages": [], "tools": [{}]}\n'

    def render(*flags):
        command = [BANYAN, "render", "--model", str(model), *flags]
        done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=120)
        return [json.loads(line).get("text") for line in done.stdout.splitlines()] or done.stderr

    assert render() == ["plain", "1 tools"]
    assert render("--template-name", "default") == ["plain", "plain"]
    assert "there is no chat template named" in render("--template-name", "rag")
    done = run("serve", "--model-path", "echo", "--hf-chat-template-name", "rag")
    assert done.returncode != 0 and "--hf-chat-template-name" in done.stderr


def test_render_gives_a_models_template_what_transformers_gives(tmp_path):
    source = "{% if tools is not none %}[{{ tools|length }}]{% endif %}{% if documents is defined %}D{% endif %}x"
    (tmp_path / "chat_template.jinja").write_text(source + "{{ add_generation_prompt }}")
    (tmp_path / "t.jinja").write_text(source.replace("tools is not none", "tools is defined"))
    for flags, text in ((["--model", str(tmp_path)], "DxFalse"), (["--template", str(tmp_path / "t.jinja")], "x")):
        done = subprocess.run([BANYAN, "render", *flags], input="{}\n", capture_output=True, text=True, timeout=120)
        assert json.loads(done.stdout) == {"text": text}, done.stderr


TINY = pathlib.Path(__file__).resolve().parents[1] / "golden/models/llama"


def tiny(tmp_path, **changes):
    """A tiny Llama without a tokenizer, its config changed."""
    folder = tmp_path / "model"
    folder.mkdir()
    config = {**json.loads((TINY / "config.json").read_text()), **changes}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").symlink_to(TINY / "model.safetensors")
    return str(folder)


def problems(*args, env=None):
    done = subprocess.run([BANYAN, "doctor", "--json", *args], capture_output=True, text=True, timeout=120, env=env)
    return {row["topic"]: row["text"] for row in json.loads(done.stdout) if not row["ok"]}


def test_doctor_asks_what_loading_would_ask(tmp_path):
    found = problems("--model-path", str(TINY))
    assert set(found) <= {"tokenizer"}, found
    found = problems("--model-path", tiny(tmp_path, architectures=["NobodysForCausalLM"]))
    assert "NobodysForCausalLM is not known; known are" in found["family"]


def test_doctor_finds_tensors_of_unknown_schemes(tmp_path):
    folder = pathlib.Path(tiny(tmp_path))
    raw = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").unlink()
    name = b"model.layers.1.mlp.up_proj.weight"
    assert name in raw
    (folder / "model.safetensors").write_bytes(raw.replace(name, name[:-6] + b"scales", 1))
    assert "model.layers.1.mlp.up_proj.scales' is without a use" in problems("--model-path", str(folder))["family"]


def test_doctor_looks_in_the_cache_and_downloads_nothing(tmp_path):
    env = {**os.environ, "HF_HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9"}
    env.pop("HF_HUB_CACHE", None), env.pop("HF_HUB_OFFLINE", None), env.pop("TRANSFORMERS_OFFLINE", None)
    found = problems("--model-path", "nobody/nothing", env=env)["model"]
    assert "nobody/nothing is not in" in found and "banyan serve would download it" in found
    snapshot = tmp_path / "hub/models--some--tiny/snapshots" / ("0123456789" * 4)
    snapshot.mkdir(parents=True)
    (tmp_path / "hub/models--some--tiny/refs").mkdir()
    (tmp_path / "hub/models--some--tiny/refs/main").write_text("0123456789" * 4)
    for name in ("config.json", "model.safetensors"):
        (snapshot / name).symlink_to(TINY / name)
    assert set(problems("--model-path", "some/tiny", env=env)) <= {"tokenizer"}
    # Where else, and which revision, are flags of serve.
    (tmp_path / "hub/models--some--tiny/refs/other").write_text("0123456789" * 4)
    (tmp_path / "hub/models--some--tiny/refs/main").unlink()
    flags = ["--revision", "other", "--download-dir", str(tmp_path / "hub"), "--skip-tokenizer-init"]
    flags += ["--json-model-override-args", '{"rms_norm_eps": "x"}']
    done = run("serve", "--model-path", "some/tiny", *flags)
    assert done.returncode != 0 and "'rms_norm_eps' expected a number" in done.stderr, done.stderr


def test_config_file(tmp_path, template):
    config = tmp_path / "serve.yaml"
    config.write_text(
        "model-path: echo\nserved_model_name: from-file\nport: 1\ntp-size: 1\n"
        "disable-radix-cache: true\nlog-requests: false\nopen-paths: [/metrics, /ready]\n"
        f"chat-template: {template}\n"
    )
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    process = subprocess.Popen(
        [BANYAN, "serve", "--config", str(config), "--port", str(port)], stderr=subprocess.PIPE, text=True
    )
    try:
        for line in process.stderr:
            if "ready:" in line:
                break
        info = call(f"http://127.0.0.1:{port}/server_info")[1]
        assert info["served_model_name"] == "from-file"
        assert info["disable_radix_cache"] is True
    finally:
        process.kill()
        process.wait()
    config.write_text("model-path: echo\nmodle-path: x\n")
    assert "did you mean --model-path?" in run("serve", "--config", str(config)).stderr
    config.write_text("[1, 2")
    assert run("serve", "--config", str(config)).returncode == 1


def test_terminal_chat(echo):
    done = subprocess.run(
        [BANYAN, "chat", "--url", echo, "--max-tokens", "8", "--temperature", "0"],
        input="Hello\n/reset\nAgain\n/exit\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip().splitlines()) >= 1


def test_unix_socket(start, tmp_path):
    path = str(tmp_path / "banyan.sock")
    process = subprocess.Popen(
        [BANYAN, "serve", "--model-path", "echo", "--unix-socket", path], stderr=subprocess.PIPE, text=True
    )
    try:
        for line in process.stderr:
            if "ready:" in line:
                break
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            sock.sendall(b"GET /ready HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
            assert sock.recv(1000).startswith(b"HTTP/1.1 200")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    assert not os.path.exists(path)


def test_many_idle_connections(echo):
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    socks = [connect(echo) for _ in range(min(500, soft // 3))]
    assert call(echo + "/health")[0] == 200
    for sock in socks:
        sock.close()
