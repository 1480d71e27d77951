# SPDX-License-Identifier: Apache-2.0
"""Servers for the end-to-end tests.

BANYAN          the binary (build/release/bin/banyan)
BANYAN_MODEL    what answers in the tests of replies (the demo's model when it is there, else the echo model)
BANYAN_URL      a server that already runs, instead of both

Tests of connections, keys and signals use the echo model, which answers by a fixed rule at once.
"""

import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BANYAN = os.environ.get("BANYAN", str(ROOT / "build/release/bin/banyan"))
DEMO = ROOT / "build/models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL = os.environ.get("BANYAN_MODEL") or (str(DEMO) if DEMO.exists() else "echo")
# A template without a model: the last message is what the echo model answers to.
TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"
CONTEXT = 512


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Server:
    """A running `banyan serve`, started by the command `prefix` where there is one."""

    def __init__(self, model, *flags, log, env=None, prefix=()):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = log
        self.log = open(log, "wb")
        self.process = subprocess.Popen(
            [*prefix, BANYAN, "serve", "--model-path", model, "--port", str(self.port), *flags],
            stdout=self.log,
            stderr=self.log,
            env={**os.environ, **(env or {})},
        )
        for _ in range(1200):
            # Before the model is there /ready says 503, and 401 when it is closed to the public.
            try:
                urllib.request.urlopen(self.url + "/health", timeout=5)
                return
            except OSError:
                pass
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.process.kill()
        raise RuntimeError("the server did not start: " + self.lines()[-2000:])

    def lines(self):
        return open(self.log_path, errors="replace").read()

    def await_line(self, text, seconds=20):
        """The first line of the log that holds `text`."""
        deadline = time.time() + seconds
        while time.time() < deadline:
            for line in self.lines().splitlines():
                if text in line:
                    return line
            time.sleep(0.02)
        raise AssertionError(f"no line with {text!r} in the log:\n{self.lines()[-3000:]}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    path = tmp_path_factory.mktemp("template") / "chat.jinja"
    path.write_text(TEMPLATE)
    return str(path)


@pytest.fixture(scope="session")
def main_server(tmp_path_factory, template):
    flags = ["--served-model-name", "test-model", "--context-length", str(CONTEXT), "--max-total-tokens", "64k"]
    flags += ["--log-requests", "--log-requests-level", "0", "--log-level-http", "warning"]
    if MODEL == "echo":
        flags += ["--chat-template", template]
    server = Server(MODEL, *flags, log=tmp_path_factory.mktemp("log") / "serve.log")
    yield server
    assert server.stop() == 0, "the server did not end cleanly:\n" + server.lines()[-2000:]


@pytest.fixture(scope="session")
def url(request):
    """A server with MODEL."""
    return os.environ.get("BANYAN_URL") or request.getfixturevalue("main_server").url


@pytest.fixture(scope="session")
def echo(tmp_path_factory, template):
    """A server with the echo model."""
    log = tmp_path_factory.mktemp("log") / "echo.log"
    server = Server("echo", "--chat-template", template, "--log-level-http", "warning", log=log)
    yield server.url
    assert server.stop() == 0, "the server did not end cleanly:\n" + server.lines()[-2000:]


@pytest.fixture(scope="session")
def client(url):
    import openai

    return openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0, timeout=60)


@pytest.fixture
def start(tmp_path, template):
    """Starts further servers with the echo model and flags of their own."""
    servers = []

    def run(*flags, env=None):
        flags += ("--chat-template", template)
        server = Server("echo", *flags, log=tmp_path / f"serve{len(servers)}.log", env=env)
        servers.append(server)
        return server

    yield run
    for server in servers:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


def pytest_report_header():
    return f"model: {MODEL}"
