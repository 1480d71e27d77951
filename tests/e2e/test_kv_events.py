# SPDX-License-Identifier: Apache-2.0
"""KV events: a router's mirror of the prefix cache, kept by what the server publishes."""

import json
import random
import socket
import time

import msgspec
import pytest
import zmq

from wire import call


class BlockStored(msgspec.Struct, array_like=True, omit_defaults=True, tag=True):
    block_hashes: list[int]
    parent_block_hash: int | None
    token_ids: list[int]
    block_size: int
    lora_id: int | None
    medium: str | None = None


class BlockRemoved(msgspec.Struct, array_like=True, omit_defaults=True, tag=True):
    block_hashes: list[int]
    medium: str | None = None


class AllBlocksCleared(msgspec.Struct, array_like=True, omit_defaults=True, tag=True):
    pass


class Batch(msgspec.Struct, array_like=True, omit_defaults=True):
    ts: float
    events: list[BlockStored | BlockRemoved | AllBlocksCleared]
    attn_dp_rank: int | None = None


class Consumer:
    """Follows one rank. `lose` of the messages are dropped as if the network had."""

    def __init__(self, port, replay_port, topic=b"", lose=0.0):
        self.context = zmq.Context()
        self.sub = self.context.socket(zmq.SUB)
        self.sub.connect(f"tcp://127.0.0.1:{port}")
        self.sub.setsockopt(zmq.SUBSCRIBE, topic)
        self.replay_socket = self.context.socket(zmq.DEALER)
        self.replay_socket.connect(f"tcp://127.0.0.1:{replay_port}")
        self.decoder = msgspec.msgpack.Decoder(Batch)
        self.topic, self.lose, self.random = topic, lose, random.Random(1)
        self.next = 0
        self.blocks = {}  # hash: (parent, tokens)
        self.lost = self.replayed = 0
        self.ranks, self.kinds = set(), set()

    def close(self):
        self.context.destroy(linger=0)

    def apply(self, seq, payload):
        if seq < self.next:
            return
        assert seq == self.next, "applied out of order"
        self.next += 1
        batch = self.decoder.decode(payload)
        assert abs(batch.ts - time.time()) < 600
        self.ranks.add(batch.attn_dp_rank)
        for event in batch.events:
            self.kinds.add(type(event).__name__)
            if isinstance(event, AllBlocksCleared):
                self.blocks.clear()
                continue
            [block] = event.block_hashes  # SGLang's events are of one block each
            assert event.medium == "GPU"
            if isinstance(event, BlockRemoved):
                del self.blocks[block]
                continue
            parent = event.parent_block_hash
            assert len(event.token_ids) == event.block_size
            assert parent is None or parent in self.blocks
            assert block not in self.blocks
            self.blocks[block] = (parent, tuple(event.token_ids))

    def replay(self):
        """Asks for all from `next` on, up to the end marker."""
        self.replay_socket.send_multipart([b"", self.next.to_bytes(8, "big")])
        while True:
            assert self.replay_socket.poll(20000), "no answer to a replay request"
            empty, seq, payload = self.replay_socket.recv_multipart()
            assert empty == b""
            if int.from_bytes(seq, "big", signed=True) == -1:
                assert payload == b""
                return
            self.replayed += 1
            self.apply(int.from_bytes(seq, "big"), payload)

    def poll(self, milliseconds=0):
        """Takes what has come; fills a gap by a replay."""
        while self.sub.poll(milliseconds):
            topic, seq, payload = self.sub.recv_multipart()
            assert topic == self.topic and len(seq) == 8
            seq = int.from_bytes(seq, "big")
            if self.random.random() < self.lose:
                self.lost += 1
                continue
            if seq > self.next:
                self.replay()
            self.apply(seq, payload)

    def catch_up(self, url, rank=0):
        """The mirror when the server's cache stands still, and the cache itself."""
        status, cache = call(url + f"/cache_blocks?dp_rank={rank}")[:2]
        assert status == 200 and cache["dp_rank"] == rank
        self.poll(200)
        if self.next < cache["next_seq"]:
            self.replay()
        assert self.next == cache["next_seq"]
        live = {}
        for run in cache["stored"]:
            parent, size = run["parent_block_hash"], cache["block_size"]
            for i, block in enumerate(run["block_hashes"]):
                live[block] = (parent, tuple(run["token_ids"][i * size : (i + 1) * size]))
                parent = block
        return live


def prompts(count, seed):
    """Prompts that begin alike, by threes."""
    rand = random.Random(seed)
    seen = [[]]
    for _ in range(count):
        trunk = rand.choice(seen)
        prompt = trunk[: rand.randrange(len(trunk) + 1)] + [rand.randrange(97, 100) for _ in range(rand.randrange(1, 60))]
        seen = seen[-20:] + [prompt[:150]]
        yield seen[-1]


def ask(url, prompt, **more):
    body = {"input_ids": prompt, "sampling_params": {"temperature": 0, "max_new_tokens": 3, "ignore_eos": True}, **more}
    status, reply = call(url + "/generate", body)[:2]
    assert status == 200, reply
    return reply["meta_info"]


def config(port, replay_port, **more):
    return json.dumps({"publisher": "zmq", "endpoint": f"tcp://*:{port}", "replay_endpoint": f"tcp://*:{replay_port}", **more})


def two_free_ports(first):
    """The first of two neighbours, below the ports that the system gives to connections."""
    while True:
        first += 2 * random.randrange(1, 20)
        try:
            for port in (first, first + 1):
                with socket.socket() as probe:
                    probe.bind(("", port))
            return first
        except OSError:
            pass


def test_a_late_consumer_that_loses_messages_ends_with_the_live_tree(start):
    port, replay_port = two_free_ports(20000), two_free_ports(25000)
    flags = ["--page-size", "4", "--max-total-tokens", "1k", "--context-length", "512"]
    server = start(*flags, "--kv-events-config", config(port, replay_port, topic="kv"))
    for prompt in prompts(40, seed=1):
        ask(server.url, prompt)
    consumer = Consumer(port, replay_port, topic=b"kv", lose=0.3)
    other = Consumer(port, replay_port, topic=b"elsewhere")
    for i, prompt in enumerate(prompts(120, seed=2)):
        ask(server.url, prompt, extra_key="salt" if i % 5 == 0 else None)
        consumer.poll()
    live = consumer.catch_up(server.url)
    assert consumer.blocks == live and len(live) > 100
    assert consumer.lost > 10 and consumer.replayed > 40
    assert consumer.kinds == {"BlockStored", "BlockRemoved", "AllBlocksCleared"}
    assert not other.sub.poll(0), "of another topic"
    # The tree as others count it.
    assert call(server.url + "/memory")[1]["ranks"][0]["prefix_tokens"] == 4 * len(live)
    assert call(server.url + "/flush_cache", b"")[0] == 200
    assert consumer.catch_up(server.url) == {} == consumer.blocks
    ask(server.url, [97] * 40)
    assert consumer.catch_up(server.url) == consumer.blocks and len(consumer.blocks) == 10
    consumer.close()
    other.close()
    assert server.stop() == 0


def test_a_consumer_that_is_too_late_begins_with_the_cache_itself(start):
    port, replay_port = two_free_ports(20000), two_free_ports(25000)
    flags = ["--page-size", "1", "--max-total-tokens", "4k"]
    server = start(*flags, "--kv-events-config", config(port, replay_port, buffer_steps=5))
    for prompt in prompts(40, seed=3):
        ask(server.url, prompt)
    consumer = Consumer(port, replay_port)
    # Until it is connected, what is published passes it by.
    for prompt in prompts(1000, seed=5):
        ask(server.url, prompt)
        if consumer.sub.poll(50):
            break
    # Only five batches are kept; the cache says which number it stands for.
    cache = call(server.url + "/cache_blocks")[1]
    for run in cache["stored"]:
        parent = run["parent_block_hash"]
        for block, token in zip(run["block_hashes"], run["token_ids"]):
            consumer.blocks[block] = (parent, (token,))
            parent = block
    consumer.next = cache["next_seq"]
    for prompt in prompts(4, seed=4):
        ask(server.url, prompt)
        consumer.poll()
    assert consumer.catch_up(server.url) == consumer.blocks
    assert consumer.next > cache["next_seq"]
    consumer.next = 0
    with pytest.raises(AssertionError, match="out of order"):
        consumer.replay()
    consumer.close()


def test_every_rank_has_ports_of_its_own(start):
    port, replay_port = two_free_ports(20000), two_free_ports(25000)
    server = start("--dp-size", "2", "--page-size", "4", "--kv-events-config", config(port, replay_port))
    consumers = [Consumer(port + rank, replay_port + rank) for rank in range(2)]
    for rank in (0, 1):
        ask(server.url, [97 + rank] * 40, routed_dp_rank=rank)
    for rank, consumer in enumerate(consumers):
        live = consumer.catch_up(server.url, rank)
        assert consumer.blocks == live and len(live) == 10
        assert {token for _, tokens in live.values() for token in tokens} >= {97 + rank}
        assert consumer.ranks == {rank}
        consumer.close()
    assert call(server.url + "/cache_blocks?dp_rank=2")[0] == 400


def test_without_zeromq_a_sentence_says_so(start, tmp_path):
    (tmp_path / "libzmq.so.5").write_text("no library")
    env = {"LD_LIBRARY_PATH": str(tmp_path)}
    with pytest.raises(RuntimeError, match="--kv-events-config: ZeroMQ cannot be opened .*install libzmq5"):
        start("--kv-events-config", '{"publisher": "zmq"}', env=env)
    assert start(env=env).stop() == 0, "nobody else needs it"


def test_wrong_settings_are_named(start):
    port = two_free_ports(20000)
    busy = zmq.Context()
    holder = busy.socket(zmq.PUB)
    holder.bind(f"tcp://*:{port}")
    for value, words in [
        ('{"publisher": "kafka"}', "none of null, zmq"),
        ('{"publisher": "zmq", "endpiont": "x"}', "endpiont"),
        ('{"publisher": "zmq", "hwm": "much"}', "hwm"),
        (config(port, two_free_ports(25000)), "Address already in use"),
        ("zmq", "--kv-events-config"),
    ]:
        with pytest.raises(RuntimeError, match=words):
            start("--kv-events-config", value)
    busy.destroy(linger=0)
    # Without events the cache can still be looked at.
    server = start("--kv-events-config", '{"publisher": "null"}')
    ask(server.url, [97] * 40)
    cache = call(server.url + "/cache_blocks")[1]
    assert cache["next_seq"] is None and cache["stored"][0]["token_ids"][:3] == [97] * 3
