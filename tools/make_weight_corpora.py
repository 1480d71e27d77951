#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seed corpora of the fuzzers of src/weights: tests/fuzz/{safetensors,gguf,config_json}_fuzz.

Needs: pip install gguf==0.19.0
"""

import json
import pathlib
import struct

import gguf
import numpy as np

ROOT = pathlib.Path(__file__).parent.parent / "tests" / "fuzz"


def folder(name):
    path = ROOT / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def safetensors(header, data):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def make_safetensors():
    out = folder("safetensors_fuzz")
    (out / "two").write_bytes(safetensors({
        "__metadata__": {"format": "pt"},
        "a.weight": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]},
        "b": {"dtype": "I64", "shape": [], "data_offsets": [12, 20]},
    }, bytes(20)))
    (out / "empty").write_bytes(safetensors({}, b""))


def make_gguf():
    out = folder("gguf_fuzz")
    for arch in ["llama", "gpt2", "gemma3", "phi3", "apertus"]:
        writer = gguf.GGUFWriter(out / arch, arch)
        writer.add_block_count(2)
        writer.add_context_length(64)
        writer.add_embedding_length(32)
        writer.add_head_count(4)
        writer.add_head_count_kv([1, 2])
        writer.add_layer_norm_rms_eps(1e-6)
        writer.add_sliding_window(8)
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(4.0)
        writer.add_token_list(["a", "<|im_end|>"])
        writer.add_token_types([1, 3])
        writer.add_bool("split", True)
        writer.add_tensor("token_embd.weight", np.zeros((2, 32), np.float32))
        writer.add_tensor("rope_factors_long.weight", np.ones(2, np.float32))
        writer.add_tensor("blk.0.attn_q.weight", np.zeros((2, 18), np.uint8),
                          raw_dtype=gguf.GGMLQuantizationType.Q4_0)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def make_config():
    out = folder("config_json_fuzz")
    (out / "plain").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "rope_parameters": {"rope_theta": 1e4},
        "time_step_limit": [0.0, float("inf"), float("nan")], "s": "Infinity \" \\u00e9"}))
    (out / "quantized").write_text('{"quantization_config": {"quant_method": "fp8"}}')


make_safetensors()
make_gguf()
make_config()
