# SPDX-License-Identifier: Apache-2.0
"""What each field of a request does to the reply, exactly."""

import json

import pytest

from conftest import CONTEXT, MODEL
from wire import call

real = pytest.mark.skipif(MODEL == "echo", reason="the echo model gives every other token no chance")
USER = [{"role": "user", "content": "Name a tree."}]


def post(url, path, **body):
    status, reply, _ = call(url + path, body)
    assert status == 200, reply
    return reply


def complete(url, **body):
    body = {"prompt": "Once upon a time", "max_tokens": 12, "temperature": 0, **body}
    return post(url, "/v1/completions", **body)


def chat(url, **body):
    return post(url, "/v1/chat/completions", **{"messages": USER, "max_tokens": 12, "temperature": 0, **body})


def events(url, path, **body):
    text = post(url, path, stream=True, **body)
    data = [line[6:] for line in text.splitlines() if line]
    assert data[-1] == "[DONE]"
    return [json.loads(item) for item in data[:-1]]


def ids_of(url, text):
    return post(url, "/tokenize", prompt=text, add_special_tokens=False)["tokens"]


EXTRA = {"reasoning_content": None}  # of every delta


def test_chat_chunks(url):
    """Role first, then texts, then the reason, then the usage with no choices."""
    body = {"messages": USER, "max_tokens": 4, "temperature": 0, "stream_options": {"include_usage": True}}
    chunks = events(url, "/v1/chat/completions", **body)
    assert {c["object"] for c in chunks} == {"chat.completion.chunk"}
    assert {(c["id"], c["created"], c["model"]) for c in chunks} == {
        (chunks[0]["id"], chunks[0]["created"], chunks[0]["model"])
    }
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", **EXTRA}
    middle = [c["choices"][0] for c in chunks[1:-2]]
    assert all(set(c["delta"]) == {"content", *EXTRA} and c["finish_reason"] is c["matched_stop"] is None for c in middle)
    assert chunks[-2]["choices"][0]["delta"] == EXTRA and chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert chunks[-1]["choices"] == []
    assert all(c["usage"] is None for c in chunks[:-1])
    usage = chunks[-1]["usage"]
    assert usage["completion_tokens"] == 4 and usage["total_tokens"] == usage["prompt_tokens"] + 4
    plain = events(url, "/v1/chat/completions", messages=USER, max_tokens=4)
    assert all("usage" not in c for c in plain) and plain[-1]["choices"]


def test_usage_of_many_prompts_and_samples(url):
    prompts = ["One", "One two three"]
    counts = [len(post(url, "/tokenize", prompt=p)["tokens"]) for p in prompts]
    body = {"prompt": prompts, "n": 2, "max_tokens": 3, "ignore_eos": True}
    reply = complete(url, **body)
    assert [c["index"] for c in reply["choices"]] == [0, 1, 2, 3]
    assert reply["usage"]["prompt_tokens"] == sum(counts)
    assert reply["usage"]["completion_tokens"] == 4 * 3
    chunks = events(url, "/v1/completions", temperature=0, stream_options={"include_usage": True}, **body)
    assert chunks[-1]["usage"]["prompt_tokens"] == sum(counts) and chunks[-1]["usage"]["completion_tokens"] == 12
    texts = [""] * 4
    for chunk in chunks[:-1]:
        texts[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
    assert texts == [c["text"] for c in reply["choices"]]


def test_echo_for_each_kind_of_prompt(url):
    ids = ids_of(url, "Once upon")
    for prompt in ("Once upon", ids, ["Once upon"], [ids]):
        reply = complete(url, prompt=prompt, echo=True, max_tokens=2)
        assert reply["choices"][0]["text"].startswith("Once upon")
        streamed = events(url, "/v1/completions", prompt=prompt, echo=True, max_tokens=2, temperature=0)
        assert "".join(c["choices"][0]["text"] for c in streamed) == reply["choices"][0]["text"]


def test_completion_logprobs_streamed_are_the_whole_ones(url):
    body = {"prompt": "Once upon", "max_tokens": 5, "temperature": 0, "logprobs": 1, "echo": True}
    whole = complete(url, **body)["choices"][0]["logprobs"]
    parts = [c["choices"][0]["logprobs"] for c in events(url, "/v1/completions", **body)]
    for key in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
        assert sum((p[key] for p in parts if p), []) == whole[key], key
    assert whole["top_logprobs"][0] is None and whole["token_logprobs"][0] is None


def test_limits_of_the_output(url):
    assert chat(url, max_completion_tokens=3, max_tokens=9, ignore_eos=True)["usage"]["completion_tokens"] == 3
    assert chat(url, max_tokens=0)["usage"]["completion_tokens"] == 0
    reply = complete(url, max_tokens=None, stop_token_ids=None)
    assert reply["usage"]["completion_tokens"] <= 16
    assert complete(url, min_tokens=6, max_tokens=6)["usage"]["completion_tokens"] == 6


def test_stop_strings_and_ids(url):
    text = complete(url, max_tokens=30)["choices"][0]["text"]
    for stop in (text[3:5], text[7:12], text[-2:]):
        at = text.index(stop)
        for given in (stop, [stop, "\0never"]):
            choice = complete(url, max_tokens=30, stop=given)["choices"][0]
            assert (choice["text"], choice["finish_reason"], choice["matched_stop"]) == (text[:at], "stop", stop)
    ids = post(
        url, "/generate", text="Once upon a time", sampling_params={"max_new_tokens": 8, "temperature": 0}
    )["output_ids"]
    choice = complete(url, stop_token_ids=[ids[3]])["choices"][0]
    assert choice["finish_reason"] == "stop" and choice["matched_stop"] == ids[3]


@real
def test_logit_bias(url):
    (wanted,) = ids_of(url, " tree")
    reply = complete(url, max_tokens=3, logit_bias={str(wanted): 100})
    assert reply["choices"][0]["text"] == " tree tree tree"
    first = post(
        url, "/generate", text="Once upon a time", sampling_params={"max_new_tokens": 1, "temperature": 0}
    )["output_ids"][0]
    banned = post(
        url,
        "/generate",
        text="Once upon a time",
        sampling_params={"max_new_tokens": 1, "temperature": 0, "logit_bias": {str(first): -100}},
    )
    assert banned["output_ids"][0] != first


@real
def test_characters_cut_by_tokens(url):
    """Tokens that are parts of characters: the stream says what the whole reply says."""
    parts = sorted(set(ids_of(url, "🌳木𝔘é")))
    bias = {str(i): 100 for i in parts}
    for seed in range(4):
        body = {"prompt": "x", "max_tokens": 24, "temperature": 1, "seed": seed, "logit_bias": bias}
        whole = complete(url, **body)["choices"][0]["text"]
        assert "".join(c["choices"][0]["text"] for c in events(url, "/v1/completions", **body)) == whole
        reply = post(
            url,
            "/generate",
            text="x",
            sampling_params={"max_new_tokens": 24, "sampling_seed": seed, "logit_bias": bias},
        )
        assert reply["text"] == whole
        assert post(url, "/detokenize", tokens=reply["output_ids"])["text"] == whole


@real
def test_seed(url):
    texts = [complete(url, temperature=1, seed=s)["choices"][0]["text"] for s in (7, 7, 8)]
    assert texts[0] == texts[1] != texts[2]
    # Alone or in a batch.
    many = complete(url, prompt=["Once upon a time"] * 3, temperature=1, seed=7)
    assert {c["text"] for c in many["choices"]} == {texts[0]}


def test_content_parts_and_tool_messages(url):
    parts = [{"type": "text", "text": "Name"}, {"type": "text", "text": "a tree."}]
    as_parts = post(url, "/render", messages=[{"role": "user", "content": parts}])
    assert as_parts["text"] == post(url, "/render", messages=USER)["text"]
    history = USER + [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "an oak"},
    ]
    assert "an oak" in post(url, "/render", messages=history)["text"]
    assert chat(url, messages=history)["choices"][0]["message"]["role"] == "assistant"


def test_continue_final_message(url):
    messages = USER + [{"role": "assistant", "content": "The oak is"}]
    rendered = post(url, "/render", messages=messages, continue_final_message=True)["text"]
    assert rendered.endswith("The oak is")
    assert chat(url, messages=messages, continue_final_message=True)["usage"]["prompt_tokens"] == len(
        post(url, "/render", messages=messages, continue_final_message=True)["input_ids"]
    )


def test_tools_are_shown_but_not_called(url):
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    status, reply, _ = call(url + "/v1/chat/completions", {"messages": USER, "tools": tools})
    assert status == 400 and reply["error"]["param"] == "tools"
    assert chat(url, tools=tools, tool_choice="none")["choices"][0]["message"]["tool_calls"] is None
    assert post(url, "/render", messages=USER, tools=tools)["count"] > 0
    assert post(url, "/tokenize", messages=USER, tools=tools)["count"] > 0


def test_too_long_names_both_numbers(url):
    for path, body in (
        ("/v1/completions", {"prompt": [5] * (CONTEXT + 7)}),
        ("/generate", {"input_ids": [5] * (CONTEXT + 7)}),
    ):
        status, reply, _ = call(url + path, body)
        assert status == 400
        message = reply["error"]["message"]
        assert str(CONTEXT + 7) in message and str(CONTEXT) in message.replace(str(CONTEXT + 7), "")
    status, reply, _ = call(url + "/v1/completions", {"prompt": [5, 6, 7], "max_tokens": CONTEXT})
    assert status == 400 and str(CONTEXT + 3) in reply["error"]["message"]
    assert complete(url, prompt=[5] * (CONTEXT - 1), max_tokens=1)["usage"]["completion_tokens"] <= 1


def generate(url, **body):
    return post(url, "/generate", **body)


GREEDY = {"temperature": 0, "max_new_tokens": 4, "ignore_eos": True}


def test_generate_batch_of_different_items(url):
    ids = [ids_of(url, "One"), ids_of(url, "One two")]
    reply = generate(
        url,
        input_ids=ids,
        sampling_params=[{**GREEDY, "max_new_tokens": 2}, GREEDY],
        rid=["first", "second"],
        return_logprob=[False, True],
        logprob_start_len=[-1, 0],
        top_logprobs_num=[0, 1],
        extra_key=["a", "b"],
    )
    assert [r["meta_info"]["id"] for r in reply] == ["first", "second"]
    assert [len(r["output_ids"]) for r in reply] == [2, 4]
    assert [r["meta_info"]["prompt_tokens"] for r in reply] == [len(i) for i in ids]
    assert "input_token_logprobs" not in reply[0]["meta_info"]
    assert len(reply[1]["meta_info"]["input_top_logprobs"]) == len(ids[1])
    assert reply[0]["meta_info"]["finish_reason"] == {"type": "length", "length": 2}


def test_generate_prompt_logprobs_from_any_start(url):
    ids = ids_of(url, "One two three four five six")
    whole = generate(
        url, input_ids=ids, return_logprob=True, logprob_start_len=0, sampling_params={**GREEDY, "max_new_tokens": 0}
    )["meta_info"]["input_token_logprobs"]
    assert [e[1] for e in whole] == ids and whole[0][0] is None
    for start in (1, 3, len(ids) - 1, len(ids), -1):
        part = generate(
            url,
            input_ids=ids,
            return_logprob=True,
            logprob_start_len=start,
            sampling_params={**GREEDY, "max_new_tokens": 1},
        )["meta_info"]["input_token_logprobs"]
        assert [e[1] for e in part] == (ids[start:] if start >= 0 else [])
        for got, want in zip(part, whole[start:]):
            assert got[0] == pytest.approx(want[0], abs=1e-4)


def test_generate_streams_of_a_batch(url):
    body = {"text": ["One", "Two"], "sampling_params": {**GREEDY, "n": 2}, "return_logprob": True}
    whole = generate(url, **body)
    last = {}
    for event in events(url, "/generate", **body):
        before = last.get(event["index"])
        if before:
            assert event["output_ids"][: len(before["output_ids"])] == before["output_ids"]
            assert event["meta_info"]["output_token_logprobs"][: len(before["output_ids"])] == (
                before["meta_info"]["output_token_logprobs"]
            )
        last[event["index"]] = event
    assert [last[i]["text"] for i in range(4)] == [r["text"] for r in whole]
    assert all(e["meta_info"]["finish_reason"]["type"] == "length" for e in last.values())


BAD_GENERATE = [
    ({"text": "a", "input_ids": [1]}, "text"),
    ({}, "text"),
    ({"text": 5}, "text"),
    ({"input_ids": [[1], 2]}, "input_ids"),
    ({"input_ids": [10**9]}, "input_ids"),
    ({"input_ids": []}, "input_ids"),
    ({"text": ""}, "text"),
    ({"text": "a", "sampling_params": {"temperature": -1}}, "temperature"),
    ({"text": "a", "sampling_params": {"top_k": 0}}, "top_k"),
    ({"text": "a", "sampling_params": {"max_tokens": 5}}, "max_tokens"),
    ({"text": "a", "sampling_params": {"json_schema": "{}"}}, "json_schema"),
    ({"text": "a", "sampling_params": {"stop": [""]}}, "stop"),
    ({"text": "a", "sampling_params": [{}]}, "sampling_params"),
    ({"text": ["a", "b"], "sampling_params": [{}]}, "sampling_params"),
    ({"text": ["a", "b"], "sampling_params": [{"n": 1}, {"n": 2}]}, "sampling_params"),
    ({"text": "a", "return_logprob": True, "logprob_start_len": 50}, "logprob_start_len"),
    ({"text": "a", "return_logprob": True, "token_ids_logprob": [10**9]}, "token_ids_logprob"),
    ({"text": "a", "image_data": ["x"]}, "image_data"),
    ({"text": "a", "session_params": {"id": "x"}}, "session_params"),
    ({"text": "a", "custom_logit_processor": "x"}, "custom_logit_processor"),
    ({"text": "a", "bootstrap_room": 5}, "bootstrap_room"),
    ({"text": "a", "return_hidden_states": True}, "return_hidden_states"),
    ({"text": "a", "txet": "b"}, "txet"),
]


@pytest.mark.parametrize("body,name", BAD_GENERATE, ids=[f"{n}-{i}" for i, (_, n) in enumerate(BAD_GENERATE)])
def test_bad_generate_names_the_field(url, body, name):
    status, reply, _ = call(url + "/generate", body)
    assert status == 400
    assert reply["error"]["param"] == name and name in reply["error"]["message"]


BAD_COMPLETION = [
    ({"prompt": ""}, "prompt"),
    ({"prompt": []}, "prompt"),
    ({"prompt": [[1], []]}, "prompt"),
    ({"prompt": ["a", [1]]}, "prompt"),
    ({"prompt": [1.0]}, "prompt"),
    ({"prompt": [10**6]}, "prompt"),
    ({"prompt": [-1]}, "prompt"),
    ({"prompt": {}}, "prompt"),
    ({}, "prompt"),
    ({"prompt": "a", "suffix": "b"}, "suffix"),
    ({"prompt": "a", "min_tokens": 9, "max_tokens": 8}, "min_tokens"),
    ({"prompt": "a", "logprobs": True}, "logprobs"),
    ({"prompt": "a", "logprobs": 21}, "logprobs"),
    ({"prompt": "a", "n": 2, "best_of": 3}, "best_of"),
    ({"prompt": "a", "stream_options": {"include_usage": True}}, "stream_options"),
    ({"prompt": "a", "messages": []}, "messages"),
    ({"prompt": "a", "max_completion_tokens": 5}, "max_completion_tokens"),
    ({"prompt": "a", "logit_bias": {"1": "x"}}, "logit_bias"),
    ({"prompt": "a", "logit_bias": {"1000000": 1}}, "logit_bias"),
    ({"prompt": "a", "stop": ["x", ""]}, "stop"),
]


@pytest.mark.parametrize("body,name", BAD_COMPLETION, ids=[f"{n}-{i}" for i, (_, n) in enumerate(BAD_COMPLETION)])
def test_bad_completion_names_the_field(echo, body, name):
    status, reply, _ = call(echo + "/v1/completions", body)
    assert status == 400
    assert reply["error"]["param"] == name and name in reply["error"]["message"]


def test_abort_by_name(echo):
    import threading

    replies = []
    body = {"text": "go", "rid": "named-1", "sampling_params": {"max_new_tokens": 30_000, "ignore_eos": True}}
    thread = threading.Thread(target=lambda: replies.append(call(echo + "/generate", body)))
    thread.start()
    while thread.is_alive():
        call(echo + "/abort_request", {"rid": "named"})  # the beginning of the name is enough
    thread.join()
    status, reply, _ = replies[0]
    assert status == 200 and reply["meta_info"]["finish_reason"]["type"] == "abort"
    assert call(echo + "/abort_request", {})[0] == 400
    assert call(echo + "/abort_request", {"abort_all": True})[0] == 200


def test_methods_and_types(echo):
    body = {"text": "a", "sampling_params": {"max_new_tokens": 1}}
    assert call(echo + "/generate", body, method="PUT")[0] == 200
    assert call(echo + "/generate", body, {"Content-Type": "text/plain"})[0] == 200
    assert call(echo + "/generate")[0] == 405
    assert call(echo + "/generate", b"not json")[0] == 400
    assert call(echo + "/generate", b"[1]")[0] == 400
    for path in ("/v1/models", "/health"):
        assert call(echo + path, method="HEAD")[0] == 200
    status, reply, headers = call(echo + "/v1/completions", method="DELETE")
    assert status == 405 and "POST" in headers["Allow"] and reply["error"]["type"] == "invalid_request_error"
