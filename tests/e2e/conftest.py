# SPDX-License-Identifier: Apache-2.0
"""Starts one `banyan serve` for the end-to-end tests.

BANYAN          the binary (build/release/bin/banyan)
BANYAN_MODEL    the model (the echo model, which answers by a fixed rule)
BANYAN_URL      a server that already runs, instead of both
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
MODEL = os.environ.get("BANYAN_MODEL", "echo")
# A template without a model: the last message is what the echo model answers to.
TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Server:
    """A running `banyan serve`."""

    def __init__(self, *flags, log):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = open(log, "wb")
        self.process = subprocess.Popen(
            [BANYAN, "serve", "--model-path", MODEL, "--port", str(self.port), *flags],
            stdout=self.log,
            stderr=self.log,
        )
        for _ in range(1200):
            try:
                urllib.request.urlopen(self.url + "/ready", timeout=5)
                return
            except urllib.error.HTTPError as error:
                if error.code == 401:
                    return
            except OSError:
                pass
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.process.kill()
        raise RuntimeError("the server did not start: " + open(log, errors="replace").read()[-2000:])

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
def url(tmp_path_factory, template):
    given = os.environ.get("BANYAN_URL")
    if given:
        yield given
        return
    flags = ["--served-model-name", "test-model", "--log-level-http", "warning"]
    if MODEL == "echo":
        flags += ["--chat-template", template]
    server = Server(*flags, log=tmp_path_factory.mktemp("log") / "serve.log")
    yield server.url
    assert server.stop() == 0, "the server did not end cleanly"


@pytest.fixture(scope="session")
def client(url):
    import openai

    return openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0, timeout=60)


@pytest.fixture
def start(tmp_path, template):
    """Starts further servers with flags of their own."""
    servers = []

    def run(*flags):
        if MODEL == "echo":
            flags += ("--chat-template", template)
        server = Server(*flags, log=tmp_path / f"serve{len(servers)}.log")
        servers.append(server)
        return server

    yield run
    for server in servers:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
