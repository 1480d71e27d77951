# SPDX-License-Identifier: Apache-2.0
"""SGLang's own interface, and what operators see."""

import json

from conftest import MODEL
from wire import call


def generate(url, **body):
    body.setdefault("sampling_params", {"temperature": 0, "max_new_tokens": 8})
    status, reply, _ = call(url + "/generate", body)
    assert status == 200, reply
    return reply


def events(text):
    return [line[6:] for line in text.splitlines() if line.startswith("data: ")]


def test_generate(url):
    reply = generate(url, text="Hello there")
    meta = reply["meta_info"]
    assert set(reply) == {"text", "output_ids", "meta_info"}
    assert len(reply["output_ids"]) == meta["completion_tokens"]
    assert meta["finish_reason"]["type"] in ("stop", "length")
    for key in ("id", "prompt_tokens", "cached_tokens", "weight_version", "e2e_latency"):
        assert key in meta


def test_generate_batch_and_ids(url):
    texts = ["Hello there", "Good morning"]
    many = generate(url, text=texts)
    assert [r["text"] for r in many] == [generate(url, text=t)["text"] for t in texts]
    ids = [call(url + "/tokenize", {"prompt": t})[1]["tokens"] for t in texts]
    assert [r["text"] for r in generate(url, input_ids=ids)] == [r["text"] for r in many]
    both = generate(url, text="Hello there", sampling_params={"n": 2, "max_new_tokens": 3})
    assert len(both) == 2


def test_generate_stream_is_cumulative(url):
    whole = generate(url, text="Hello there")
    body = {"text": "Hello there", "stream": True, "sampling_params": {"temperature": 0, "max_new_tokens": 8}}
    parts = events(call(url + "/generate", body)[1])
    assert parts[-1] == "[DONE]"
    replies = [json.loads(p) for p in parts[:-1]]
    for before, after in zip(replies, replies[1:]):
        assert after["text"].startswith(before["text"])
    assert replies[-1]["text"] == whole["text"]
    assert replies[-1]["output_ids"] == whole["output_ids"]


def test_generate_logprobs(url):
    reply = generate(
        url,
        text="Hello there",
        return_logprob=True,
        logprob_start_len=0,
        top_logprobs_num=2,
        token_ids_logprob=[1, 2],
        return_text_in_logprobs=True,
    )
    meta = reply["meta_info"]
    assert len(meta["input_token_logprobs"]) == meta["prompt_tokens"]
    assert meta["input_token_logprobs"][0][0] is None
    assert [e[1] for e in meta["output_token_logprobs"]] == reply["output_ids"]
    assert all(len(top) == (1 if MODEL == "echo" else 2) for top in meta["output_top_logprobs"])
    assert all([e[1] for e in given] == [1, 2] for given in meta["output_token_ids_logprobs"])
    assert all(isinstance(e[2], str) for e in meta["output_token_logprobs"])


def test_tokenize_round_trip(url):
    for text in ("plain", "naïve café — 木 🌳", "a\n\n\tb"):
        reply = call(url + "/tokenize", {"prompt": text, "add_special_tokens": False})[1]
        assert reply["count"] == len(reply["tokens"])
        assert call(url + "/detokenize", {"tokens": reply["tokens"]})[1]["text"] == text


def test_render_is_what_chat_runs(url):
    messages = [{"role": "user", "content": "Hi!"}]
    rendered = call(url + "/render", {"messages": messages})[1]
    assert rendered["count"] == len(rendered["input_ids"])
    reply = call(url + "/v1/chat/completions", {"messages": messages, "max_tokens": 2})[1]
    assert reply["usage"]["prompt_tokens"] == rendered["count"]


def test_pages(url):
    for path in (
        "/health /health_generate /ready /model_info /get_model_info /server_info /get_server_info "
        "/weight_version /get_weight_version /memory /get_load /v1/loads /v1/models /metrics"
    ).split():
        assert call(url + path)[0] == 200, path
    assert call(url + "/flush_cache", b"")[0] == 200
    for pool in call(url + "/memory")[1]["pools"]:
        assert pool["size"] == pool["used"] + pool["cached"] + pool["free"] + pool["fenced"]


def test_prefix_is_cached(url):
    prompt = "The same beginning of a long enough prompt. " * 8
    call(url + "/flush_cache", b"")
    first = generate(url, text=prompt)["meta_info"]
    second = generate(url, text=prompt)["meta_info"]
    salted = generate(url, text=prompt, extra_key="other")["meta_info"]
    assert first["cached_tokens"] == 0
    assert second["cached_tokens"] > second["prompt_tokens"] // 2
    assert salted["cached_tokens"] == 0


def test_metrics_have_sglangs_names(url):
    generate(url, text="Count me")
    page = call(url + "/metrics")[1]
    for name in (
        "num_running_reqs num_queue_reqs token_usage gen_throughput cache_hit_rate prompt_tokens_total "
        "generation_tokens_total num_requests_total time_to_first_token_seconds_bucket "
        "inter_token_latency_seconds_bucket e2e_request_latency_seconds_bucket http_requests_total"
    ).split():
        assert f"sglang:{name}" in page, name


def test_unknown_paths_and_methods(url):
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("DELETE", "/v1/models", 405),
        ("POST", "/v1/embeddings", 501),
    ):
        code, body, _ = call(url + path, b"{}" if method == "POST" else None, method=method)
        assert code == status
        assert set(body["error"]) == {"message", "type", "param", "code"}
