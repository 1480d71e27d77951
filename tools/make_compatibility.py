#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes docs/sglang-compatibility.md from SGLang's names (tools/sglang-0.5.14.json) and the binary's own tables.

  tools/make_compatibility.py BANYAN_BINARY            writes the page
  tools/make_compatibility.py BANYAN_BINARY --check    fails when the page is not what would be written
  tools/make_compatibility.py --names FOLDER           makes the list of names from sglang-0.5.14-*.json
"""

import argparse
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]
NAMES = ROOT / "tools/sglang-0.5.14.json"
PAGE = ROOT / "docs/sglang-compatibility.md"

# Metrics that are not there, by how their names begin. The first that fits counts.
METRIC_REASONS = [
    ("cuda_graph is_cuda_graph", "not yet", "CUDA is not built"),
    ("lora_", "not yet", "adapters are not built"),
    ("spec_", "not yet", "speculation is not built"),
    (
        "hicache_ load_back prefetch backup backuped prefetched",
        "not yet",
        "the cache has one tier so far",
    ),
    (
        "kv_transfer num_prefill num_decode num_bootstrap num_transfer pending_prealloc",
        "not yet",
        "prefill and decode run in one process",
    ),
    ("num_grammar grammar_ num_so_requests", "not yet", "constrained decoding is not built"),
    ("eplb_", "not yet", "mixtures of experts are not spread over devices yet"),
    (
        "num_streaming_sessions streaming_session failed_session",
        "not yet",
        "sessions find their past through the prefix cache",
    ),
    ("prefill_delayer", "not yet", "the prefill delayer is not built"),
    ("dp_cooperation", "not yet", "data-parallel ranks do not compute together"),
    ("estimated_", "not yet", "operation counts are not estimated"),
    ("startup_available_gpu", "refused", "there is no GPU backend that it could speak of"),
    ("func_latency process_cpu get_loads", "refused", "it measures SGLang's Python functions"),
    ("weight_load_", "not yet", "it is of weights that are replaced while the server runs"),
    ("fwd_occupancy", "not yet", "forward_execution_seconds_total tells how long steps took"),
    ("", "not yet", "not counted so far"),
]

# What SGLang calls a GaugeHistogram: on the page, a gauge for each range of values.
GAUGE_HISTOGRAMS = {"sglang:routing_key_running_req_count", "sglang:routing_key_all_req_count"}

# What behaves otherwise than SGLang under the same name, and why.
DIFFERENCES = """\
- **Errors** have OpenAI's form, `{"error": {"message", "type", "param", "code"}}`, on every path, `/generate` too.
- **A full queue** answers 429 with `Retry-After` (SGLang: 503). `--max-queued-requests` has a default, and what comes while
  nobody waits counts only beyond the free rows; more samples than rows and queue together are a 400.
- **Unknown request fields** are a 400 that names the field and the nearest one that exists; SGLang ignores them. A field
  that is known but not done is a 400 with the reason, unless its value asks for what is so anyway.
- **`--api-key`** closes every path but `/health`; `--open-paths /metrics ...` opens others. SGLang leaves `/metrics` and
  everything that begins with `/health` open. Control paths and `--admin-api-key` are as in SGLang.
- **Pages of other origins** get no CORS headers (SGLang allows every origin); compressed bodies are a 415.
- **Prompts are never cut**: one that does not fit is refused with both numbers (`--allow-auto-truncate` is refused).
- **`continue_final_message`** continues the last assistant message, tokenized together with the prompt (SGLang tokenizes the
  two apart). Without it an assistant message at the end stays an assistant message; SGLang turns it into a user message.
  A last message with `tool_calls` or `reasoning_content` cannot be continued and is a 400 (SGLang drops them).
- **`/v1/completions`** takes missing sampling parameters from generation_config.json as chat does (SGLang: chat only).
- **Any model name** is accepted, as in SGLang; replies carry the name of the model that answered, not the one asked for.
- **`best_of`** beyond `n` is refused (SGLang ignores it).
- **`reasoning_effort`** other than `none` turns `thinking` and `enable_thinking` on in templates that ask for them (SGLang: `none`
  turns them off, the others leave them alone); `chat_template_kwargs` has the last word.
- **`n` above 1** on `/generate`: the samples of a prompt carry its `rid`, by which they are aborted (SGLang: new random names).
- **`prompt_tokens_details.cached_tokens`** is always there; **metrics** are always on.
- **Schedule policies** never let a request starve: but for `fcfs`, every eighth admission is that of the request that came
  first (with priorities, of its equals); without mixed chunks every ninth step at the latest is for outputs. `lpm` works at any length of the queue (SGLang: fcfs beyond 128), on matches that are brought up to
  date within a budget per step; `dfs-weight` orders the 128 requests that came first. `--schedule-policy priority` is
  `--enable-priority-scheduling`.
- **`--enable-dynamic-chunking`** needs no pipeline: chunks of equal time, by a fit to the steps measured while serving.
- **A retracted or preempted request** leaves what it computed in the cache, and is never given up for a newcomer.
- **`/flush_cache`** answers 200 whenever nothing holds any of the cache: after a pause with mode `retract` too, while requests
  wait (SGLang: only when none is there).
- **`--dp-size`** splits `--threads`, `--max-running-requests` and the memory for caches among engines in one process, which
  share the weights; `--max-total-tokens` is of each. `--load-balance-method auto` is `round_robin`; `cache_aware` is Banyan's
  own: the rank that has at least half of the prompt, unless it has 32 requests and half as many again more than the least;
  else the rank with the fewest tokens. A session stays on one rank.
- **KV events** have hashes of 64 bits that begin with the `extra_key`, behind the bytes `\\xFF<length>:` for a text beyond the length that the model's rope looks at (SGLang: of the tokens alone); the medium is `"GPU"`
  on a CPU too: the tier that attention reads. A block is stored while a request could resume at its end or behind it.
  `GET /cache_blocks` (Banyan's own, a control path) gives the blocks of one rank and the number of the first event that is
  not in them, for a consumer that comes after `buffer_steps`.
- **`--enable-cache-report`** adds `cached_tokens_details` to `meta_info`, and to OpenAI replies within `sglext`:
  `{"device", "host", "miss_reason"}`, where `miss_reason` (Banyan's own) says why the hit ended where it did: `new`, `evicted`
  (the next page was there not long ago), `extra_key` (another key or salt has it, or a text on the other side of the length that the model's rope looks at), `no_state_checkpoint`, `window_gone`,
  `disabled`, or null. With several prompts it is that of the first. A request's `return_cached_tokens_details` adds the counts
  alone: the reason tells what others have sent, so only the operator's flag shows it.
- **`cache_salt` and `extra_key`** together are a key of their own: ("a", "bc") shares nothing with ("ab", "c"), as it does in
  SGLang, which joins the two. Each has 4,096 bytes at most: the cache keeps them.
- **`log_metrics: false`** keeps a request out of the series that SGLang's tokenizer manager counts (requests, tokens, time to
  the first token, between tokens and to the end); steps, queue, stages and aborts have every request.
- **Clients that read slowly**: a stream of which more than 8 MiB wait is cut when its client has taken none of it for 5
  seconds, when 256 MiB of it wait, or when 1 GiB of all streams together do (SGLang keeps any amount).
- **`/v1/loads`** is JSON; `/metrics` is the page for Prometheus (`format=prometheus` is refused).
- **`X-Data-Parallel-Rank`** says which rank a request goes to on `/generate` too (SGLang: on OpenAI's paths), unless it is of
  a session, whose rank a router does not know.
- **`/pause_generation`** answers when no step is under way any more; deadlines go on while generation stands still. While
  the server shuts down it is refused (503).
- **Sessions** keep token ids, and the prefix cache what was computed; `capacity_of_str_len` is read and bounds nothing, all
  sessions together keep at most four caches full of tokens, for which a request counts 64 beside its own. A request of a
  session has one sample; those that still run are aborted when it is closed.
- **`--max-queued-tokens`** and **`--enable-fair-share`** are Banyan's own: a bound on what waits, and equal shares for the
  users (`user`, else `routing_key` or the header `x-smg-routing-key`) that wait. In a body
  these, and `safety_identifier`, have 512 bytes at most.
- **`--mamba-backend`** and **`--linear-attn-backend`** (and its decode and prefill) take `auto` and `cpu`: there is one set of
  kernels for recurrent layers, the same for prefill and decode, whose bits do not depend on how a prompt is cut.
- **`--mamba-track-interval`** is 64 (SGLang: 256), so that a conversation computes at most so many tokens again.
- **`--enable-mixed-chunk`** is on by default, `--page-size` is 16 (SGLang: off, 1). Measured with SmolLM2-135M on two cores,
  2 requests a second of ShareGPT's lengths, chunks of 256, two runs each: 99th percentile of the time between tokens 0.42 s
  with mixed chunks and 0.76 s without, 90th of the time to the first token 1.67 s and 1.51 s, tokens a second equal.
- **`--radix-eviction-policy`** is `lru`, as in SGLang, and the best online one on Mooncake's conversation trace (`banyan bench
  cache --trace`): of the prompts' tokens it finds 28.7 % in a cache of 10 % of the distinct blocks (fifo 28.5, slru and lfu
  20.0, the offline optimum 37.4) and 36.7 % in one of 40 % (optimum 37.4).
- **Reasoning** stays in `content` (`reasoning_tokens` is 0), and chat requests with `tools` are refused, until their formats are built; `/render` and
  `/tokenize` show the prompt with tools.
- **`/metrics`**: the names are SGLang's, so they have a colon, of which `promtool check metrics` says that it is for recording
  rules alone, and exits with 3; it finds nothing else (with `--collect-tokens-histogram`: that three names say their type; once
  a request has a routing key: that the gauges of keys by their requests have SGLang's label `le`). A start's phases, the
  `context` of `sglang:startup_latency_breakdown_seconds_max`, are Banyan's own; `sglang:routing_keys_active` counts the keys of
  the header alone, as in SGLang.
  `sglang:utilization` is SGLang's formula with `--max-running-requests` for the number that runs within an SLO, which nothing
  sets there; `sglang:per_stage_req_latency_seconds` has the stages `request_process` and `prefill_forward`;
  `sglang:forward_execution_seconds_total` has the categories `extend`, `decode` and `mixed`.
- **`--json-model-override-args`** replaces keys of a GGUF file's config too, under their names in config.json.
- **`logprob_start_len`** above 0 gives the first token its value too (SGLang: null, as for the first token of the prompt).
"""

# A request that is answered, for each schema whose path is served, and where in it the fields stand.
MINIMAL = {
    "ChatCompletionRequest": {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1},
    "CompletionRequest": {"prompt": "x", "max_tokens": 1},
    "GenerateReqInput": {"text": "x", "sampling_params": {"max_new_tokens": 1}},
    "TokenizeRequest": {"prompt": "x"},
    "DetokenizeRequest": {"tokens": [65]},
    "AbortReq": {"rid": "x"},
    "StreamOptions": {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1, "stream": True},
    "SamplingParams": {"text": "x"},
}
WITHIN = {"StreamOptions": "stream_options", "SamplingParams": "sampling_params"}
# SGLang's OpenAPI leaves these two without a path, the second without its fields.
EXTRA_PATHS = {"StreamOptions": "/v1/chat/completions", "SamplingParams": "/generate"}
SAMPLING_PARAMS = """max_new_tokens stop stop_token_ids stop_regex temperature top_p top_k min_p frequency_penalty
presence_penalty repetition_penalty min_new_tokens n json_schema regex ebnf structural_tag ignore_eos skip_special_tokens
spaces_between_special_tokens no_stop_trim custom_params stream_interval logit_bias sampling_seed""".split()
# What a field is asked with: of no type that any field has, so that one that is read is refused for its type.
PROBE = {"probe": 1}
TOOL = {"type": "function", "function": {"name": "f"}}
PROBES = {"tools": {"tools": [TOOL]}, "tool_choice": {"tools": [TOOL], "tool_choice": TOOL}}
# Read, checked and rightly of no effect.
NO_EFFECT = {
    ("SamplingParams", "spaces_between_special_tokens"): "as with SGLang's fast tokenizers, whose decoding knows no such spaces",
}
NOT_YET = (" yet", " so far", "one process", "old form of 'tools'")


def names_from(folder):
    folder = pathlib.Path(folder)
    read = lambda part: json.loads((folder / f"sglang-0.5.14-{part}.json").read_text())
    flags = [[name for name in flag["flags"] if name.startswith("--")] for flag in read("flags")]
    api = read("openapi")
    paths = dict(EXTRA_PATHS)
    for path, methods in api["paths"].items():
        for method in methods.values():
            text = json.dumps(method.get("requestBody", {}))
            if "#/components/schemas/" in text:
                paths.setdefault(text.split("#/components/schemas/")[1].split('"')[0], path)
    fields = {name: list(api["components"]["schemas"].get(name, {}).get("properties", {})) for name in paths}
    fields["SamplingParams"] = SAMPLING_PARAMS
    names = {
        "flags": [" ".join(flag) for flag in flags if flag and flag != ["--help"]],
        "routes": [" ".join(route) for route in read("routes")],
        "metrics": {name: kind.lower() for name, kind in sorted(read("metrics").items())},
        "schemas": {name: {"path": path, "fields": fields[name]} for name, path in sorted(paths.items())},
    }
    NAMES.write_text(json.dumps(names, indent=0) + "\n")


def metric_fate(name):
    stem = name.removeprefix("sglang:")
    for starts, fate, reason in METRIC_REASONS:
        if not starts or any(stem.startswith(start) for start in starts.split()):
            return fate, reason


def table(title, rows):
    """`rows`: (name, fate, note)."""
    done = sum(fate == "done" for _, fate, _ in rows)
    lines = [f"## {title}", "", f"{done} of {len(rows)} done.", "", "| name | state | |", "|---|---|---|"]
    order = {"done": 0, "no effect": 1, "not yet": 2, "refused": 3}
    for name, fate, note in sorted(rows, key=lambda row: (order[row[1]], row[2] if row[1] != "done" else "", row[0])):
        escaped = note.replace("|", "\\|")
        lines.append(f"| `{name}` | {fate} | {escaped} |")
    return "\n".join(lines) + "\n"


class EchoServer:
    """`banyan serve` with the echo model, to be asked what it makes of a field."""

    def __init__(self, banyan):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        self.template = tempfile.NamedTemporaryFile("w", suffix=".jinja")
        self.template.write("{% for message in messages %}{{ message.content }}{% endfor %}")
        self.template.flush()
        flags = ["--model-path", "echo", "--log-level", "error", "--chat-template", self.template.name]
        self.process = subprocess.Popen([banyan, "serve", "--port", self.url.rsplit(":", 1)[1], *flags])

    def __enter__(self):
        for _ in range(200):
            try:
                urllib.request.urlopen(self.url + "/ready")
                return self
            except OSError:
                time.sleep(0.05)
        sys.exit("the server did not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.template.close()

    def post(self, path, body):
        try:
            urllib.request.urlopen(urllib.request.Request(self.url + path, json.dumps(body).encode()))
            return ""
        except urllib.error.HTTPError as error:
            return json.loads(error.read())["error"]["message"]


def field_fate(server, schema, path, field):
    body = dict(MINIMAL[schema])
    asked = PROBES.get(field, {field: PROBE})
    body.update({WITHIN[schema]: asked} if schema in WITHIN else asked)
    if schema == "TokenizeRequest" and field != "prompt":  # some are fields of chats only
        body = {"messages": [{"role": "user", "content": "x"}], **asked}
        if field == "add_special_tokens":
            body = {"prompt": "x", **asked}
    message = server.post(path, body)
    if f"'{field}' is not a field" in message:
        sys.exit(f"the binary knows nothing of {schema}.{field}: {message}")
    reason = message.partition("is not supported: ")[2]
    if not reason:
        note = NO_EFFECT.get((schema, field))
        return ("no effect", note) if note else ("done", "")
    return "not yet" if any(part in reason for part in NOT_YET) else "refused", reason


def schema_rows(banyan, names, routes):
    """The fields of requests; of a path that is not served, all in one row."""
    rows = []
    with EchoServer(banyan) as server:
        for schema, entry in names.items():
            if schema in MINIMAL:
                for field in entry["fields"]:
                    rows.append((f"{schema}.{field}", *field_fate(server, schema, entry["path"], field)))
                continue
            route = next(route for (_, path), route in routes.items() if path == entry["path"])
            rows.append((f"{schema}.*", route["fate"], f"{entry['path']}: {route['note']}"))
    return rows


def page(banyan):
    output = subprocess.run([banyan, "compat"], check=True, capture_output=True, text=True).stdout
    have, names = json.loads(output), json.loads(NAMES.read_text())
    flags = {flag["name"]: flag for flag in have["flags"]}
    routes = {(route["method"], route["path"]): route for route in have["routes"]}
    missing, flag_rows, route_rows, metric_rows = [], [], [], []
    for aliases in names["flags"]:
        known = [flags[name] for name in aliases.split() if name in flags]
        if len(known) < len(aliases.split()):
            missing.append(aliases)
            continue
        note = known[0]["note"] if known[0]["fate"] != "done" else ""
        flag_rows.append((", ".join(aliases.split()), known[0]["fate"], note))
    for name in names["routes"]:
        method, path = name.split(" ", 1)
        route = routes.get(("GET" if method == "HEAD" else method, path))
        if route is None:
            missing.append(name)
        else:
            route_rows.append((name, route["fate"], route["note"]))
    for name, kind in names["metrics"].items():
        if name in have["metrics"]:
            if name in GAUGE_HISTOGRAMS:
                kind = "gauge"
            if kind not in ("?", have["metrics"][name]):
                sys.exit(f"{name} is a {have['metrics'][name]} here and a {kind} in SGLang")
            metric_rows.append((name, "done", ""))
        else:
            metric_rows.append((name, *metric_fate(name)))
    if missing:
        sys.exit(f"the binary says nothing of: {missing}")
    own_flags = sorted(set(flags) - {name for aliases in names["flags"] for name in aliases.split()} - {"--help"})
    sglang_routes = {name.split(" ", 1)[1] for name in names["routes"]}
    own_routes = sorted(
        f"{r['method']} {r['path']}" for r in have["routes"] if r["path"] not in sglang_routes and r["fate"] == "done"
    )
    listed = lambda items: ", ".join(f"`{item}`" for item in items)
    return "\n".join(
        [
            "# SGLang's interface in Banyan",
            "",
            "What of SGLang 0.5.14's flags, routes, request fields and metrics `banyan serve` has: each is done, accepted without",
            "effect, not there yet, or refused for good, with the reason that the binary itself gives. Made by",
            "`tools/make_compatibility.py` from the binary's tables and answers; do not edit by hand.",
            "",
            "## What differs under the same name",
            "",
            DIFFERENCES,
            f"Of our own besides: flags {listed(own_flags)}; routes {listed(own_routes)}.",
            "",
            table("Flags", flag_rows),
            table("Routes", route_rows),
            table("Request fields", schema_rows(banyan, names["schemas"], routes)),
            table("Metrics", metric_rows),
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("banyan", nargs="?")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--names", metavar="FOLDER")
    options = parser.parse_args()
    if options.names:
        return names_from(options.names)
    if not options.banyan:
        parser.error("which binary?")
    text = page(options.banyan)
    if not options.check:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        sys.exit(f"{PAGE} is out of date: run tools/make_compatibility.py BANYAN_BINARY")


if __name__ == "__main__":
    main()
