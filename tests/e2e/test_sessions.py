# SPDX-License-Identifier: Apache-2.0
"""Sessions, pausing, priorities, full queues: what clients and operators of a schedule see."""

import concurrent.futures
import re
import threading
import time

import pytest

from wire import call, running


def generate(url, **body):
    body.setdefault("sampling_params", {"temperature": 0, "max_new_tokens": 4})
    status, reply = call(url + "/generate", body)[:2]
    return status, reply


def ids(reply):
    return reply["output_ids"]


def test_a_session_goes_on_branches_and_closes(echo):
    status, session = call(echo + "/open_session", {"capacity_of_str_len": 1000})[:2]
    assert status == 200 and isinstance(session, str) and session
    status, first = generate(echo, input_ids=[65, 66, 97], rid="one", session_params={"id": session})
    assert status == 200 and ids(first) == [98, 99, 100, 101]
    assert first["meta_info"]["prompt_tokens"] == 3
    # The whole of it, and what is new.
    status, second = generate(echo, input_ids=[109], rid="two", session_params={"id": session, "rid": "one"})
    assert status == 200 and ids(second) == [110, 111, 112, 113]
    assert second["meta_info"]["prompt_tokens"] == 8
    status, branch = generate(
        echo, input_ids=[48], rid="three", session_params={"id": session, "rid": "one", "offset": 2}
    )
    assert status == 200 and branch["meta_info"]["prompt_tokens"] == 3
    status, dropped = generate(
        echo, input_ids=[48], session_params={"id": session, "rid": "two", "drop_previous_output": True}
    )
    assert status == 200 and dropped["meta_info"]["prompt_tokens"] == 9
    status, replaced = generate(
        echo, input_ids=[48], rid="four", session_params={"id": session, "rid": "one", "replace": True}
    )
    assert status == 200 and replaced["meta_info"]["prompt_tokens"] == 8
    status, gone = generate(echo, input_ids=[48], session_params={"id": session, "rid": "two"})
    assert status == 400 and gone["error"]["param"] == "session_params"
    status, many = generate(
        echo, input_ids=[48], session_params={"id": session}, sampling_params={"n": 2, "max_new_tokens": 2}
    )
    assert status == 400 and many["error"]["param"] == "session_params"
    assert call(echo + "/close_session", {"session_id": session})[0] == 200
    # SGLang answers the same where there is no such session.
    assert call(echo + "/close_session", {"session_id": session})[0] == 200
    assert call(echo + "/close_session", {})[0] == 400
    assert generate(echo, input_ids=[48], session_params={"id": session})[0] == 400


def test_a_session_by_name_and_with_a_time(echo):
    body = {"capacity_of_str_len": 10, "session_id": "mine", "timeout": 0.2}
    assert call(echo + "/open_session", body)[:2] == (200, "mine")
    assert call(echo + "/open_session", body)[0] == 400
    time.sleep(0.5)
    assert generate(echo, input_ids=[48], session_params={"id": "mine"})[0] == 400
    assert call(echo + "/open_session", {"capacity_of_str_len": 10, "streaming": True})[0] == 400


def test_a_turn_without_a_length_gets_what_fits_behind_its_past(start):
    url = start("--context-length", "200").url
    session = {"id": call(url + "/open_session", {"capacity_of_str_len": 10})[1]}
    assert generate(url, input_ids=[97] * 100, rid="one", session_params=session)[0] == 200
    turn = {"input_ids": [97] * 60, "session_params": {**session, "rid": "one"}}
    status, reply = generate(url, **turn, sampling_params={"ignore_eos": True})
    assert status == 200 and len(ids(reply)) == 200 - 164
    assert generate(url, **turn, sampling_params={"max_new_tokens": 37})[0] == 400


LONG = {"max_new_tokens": 20000, "ignore_eos": True, "temperature": 0}


def in_background(url, pool, **body):
    return pool.submit(generate, url, **body)


def test_pausing_holds_and_continuing_loses_nothing(start):
    url = start().url
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for mode in ("in_place", "retract"):
            one = in_background(url, pool, input_ids=[97], sampling_params=LONG)
            time.sleep(0.1)
            status, reply = call(url + "/pause_generation", {"mode": mode})[:2]
            assert status == 200 and reply["status"] == "ok"
            late = in_background(url, pool, input_ids=[98])
            time.sleep(0.3)
            assert not one.done() and not late.done()
            assert call(url + "/health_generate", None)[0] == 200
            assert call(url + "/flush_cache", {})[0] == (200 if mode == "retract" else 400)
            assert call(url + "/continue_generation", {})[0] == 200
            status, reply = one.result(60)
            assert status == 200 and len(ids(reply)) == 20000
            # The printable letters in a circle, without a gap.
            assert all(b == a + 1 or (a, b) == (126, 32) for a, b in zip(ids(reply), ids(reply)[1:]))
            assert late.result(60)[0] == 200
        one = in_background(url, pool, input_ids=[97], sampling_params=LONG)
        time.sleep(0.1)
        assert call(url + "/pause_generation", {})[0] == 200
        status, reply = one.result(10)
        assert status == 200 and reply["meta_info"]["finish_reason"]["type"] == "abort"
        late = in_background(url, pool, input_ids=[98])
        time.sleep(0.2)
        assert not late.done()
        assert call(url + "/continue_generation", {"torch_empty_cache": False})[0] == 200
        assert late.result(10)[0] == 200
        assert call(url + "/pause_generation", {"mode": "gently"})[0] == 400


def test_a_better_priority_takes_a_place_and_a_full_queue_gives_one_up(start):
    flags = ["--enable-priority-scheduling", "--max-running-requests", "1", "--max-queued-requests", "1"]
    url = start(*flags).url
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        call(url + "/pause_generation", {"mode": "in_place"})
        low = in_background(url, pool, input_ids=[97], priority=1)
        time.sleep(0.2)
        high = in_background(url, pool, input_ids=[97], priority=2)
        status, reply = low.result(10)
        assert status == 429 and "higher priority" in reply["error"]["message"]
        status, reply = generate(url, input_ids=[97], priority=2)
        assert status == 429 and "queue is full" in reply["error"]["message"]
        call(url + "/continue_generation", {})
        assert high.result(10)[0] == 200
        # Of two that wait, the better one first; the one that runs gives way.
        one = in_background(url, pool, input_ids=[97], sampling_params={**LONG, "max_new_tokens": 30000}, priority=0)
        time.sleep(0.1)
        began = time.time()
        assert generate(url, input_ids=[97], priority=100)[0] == 200
        assert not one.done(), f"it took {time.time() - began} s"
        assert len(ids(one.result(60)[1])) == 30000
    refusing = start("--abort-on-priority-when-disabled").url
    assert generate(refusing, input_ids=[97], priority=1)[0] == 503
    assert generate(refusing, input_ids=[97])[0] == 200


def test_a_full_queue_says_when_to_come_back(start):
    url = start("--max-running-requests", "1", "--max-queued-requests", "2").url
    replies = []

    def send():
        replies.append(call(url + "/generate", {"input_ids": [97], "sampling_params": LONG}))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [reply for reply in replies if reply[0] == 429]
    assert refused and len(refused) <= 6
    for reply in refused:
        assert int(reply[2]["Retry-After"]) >= 1


@pytest.mark.parametrize("by", ["user", "header"])
def test_keys_that_wait_get_equal_tokens(start, by):
    flags = ["--enable-fair-share", "--max-running-requests", "2", "--max-queued-requests", "1000"]
    server = start(*flags, "--log-requests", "--log-requests-level", "0")

    def send(name, count):
        body = {"model": "m", "prompt": [[97]] * count, "max_tokens": 40, "temperature": 0, "ignore_eos": True}
        body["rid"] = [f"{name}-{i}" for i in range(count)]
        if by == "user":
            body["user"] = name
        headers = {} if by == "user" else {"X-SMG-Routing-Key": name}
        return call(server.url + "/v1/completions", body, headers)

    def await_requests(count):
        deadline = time.time() + 20
        while running(server.url) < count:
            assert time.time() < deadline
            time.sleep(0.02)

    # Ten times the load, and there first.
    assert call(server.url + "/pause_generation", {"mode": "in_place"})[0] == 200
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        heavy = pool.submit(send, "heavy", 200)
        await_requests(200)
        light = pool.submit(send, "light", 20)
        await_requests(220)
        assert call(server.url + "/continue_generation", {})[0] == 200
        assert [reply.result(60)[0] for reply in (heavy, light)] == [200, 200]
    # In the order in which they ended, each with as many tokens as any other.
    ends = re.findall(r'Finish: rid="(heavy|light)-', server.lines())
    assert len(ends) == 220
    while_both_wait = ends[: len(ends) - ends[::-1].index("light")]
    assert while_both_wait.count("light") == 20
    assert abs(while_both_wait.count("heavy") - 20) <= 2
