# SPDX-License-Identifier: Apache-2.0
"""The real openai client against a running server."""

import concurrent.futures
import json
import pathlib
import re
import time

import openai
import pytest

from conftest import MODEL
from wire import call, running

MESSAGES = [{"role": "user", "content": "Tell me of the banyan tree, please."}]
SPEC = pathlib.Path(__file__).resolve().parents[3] / "shared/data/api/openapi.json"


def chat(client, **more):
    more.setdefault("max_tokens", 16)
    more.setdefault("temperature", 0)
    return client.chat.completions.create(model="test-model", messages=MESSAGES, **more)


def complete(client, prompt="Once upon a time", **more):
    more.setdefault("max_tokens", 16)
    more.setdefault("temperature", 0)
    return client.completions.create(model="test-model", prompt=prompt, **more)


def test_models(client):
    models = client.models.list().data
    assert len(models) == 1
    assert client.models.retrieve(models[0].id).id == models[0].id
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model")


def test_chat(client):
    reply = chat(client)
    assert reply.object == "chat.completion"
    choice = reply.choices[0]
    assert choice.message.role == "assistant"
    assert choice.finish_reason in ("stop", "length")
    assert choice.finish_reason == "stop" or reply.usage.completion_tokens == 16
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    assert reply.usage.prompt_tokens_details.cached_tokens >= 0


def test_chat_stream_equals_whole(client):
    whole = chat(client)
    chunks = list(chat(client, stream=True, stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    # What the client has no fields for raises an error where it is asked for and is not there.
    assert all(c.choices[0].delta.reasoning_content is None for c in chunks if c.choices)
    assert all(c.choices[0].matched_stop is None for c in chunks[:-2] if c.choices)
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == whole.choices[0].finish_reason
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert len({c.id for c in chunks}) == 1


def test_stream_helper(client):
    """The client's own assembly of a stream, which is strict about the chunks' shapes."""
    body = dict(model="test-model", messages=MESSAGES, temperature=0, max_tokens=60, stop=["."], logprobs=True)
    with client.chat.completions.stream(**body) as stream:
        kinds = [event.type for event in stream]
        if kinds.count("chunk") and stream.current_completion_snapshot.choices[0].finish_reason == "length":
            with pytest.raises(openai.LengthFinishReasonError):
                stream.get_final_completion()
            return
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done", "logprobs.content.delta"} <= set(kinds)
    assert final.choices[0].message.content == client.chat.completions.create(**body).choices[0].message.content


def test_errors_of_paths_that_are_not_served(client):
    for ask in (
        lambda: client.embeddings.create(model="x", input="a"),
        lambda: client.responses.create(model="x", input="a"),
    ):
        with pytest.raises(openai.APIStatusError) as caught:
            ask()
        assert caught.value.status_code == 501 and "not supported" in caught.value.body["message"]


def test_continuous_usage(client):
    chunks = list(
        chat(client, stream=True, stream_options={"include_usage": True, "continuous_usage_stats": True})
    )
    counts = [c.usage.completion_tokens for c in chunks]
    assert counts == sorted(counts) and counts[-1] > 0


def test_completion(client):
    reply = complete(client)
    assert reply.object == "text_completion"
    assert reply.choices[0].text is not None
    stream = "".join(c.choices[0].text for c in complete(client, stream=True))
    assert stream == reply.choices[0].text


def test_list_and_id_prompts(client, url):
    texts = ["The cat", "A dog"]
    many = complete(client, texts)
    assert [c.index for c in many.choices] == [0, 1]
    assert many.choices[0].text == complete(client, texts[0]).choices[0].text
    ids = [call(url + "/tokenize", {"prompt": t})[1]["tokens"] for t in texts]
    assert [c.text for c in complete(client, ids).choices] == [c.text for c in many.choices]
    assert complete(client, ids[1]).choices[0].text == many.choices[1].text


def test_n(client):
    reply = chat(client, n=4, temperature=1, seed=1)
    assert [c.index for c in reply.choices] == [0, 1, 2, 3]
    again = chat(client, n=4, temperature=1, seed=1)
    assert [c.message.content for c in again.choices] == [c.message.content for c in reply.choices]
    texts = {}
    for chunk in chat(client, n=4, temperature=1, seed=1, stream=True):
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
    assert texts == {c.index: c.message.content for c in reply.choices}


def test_chat_logprobs(client):
    reply = chat(client, logprobs=True, top_logprobs=3)
    entries = reply.choices[0].logprobs.content
    assert len(entries) >= reply.usage.completion_tokens - 1
    for entry in entries:
        assert entry.logprob <= 0 and len(entry.top_logprobs) == (1 if MODEL == "echo" else 3)
        assert entry.top_logprobs[0].logprob >= entry.logprob - 1e-5
    streamed = [
        e
        for c in chat(client, logprobs=True, top_logprobs=3, stream=True)
        if c.choices and c.choices[0].logprobs
        for e in c.choices[0].logprobs.content
    ]
    assert [e.token for e in streamed] == [e.token for e in entries]


def test_completion_logprobs_and_echo(client):
    prompt = "The banyan tree"
    reply = complete(client, prompt, echo=True, logprobs=2, max_tokens=4)
    choice = reply.choices[0]
    assert choice.text.startswith(prompt)
    assert len(choice.logprobs.tokens) == reply.usage.prompt_tokens + reply.usage.completion_tokens
    assert choice.logprobs.token_logprobs[0] is None
    assert all(p is not None and p <= 0 for p in choice.logprobs.token_logprobs[1:])
    offsets = choice.logprobs.text_offset
    assert offsets[0] == 0 and offsets == sorted(offsets)
    for token, begin, end in zip(choice.logprobs.tokens, offsets, [*offsets[1:], len(choice.text)]):
        assert token.startswith("bytes:") or choice.text[begin:end] in (token, ""), (token, begin, end)
    chunks = list(complete(client, prompt, echo=True, logprobs=2, max_tokens=4, stream=True))
    streamed = [offset for chunk in chunks if chunk.choices and chunk.choices[0].logprobs
                for offset in chunk.choices[0].logprobs.text_offset]
    assert streamed == offsets
    # Scoring only: nothing is generated.
    scored = complete(client, prompt, echo=True, logprobs=0, max_tokens=0)
    assert scored.choices[0].text == prompt
    assert scored.usage.completion_tokens == 0


def test_stop(client):
    text = complete(client, max_tokens=40).choices[0].text
    stop = text[4:7]
    first = text.index(stop)
    for stream in (False, True):
        reply = complete(client, max_tokens=40, stop=[stop], stream=stream)
        if stream:
            chunks = list(reply)
            got, reason = "".join(c.choices[0].text for c in chunks), chunks[-1].choices[0].finish_reason
        else:
            got, reason = reply.choices[0].text, reply.choices[0].finish_reason
        assert got == text[:first]
        assert reason == "stop"
    kept = complete(client, max_tokens=40, stop=[stop], extra_body={"no_stop_trim": True})
    assert kept.choices[0].text == text[: first + len(stop)]
    assert kept.choices[0].model_extra["matched_stop"] == stop


def test_closing_a_stream_ends_its_request(client, url, main_server):
    stream = chat(client, stream=True, max_tokens=400, extra_body={"ignore_eos": True, "rid": "closed-early"})
    chunks = iter(stream)
    read = sum(1 for _ in zip(range(4), chunks))
    stream.close()
    line = main_server.await_line('Finish: rid="closed-early"')
    assert "reason=abort" in line
    if MODEL != "echo":  # whose steps take microseconds
        assert int(re.search(r"completion_tokens=(\d+)", line)[1]) <= read + 8
    deadline = time.time() + 10
    while running(url) > 0 and time.time() < deadline:
        time.sleep(0.02)
    assert running(url) == 0


def test_64_parallel_streams(client):
    whole = chat(client, max_tokens=32).choices[0].message.content

    def one(_):
        chunks = list(chat(client, stream=True, max_tokens=32))
        assert chunks[-1].choices[0].finish_reason
        return "".join(c.choices[0].delta.content or "" for c in chunks)

    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        assert set(pool.map(one, range(64))) == {whole}


BAD = [
    ({"temperature": -1}, "temperature"),
    ({"temperature": 1e9}, "temperature"),
    ({"top_p": 0}, "top_p"),
    ({"n": 0}, "n"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"logit_bias": {"x": 1}}, "logit_bias"),
    ({"top_logprobs": 3}, "top_logprobs"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"extra_body": {"regex": "a"}}, "regex"),
    ({"extra_body": {"ebnf": "a"}}, "ebnf"),
    ({"extra_body": {"lora_path": "a"}}, "lora_path"),
    ({"extra_body": {"no_such_field": 1}}, "no_such_field"),
    ({"modalities": ["audio"]}, "modalities"),
]


@pytest.mark.parametrize("fields,name", BAD, ids=[f"{n}-{i}" for i, (_, n) in enumerate(BAD)])
def test_bad_requests_name_the_field(client, fields, name):
    with pytest.raises(openai.BadRequestError) as caught:
        chat(client, **fields)
    assert name in caught.value.body["message"]
    assert caught.value.body["param"] == name
    assert caught.value.body["type"] == "invalid_request_error"


def test_images_are_refused(client):
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    with pytest.raises(openai.BadRequestError, match="image_url"):
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": [image]}])


def test_a_prompt_that_does_not_fit_is_refused_with_both_numbers(client, url):
    limit = client.models.list().data[0].model_extra["max_model_len"]
    with pytest.raises(openai.BadRequestError) as caught:
        complete(client, [5] * (limit + 10))
    assert str(limit + 10) in str(caught.value)


def schema(name):
    spec = json.loads(SPEC.read_text())
    return {"$ref": f"#/components/schemas/{name}", "components": spec["components"]}


def test_replies_match_openais_specification(url):
    jsonschema = pytest.importorskip("jsonschema")
    if not SPEC.exists():
        pytest.skip(f"{SPEC} is not there")
    body = {"messages": MESSAGES, "max_tokens": 4, "logprobs": True, "top_logprobs": 1}
    whole = call(url + "/v1/chat/completions", body)[1]
    jsonschema.Draft202012Validator(schema("CreateChatCompletionResponse")).validate(prune(whole))
    text = call(url + "/v1/chat/completions", {**body, "stream": True})[1]
    events = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    for event in events[:-1]:
        jsonschema.Draft202012Validator(schema("CreateChatCompletionStreamResponse")).validate(
            prune(json.loads(event), keep_logprobs=False)
        )
    reply = call(url + "/v1/completions", {"prompt": "a", "max_tokens": 3})[1]
    jsonschema.Draft202012Validator(schema("CreateCompletionResponse")).validate(reply)
    jsonschema.Draft202012Validator(schema("ListModelsResponse")).validate(call(url + "/v1/models")[1])
    error = call(url + "/v1/chat/completions", {})[1]
    jsonschema.Draft202012Validator(schema("ErrorResponse")).validate(error)


def test_every_field_of_openais_is_known(url):
    """A field of the specification is done or refused with a reason, never called unknown."""
    if not SPEC.exists():
        pytest.skip(f"{SPEC} is not there")
    schemas = json.loads(SPEC.read_text())["components"]["schemas"]

    def properties(schema):
        found = dict(schema.get("properties", {}))
        for part in schema.get("allOf", []):
            found |= properties(schemas[part["$ref"].rsplit("/", 1)[1]] if "$ref" in part else part)
        return found

    for name, path, body in (
        ("CreateChatCompletionRequest", "/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 1}),
        ("CreateCompletionRequest", "/v1/completions", {"prompt": "a", "max_tokens": 1}),
    ):
        fields = properties(schemas[name])
        assert len(fields) > 15
        for field in fields:
            status, reply, _ = call(url + path, {**body, field: [{"no": "sense"}]})
            assert status == 400 and reply["error"]["param"] == field, (field, reply)
            assert "is not a field" not in reply["error"]["message"], (field, reply)


def prune(reply, keep_logprobs=True):
    """Leaves out SGLang's fields that are null where OpenAI's would be absent."""
    for choice in reply["choices"]:
        message = choice.get("message", {})
        for key in ("tool_calls", "reasoning_content"):
            if message.get(key, 1) is None:
                del message[key]
        if not keep_logprobs:
            if choice.get("logprobs") is None:
                choice.pop("logprobs", None)
            else:
                choice["logprobs"]["refusal"] = []
        if not keep_logprobs and choice.get("finish_reason") is None:
            # The specification's 'nullable' means nothing to a validator of this draft.
            choice["finish_reason"] = "stop"
    if reply.get("usage", 1) is None:
        del reply["usage"]
    return reply
