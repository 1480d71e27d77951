# SPDX-License-Identifier: Apache-2.0
"""What operators set and read: logs, the watchdog, variables, metrics."""

import json
import math
import re
import shutil
import subprocess
import time

import pytest

from conftest import BANYAN, MODEL, Server, free_port
from wire import call


def generate(url, **body):
    body.setdefault("sampling_params", {"temperature": 0, "max_new_tokens": 4})
    return call(url + "/generate", body)


@pytest.mark.parametrize("level", range(4))
def test_request_logs(start, level):
    server = start("--log-requests", "--log-requests-level", str(level))
    body = {"input_ids": [65] * 300, "rid": 'odd"name', "sampling_params": {"max_new_tokens": 3, "temperature": 0.5}}
    assert generate(server.url, **body)[0] == 200
    finish = server.await_line("Finish: ")
    assert 'rid="odd\\"name"' in finish
    assert "reason=length" in finish and "completion_tokens=3" in finish
    receive = server.await_line("Receive: ")
    assert "prompt_tokens=300" in receive
    assert ("temperature=0.5" in receive) == (level >= 1)
    assert receive.partition("Receive: ")[2].count("65") == {0: 0, 1: 0, 2: 256, 3: 300}[level]
    generate(server.url, text="secret", no_logs=True, rid="unlogged")
    assert "unlogged" not in server.lines()


def test_request_logs_as_json_to_targets(start, tmp_path):
    flags = ["--log-requests", "--log-requests-format", "json", "--log-requests-target", "stdout", str(tmp_path / "new")]
    server = start(*flags)
    params = {"max_new_tokens": 3000, "stop": ['"', "}"], "temperature": 0, "ignore_eos": True}
    assert generate(server.url, text="a", rid='odd"name', sampling_params=params)[0] == 200
    assert generate(server.url, text="a", rid="refused", sampling_params={"max_new_tokens": 10**6})[0] == 400
    server.await_line("request.finished")
    assert server.stop() == 0
    lines = [json.loads(line) for line in open(tmp_path / "new" / "requests.log")]
    received, finished, _, refused = lines
    assert received["event"] == "request.received" and received["rid"] == 'odd"name'
    assert received["obj"]["sampling_params"]["stop"] == ['"', "}"] and received["obj"]["input_ids"] == [97]
    meta = finished["out"]["meta_info"]
    assert finished["event"] == "request.finished" and meta["finish_reason"] == {"type": "stop"}
    assert finished["out"]["text"] == "bcdefghijklmnopqrstuvwxyz{|" and meta["completion_tokens"] == 28
    assert "3000" not in refused["rid"] and "1000001" in refused["out"]["meta_info"]["finish_reason"]["message"]
    assert [json.loads(line) for line in server.lines().splitlines() if line.startswith("{")] == lines
    with pytest.raises(RuntimeError, match="--log-requests-target"):
        start("--log-requests", "--log-requests-target", "/proc/no/such")


def test_a_reader_of_the_log_that_goes_away(template):
    port = free_port()
    command = [BANYAN, "serve", "--model-path", "echo", "--port", str(port), "--chat-template", template]
    flags = ["--log-requests", "--log-requests-target", "stdout"]
    process = subprocess.Popen(command + flags, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while "ready:" not in process.stderr.readline():
            pass
        process.stdout.close()
        process.stderr.close()
        for _ in range(3):
            assert generate(f"http://127.0.0.1:{port}", text="a")[0] == 200
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def test_request_logs_show_the_beginning_of_long_outputs(start):
    server = start("--log-requests")
    params = {"max_new_tokens": 3000, "temperature": 0, "ignore_eos": True}
    text = generate(server.url, text="a", rid="long", sampling_params=params)[1]["text"]
    line = server.await_line('Finish: rid="long"')
    assert json.loads(line.partition(" text=")[2]) == text[:2048]


def test_prefill_and_decode_lines(start):
    server = start("--decode-log-interval", "5")
    generate(server.url, text="hello", sampling_params={"max_new_tokens": 20, "ignore_eos": True})
    prefill = server.await_line("#new-token: 5")
    for field in ("Prefill batch, #new-seq: 1, ", "#cached-token: 0", "token usage: ", "#running-req: ", "#queue-req: 0"):
        assert field in prefill, prefill
    decode = server.await_line("Decode batch")
    for field in ("#running-req: 1", "#token: ", "token usage: ", "gen throughput (token/s): ", "#queue-req: 0"):
        assert field in decode, decode


def test_access_log(start):
    server = start("--uvicorn-access-log-exclude-prefixes", "/metrics")
    call(server.url + "/metrics")
    call(server.url + "/no%0asuch%22path")
    line = server.await_line("such")
    assert "404" in line and r"/no\nsuch\"path" in line
    assert "/metrics" not in server.lines()


def test_variables(start):
    server = start(env={"SGLANG_INIT_NEW_TOKEN_RATIO": "0.5", "SGLANG_NO_SUCH_THING": "1", "SGLANG_REQ_RUNNING_TIMEOUT": "0.01"})
    assert "--schedule-conservativeness" in server.await_line("SGLANG_INIT_NEW_TOKEN_RATIO")
    assert "no effect" in server.await_line("SGLANG_NO_SUCH_THING")
    # Honoured: so nothing is said of it, and a request that takes longer is ended.
    assert "SGLANG_REQ_RUNNING_TIMEOUT" not in server.lines()
    params = {"max_new_tokens": 20_000, "ignore_eos": True, "n": 128}
    status, reply, _ = generate(server.url, text="go", sampling_params=params)
    assert status == 503 and "ran longer than the server allows" in reply["error"]["message"]


def test_a_variable_that_is_wrong_stops_the_start(start):
    with pytest.raises(RuntimeError, match="SGLANG_REQ_WAITING_TIMEOUT"):
        start(env={"SGLANG_REQ_WAITING_TIMEOUT": "soon"})


@pytest.mark.skipif(MODEL == "echo", reason="no step of the echo model takes long")
def test_the_watchdog_ends_a_stuck_step(tmp_path):
    flags = ["--watchdog-timeout", "0.1", "--chunked-prefill-size", "-1", "--context-length", "4096"]
    server = Server(MODEL, *flags, "--max-total-tokens", "8k", log=tmp_path / "serve.log")
    try:
        status, reply, _ = generate(server.url, input_ids=[500 + i % 100 for i in range(1500)], rid="stuck")
        assert status == 504 and "watchdog" in reply["error"]["message"]
        line = server.await_line("watchdog: ")
        assert "Ending its requests" in line and "waiting" in line
        assert 'rid="stuck"' in server.await_line("has failed: step ")
        # The step ends some day, and the server is well again.
        deadline = time.time() + 30
        while (status := call(server.url + "/health")[0]) != 200 and time.time() < deadline:
            time.sleep(0.1)
        assert status == 200
        assert server.stop() == 0
    finally:
        server.process.kill()
        server.process.wait()


SAMPLE = re.compile(r'([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\S+)')


def parse(page):
    """{name: (type, {series: value})} of the text format; anything malformed fails."""
    families, name = {}, None
    assert page.endswith("\n")
    for line in page.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            assert name not in families and line.split(" ", 3)[3], line
            families[name] = [None, {}]
        elif line.startswith("# TYPE "):
            _, _, typed, kind = line.split(" ")
            assert typed == name and kind in ("counter", "gauge", "histogram"), line
            families[name][0] = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            stem = re.sub("_(bucket|sum|count)$", "", match[1]) if families[name][0] == "histogram" else match[1]
            assert stem == name, line
            assert (match[1], match[2]) not in families[name][1], "twice: " + line
            families[name][1][match[1], match[2]] = float(match[3])
    return families


def test_metrics_are_well_formed(url):
    generate(url, text="Count me")
    before = parse(call(url + "/metrics")[1])
    status, reply, _ = generate(url, text="Count me too", sampling_params={"max_new_tokens": 7, "ignore_eos": True})
    assert status == 200
    after = parse(call(url + "/metrics")[1])

    def grown(name):
        total = lambda page: sum(value for (series, _), value in page[name][1].items())
        return total(after) - total(before)

    assert grown("sglang:num_requests_total") == 1
    assert grown("sglang:generation_tokens_total") == 7
    assert grown("sglang:prompt_tokens_total") == reply["meta_info"]["prompt_tokens"]
    for name, (kind, series) in after.items():
        assert name.startswith("sglang:")
        assert kind != "counter" or name.endswith("_total"), name
        if kind != "histogram":
            continue
        rows = {}
        for (sample, labels), value in series.items():
            if sample.endswith("_bucket"):
                bound = re.search('le="([^"]*)"', labels)[1]
                rest = re.sub(',?le="[^"]*"', "", labels)
                rows.setdefault(rest, []).append((math.inf if bound == "+Inf" else float(bound), value))
        for rest, buckets in rows.items():
            assert buckets == sorted(buckets) and buckets[-1][0] == math.inf, name
            assert [v for _, v in buckets] == sorted(v for _, v in buckets), name
            assert buckets[-1][1] == series[name + "_count", rest], name


def test_promtool_accepts_the_metrics(url):
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed")
    generate(url, text="Count me")
    page = call(url + "/metrics")[1]
    check = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True)
    # SGLang's names have colons, and its gauges of routing keys a label "le", which the linter dislikes;
    # nothing else may be found.
    known = ("should not contain ':'", 'metrics should not have "le" label')
    findings = [l for l in (check.stdout + check.stderr).splitlines() if not any(k in l for k in known)]
    assert findings == []
    assert check.returncode in (0, 3)  # 3: the linter has found something


QUIET = {"SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION": "false"}  # no requests but those of the test


def series(url, name):
    """{labels without those of all: value} of one metric."""
    found = {}
    for line in call(url + "/metrics")[1].splitlines():
        match = re.fullmatch(re.escape(name) + r"\{(.*)\} (\S+)", line)
        if match:
            labels = dict(re.findall(r'(\w+)="([^"]*)"', match[1]))
            own = {k: v for k, v in labels.items() if k in ("le", "mode", "stage", "category")}
            found[tuple(sorted(own.items()))] = float(match[2])
    return found


def test_metrics_of_tokens_and_stages(start):
    url = start("--page-size", "1", env=QUIET).url
    for _ in range(2):
        generate(url, input_ids=[97] * 40, sampling_params={"max_new_tokens": 5, "temperature": 0})
    tokens = {labels[0][1]: value for labels, value in series(url, "sglang:realtime_tokens_total").items()}
    assert tokens["prefill_cache"] >= 30 and tokens["decode"] == 2 * 4
    assert tokens["prefill_compute"] + tokens["prefill_cache"] == 2 * 40
    stages = series(url, "sglang:per_stage_req_latency_seconds_count")
    assert stages == {(("stage", "request_process"),): 2, (("stage", "prefill_forward"),): 2}
    bounds = series(url, "sglang:per_stage_req_latency_seconds_bucket")
    assert len(bounds) == 2 * 31
    seconds = series(url, "sglang:forward_execution_seconds_total")
    assert seconds[(("category", "extend"),)] > 0 and seconds[(("category", "decode"),)] > 0
    assert 0 <= series(url, "sglang:utilization")[()] <= 1
    assert not series(url, "sglang:prompt_tokens_histogram_count")


def test_histograms_have_the_bounds_asked_for(start):
    flags = ["--collect-tokens-histogram", "--prompt-tokens-buckets", "custom", "50", "10"]
    flags += ["--generation-tokens-buckets", "tse", "8", "2", "2", "--bucket-time-to-first-token", "0.5", "1e3"]
    url = start(*flags, env=QUIET).url
    generate(url, input_ids=[97] * 40, sampling_params={"max_new_tokens": 7, "temperature": 0})
    bounds = lambda name: {dict(l)["le"]: v for l, v in series(url, f"sglang:{name}_bucket").items()}
    assert bounds("prompt_tokens_histogram") == {"10": 0, "50": 1, "+Inf": 1}
    assert bounds("uncached_prompt_tokens_histogram") == {"10": 0, "50": 1, "+Inf": 1}
    assert bounds("generation_tokens_histogram") == {"6": 0, "8": 1, "10": 1, "+Inf": 1}
    assert list(bounds("time_to_first_token_seconds")) == ["0.5", "1000", "+Inf"]
    assert series(url, "sglang:prompt_tokens_histogram_sum") == {(): 40}


@pytest.mark.parametrize(
    "flags",
    [
        ["--prompt-tokens-buckets", "custom", "ten"],
        ["--generation-tokens-buckets", "tse", "8", "1", "2"],
        ["--bucket-time-to-first-token", "2", "1"],
        ["--json-model-override-args", "[1]"],
    ],
)
def test_wrong_values_of_such_flags_are_named(flags):
    done = subprocess.run([BANYAN, "serve", "--model-path", "echo", *flags], capture_output=True, text=True, timeout=120)
    assert done.returncode != 0 and flags[0] in done.stderr, done.stderr
