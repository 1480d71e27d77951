# SPDX-License-Identifier: Apache-2.0
"""What a server holds of memory once it is ready, and what becomes of one that is given little."""

import json
import pathlib
import urllib.error
import urllib.request

import pytest

from conftest import DEMO, ROOT, Server

TINY = ROOT.parent / "shared/data/models/tiny-random-qwen3"
GEMMA = ROOT / "build/models/gemma3/gemma-3-270m-q4_k_m.gguf"
MEGABYTE = 1 << 20


def need(model):
    if not model.exists():
        pytest.skip(f"{model} is not there")
    return str(model)


def post(url, body, timeout=60):
    """Status and body of a reply, whatever its status."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def status_of(server, key):
    """Bytes that /proc tells of its process: VmRSS, VmHWM, VmSize."""
    lines = pathlib.Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":"))


@pytest.mark.parametrize("model", [TINY, DEMO, GEMMA], ids=["tiny", "smollm2", "gemma3"])
def test_what_is_held_after_the_start(model, tmp_path):
    server = Server(need(model), "--max-total-tokens", "1024", log=tmp_path / "serve.log")
    try:
        server.await_line("ready after", 60)
        held = status_of(server, "VmRSS")
        memory = json.load(urllib.request.urlopen(server.url + "/memory"))
        files = [model] if model.is_file() else model.glob("*.safetensors")
        weights = sum(file.stat().st_size for file in files)
        assert held <= 1.1 * weights + memory["cache_bytes"] + 100 * MEGABYTE, memory
        # What is said to be held of weights is not more than there are, and their packing.
        assert memory["weight_bytes"] <= 1.1 * weights
        # An id of each part of the vocabulary: the table's rows are found again.
        ids = list(range(5, 15005, 1000))
        status, reply = post(server.url + "/generate", {"input_ids": ids, "sampling_params": {"max_new_tokens": 4, "ignore_eos": True}})
        assert status == 200 and len(reply["output_ids"]) == 4
    finally:
        server.process.kill()


@pytest.mark.parametrize("megabytes", [100, 150, 250, 350])
def test_little_address_space(megabytes, tmp_path):
    """Steps are as long as there is memory for, or nothing starts; nobody dies of a prompt."""
    flags = ["--skip-tokenizer-init", "--chunked-prefill-size", "-1", "--max-running-requests", "8"]
    log = tmp_path / "serve.log"
    try:
        limit = ["prlimit", f"--as={megabytes * MEGABYTE}"]
        server = Server(need(TINY), *flags, log=log, prefix=limit)
    except RuntimeError as error:
        # By a sentence with the numbers.
        last = log.read_text().splitlines()[-1]
        assert last.startswith("banyan: ") and "bytes" in last, error
        assert megabytes <= 150, error
        return
    try:
        long = {"input_ids": [i % 5000 + 5 for i in range(4000)], "sampling_params": {"max_new_tokens": 2}}
        scored = {**long, "return_logprob": True, "logprob_start_len": 0}
        for body in (long, scored):
            status, reply = post(server.url + "/generate", body)
            assert status in (200, 400, 429), reply
        status, reply = post(server.url + "/generate", {"input_ids": [5, 6, 7], "sampling_params": {"max_new_tokens": 2}})
        assert status == 200, reply
        assert server.process.poll() is None
    finally:
        server.process.kill()
