# SPDX-License-Identifier: Apache-2.0
"""Data-parallel ranks, their loads, and why a prefix was not found."""

import datetime
import re
import shutil
import subprocess
import threading
import time

import pytest

from conftest import ROOT, Server
from wire import call, running


def generate(url, **body):
    body.setdefault("sampling_params", {"temperature": 0, "max_new_tokens": 4})
    return call(url + "/generate", body)


def test_ranks_share_the_work_and_the_page_of_metrics(start):
    server = start("--dp-size", "2", "--load-balance-method", "round_robin")
    url = server.url
    cached = [generate(url, input_ids=[97] * 64)[1]["meta_info"]["cached_tokens"] for _ in range(4)]
    assert cached == [0, 0, 48, 48]
    page = call(url + "/metrics")[1]
    for rank in "01":  # the start of the server may have asked for its health
        assert re.search(rf'^sglang:num_requests_total{{dp_rank="{rank}".*}} [23]$', page, re.M), page
    if shutil.which("promtool"):
        check = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True)
        # SGLang's names have colons, which the linter dislikes.
        assert [line for line in (check.stdout + check.stderr).splitlines() if "contain ':'" not in line] == []
    info = call(url + "/get_server_info")[1]
    assert info["dp_size"] == 2 and len(info["internal_states"]) == 2
    assert generate(url, input_ids=[97], data_parallel_rank=2)[0] == 400
    assert call(url + "/flush_cache", b"")[0] == 200
    other = generate(url, input_ids=[97] * 64, routed_dp_rank=1)[1]["meta_info"]
    assert other["cached_tokens"] == 0 and other["dp_rank"] == 1
    assert server.stop() == 0


def test_an_abort_by_name_reaches_every_rank(start):
    url = start("--dp-size", "2").url
    assert call(url + "/pause_generation", {"mode": "in_place"})[0] == 200
    replies = []
    threads = [
        threading.Thread(target=lambda i=i: replies.append(generate(url, text="a", rid=f"job-{i}")))
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    deadline = time.time() + 20
    while time.time() < deadline and sum(load["num_reqs"] for load in call(url + "/get_load")[1]) < 4:
        time.sleep(0.05)
    loads = call(url + "/v1/loads")[1]
    assert [load["num_waiting_reqs"] for load in loads["loads"]] == [2, 2]
    assert loads["aggregate"]["total_reqs"] == 4 and loads["dp_rank_count"] == 2
    assert call(url + "/abort_request", {"rid": "job-"})[0] == 200
    for thread in threads:
        thread.join(20)
    assert [reply[1]["meta_info"]["finish_reason"]["type"] for reply in replies] == ["abort"] * 4
    assert call(url + "/continue_generation", {})[0] == 200
    assert generate(url, text="a")[0] == 200


def test_a_header_does_not_move_a_session(start):
    url = start("--dp-size", "2").url
    session = {"id": call(url + "/open_session", {"capacity_of_str_len": 10})[1]}
    body = {"input_ids": [97] * 64, "session_params": session, "sampling_params": {"max_new_tokens": 1}}
    replies = [call(url + "/generate", body, {"X-Data-Parallel-Rank": rank})[:2] for rank in "01"]
    assert [status for status, _ in replies] == [200, 200]
    assert len({reply["meta_info"]["dp_rank"] for _, reply in replies}) == 1
    refused = [call(url + "/generate", {**body, "routed_dp_rank": rank})[0] for rank in (0, 1)]
    assert sorted(refused) == [200, 400]


def test_loads_have_sections(echo):
    generate(echo, text="abc")
    fields = {"dp_rank", "num_reqs", "num_waiting_reqs", "num_tokens", "num_pending_tokens", "ts_tic"}
    assert set(call(echo + "/get_load")[1][0]) == fields
    datetime.datetime.fromisoformat(call(echo + "/v1/loads")[1]["timestamp"])
    whole = call(echo + "/v1/loads")[1]["loads"][0]
    assert whole["memory"]["token_capacity"] == whole["max_total_num_tokens"] > 0
    assert whole["queues"] == {"waiting": 0, "grammar": 0, "paused": 0, "retracted": 0}
    core = call(echo + "/v1/loads?include=core&dp_rank=0")[1]["loads"][0]
    assert not {"memory", "queues", "speculative"} & set(core) and core["num_running_reqs"] == 0
    assert "memory" in call(echo + "/v1/loads?include=core,memory")[1]["loads"][0]
    for query, word in [("include=cores", "cores"), ("dp_rank=1", "dp_rank"), ("format=xml", "format")]:
        status, error = call(echo + "/v1/loads?" + query)[:2]
        assert status == 400 and word in error["error"]["message"]


def test_memory_says_in_one_line_where_the_pages_are(echo):
    generate(echo, input_ids=[97] * 64)
    rank = call(echo + "/memory")[1]["ranks"][0]
    assert re.fullmatch(
        r"full: \d+ available \(\d+ free \+ \d+ evictable\) \+ 0 leased \+ 0 fenced of \d+ pages", rank["summary"]
    )
    assert rank["prefix_tokens"] >= 48


def test_a_full_cache_says_in_one_line_where_the_pages_are(start):
    flags = ["--schedule-conservativeness", "0", "--decode-log-interval", "1"]
    server = start("--page-size", "4", "--max-total-tokens", "400", *flags)
    body = {"input_ids": [97] * 8, "sampling_params": {"max_new_tokens": 300, "temperature": 0, "ignore_eos": True, "n": 4}}
    assert call(server.url + "/generate", body)[0] == 200
    line = server.await_line("the cache was full, or promised")
    assert re.search(r"run, [1-9]\d* times; [1-9]\d* requests wait again; full: \d+ available .* leased", line)
    # How many since the start, and how many during the last interval of the log, here a step.
    page = call(server.url + "/metrics")[1]
    assert re.search(r"^sglang:num_retracted_requests_total{.*} [1-9]", page, re.M), page
    assert re.search(r"^sglang:num_retracted_reqs{.*} 0$", page, re.M), page
    assert call(server.url + "/v1/loads")[1]["loads"][0]["queues"]["retracted"] == 0


def test_an_admission_that_is_put_off_says_where_the_pages_are(start):
    server = start("--page-size", "4", "--max-total-tokens", "400")
    # The second is expected not to fit beside the first, so it waits for its end.
    body = {"input_ids": [97] * 8, "sampling_params": {"max_new_tokens": 300, "temperature": 0, "ignore_eos": True, "n": 2}}
    reply = call(server.url + "/generate", body)
    assert reply[0] == 200 and len(reply[1]) == 2
    line = server.await_line("the cache was full, or promised")
    assert re.search(r"run, [1-9]\d* times; 0 requests wait again; full: \d+ available .* leased", line)
    assert server.lines().count("the cache was full, or promised") < 4, "once a second at most"


def reason(url, **body):
    return generate(url, **body)[1]["meta_info"]["cached_tokens_details"]["miss_reason"]


def test_a_reply_says_why_a_prefix_was_missed(start):
    server = start("--enable-cache-report", "--page-size", "4", "--max-total-tokens", "256")
    url = server.url
    assert reason(url, input_ids=[97] * 33) == "new"
    meta = generate(url, input_ids=[97] * 33)[1]["meta_info"]
    assert meta["cached_tokens_details"] == {"device": 32, "host": 0, "miss_reason": None}
    assert meta["cached_tokens"] == 32
    assert reason(url, input_ids=[97] * 33, extra_key="mine") == "extra_key"
    assert reason(url, input_ids=[99] * 200) == "new"
    assert reason(url, input_ids=[97] * 33) == "evicted"
    body = {"model": "m", "prompt": [97] * 33, "max_tokens": 1}
    reply = call(url + "/v1/completions", body)[1]
    assert reply["sglext"]["cached_tokens_details"]["miss_reason"] is None
    assert reply["usage"]["prompt_tokens_details"]["cached_tokens"] == 32


def test_a_state_that_was_not_kept_is_a_reason(tmp_path):
    model = ROOT / "tests/golden/models/mamba2"
    flags = ["--skip-tokenizer-init", "--enable-cache-report", "--max-total-tokens", "4096", "--page-size", "4"]
    server = Server(str(model), *flags, log=tmp_path / "serve.log")
    try:
        text = [3 + i * 7 % 31 for i in range(100)]
        assert reason(server.url, input_ids=text) == "new"
        assert reason(server.url, input_ids=text[:60] + [40] * 20) == "no_state_checkpoint"
        # Where the two parted the state was kept.
        meta = generate(server.url, input_ids=text[:60] + [50] * 20)[1]["meta_info"]
        assert meta["cached_tokens"] == 60 and meta["cached_tokens_details"]["miss_reason"] == "new"
    finally:
        assert server.stop() == 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_may_ask_for_it_itself(echo, stream):
    body = {"model": "m", "messages": [{"role": "user", "content": f"a new question {stream} " * 5}], "max_tokens": 2}
    plain = call(echo + "/v1/chat/completions", {**body, "stream": stream})[1]
    assert "sglext" not in plain
    text = call(echo + "/v1/chat/completions", {**body, "stream": stream, "return_cached_tokens_details": True})[1]
    if stream:
        assert '"sglext":{"cached_tokens_details":{"device":' in text.strip().split("\n\n")[-2]
    else:
        assert text["sglext"]["cached_tokens_details"]["device"] > 0


def test_one_rank_is_all_there_is(echo):
    assert running(echo) == 0
    assert generate(echo, text="a", data_parallel_rank=0)[0] == 200
    for name in ("data_parallel_rank", "routed_dp_rank"):  # the old name and the new one
        status, error = generate(echo, text="a", **{name: 1})[:2]
        assert status == 400 and error["error"]["param"] == "routed_dp_rank"
