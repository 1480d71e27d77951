# SPDX-License-Identifier: Apache-2.0
"""The parts of llama.cpp's conversion that mixtures of experts have: their keys, and the experts'
matrices stacked in one tensor per part."""

import gguf


def first(config, *names, default=None):
    return next((config[n] for n in names if config.get(n) is not None), default)


def add_moe_metadata(writer, arch, config):
    experts = first(config, "num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
    if experts is None:
        return
    writer.add_expert_count(experts)
    writer.add_expert_used_count(first(config, "num_experts_per_tok", "moe_k", "moe_topk"))
    size = first(config, "moe_intermediate_size", default=config["intermediate_size"])
    if arch not in ("llama", "phimoe", "granitemoe", "olmoe"):
        writer.add_expert_feed_forward_length(size)
    shared = first(config, "n_shared_experts", "num_shared_experts", "moe_num_shared_experts")
    if shared is not None:
        writer.add_expert_shared_count(shared)
    if config.get("shared_expert_intermediate_size"):
        writer.add_expert_shared_feed_forward_length(config["shared_expert_intermediate_size"])
    if arch == "llama4":
        writer.add_interleave_moe_layer_step(config["interleave_moe_layer_step"])
    grouped = "e_score" if arch in ("glm4moe", "dots1", "exaone-moe") else None
    if grouped:
        writer.add_expert_weights_scale(config["routed_scaling_factor"])
        writer.add_expert_weights_norm(config["norm_topk_prob"])
        writer.add_leading_dense_block_count(config["first_k_dense_replace"])
        writer.add_expert_group_count(config["n_group"])
        writer.add_expert_group_used_count(config["topk_group"])
    if arch == "afmoe":
        writer.add_expert_weights_scale(config["route_scale"])
        writer.add_leading_dense_block_count(config["num_dense_layers"])
    if grouped or arch in ("minimax-m2", "afmoe"):
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)


def split_moe(name, tensor, arch):
    """(name in the file, tensor) pairs of one of a mixture's own tensors; none for the others."""
    layer = name.split(".")[2] if name.startswith(("model.layers.", "backbone.layers.")) else None
    part = name.rsplit(".", 1)[-1]
    if part in ("e_score_correction_bias", "expert_bias"):
        return [(f"blk.{layer}.exp_probs_b.bias", tensor.reshape(-1))]
    if part == "sinks":
        return [(f"blk.{layer}.attn_sinks.weight", tensor)]
    if name.endswith("block_sparse_moe.router.weight"):
        return [(f"blk.{layer}.ffn_gate_inp.weight", tensor)]
    if ".experts." not in name:
        return []
    suffix = "bias" if part.endswith("_bias") else "weight"
    stem = part.removesuffix("_bias")
    by_columns = arch in ("gpt-oss", "llama4") and suffix == "weight"
    if by_columns:
        tensor = tensor.transpose(1, 2)
    if arch == "llama":  # as before experts were stacked
        named = zip(("down",) if stem == "down_proj" else ("gate", "up"), tensor.chunk(1 if stem == "down_proj" else 2, dim=1))
        return [(f"blk.{layer}.ffn_{part}.{e}.weight", half[e]) for part, half in named for e in range(len(half))]
    if stem == "up_proj":
        return [(f"blk.{layer}.ffn_up_exps.{suffix}", tensor)]
    if stem == "down_proj":
        return [(f"blk.{layer}.ffn_down_exps.{suffix}", tensor)]
    assert stem == "gate_up_proj", name
    if arch == "gpt-oss":
        gate, up = tensor[:, ::2], tensor[:, 1::2]
    else:
        gate, up = tensor.chunk(2, dim=1)
    if arch == "qwen3moe":  # as newer conversions do
        return [(f"blk.{layer}.ffn_gate_up_exps.{suffix}", tensor)]
    return [(f"blk.{layer}.ffn_gate_exps.{suffix}", gate), (f"blk.{layer}.ffn_up_exps.{suffix}", up)]
