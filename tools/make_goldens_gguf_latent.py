# SPDX-License-Identifier: Apache-2.0
"""The parts of llama.cpp's conversion that latent attention has: its keys, and kv_b taken apart.

    kv_b    a file of before 2025: kv_b whole, and the keys of the heads alone
"""
import gguf


def add_latent_metadata(writer, arch, config, flags):
    """True where the model is one of these: it has said its heads' sizes."""
    if config.get("kv_lora_rank") is None:
        return False
    rank, rope = config["kv_lora_rank"], config["qk_rope_head_dim"]
    key, value = config["qk_nope_head_dim"] + rope, config.get("v_head_dim")
    whole = "kv_b" in flags
    if config["q_lora_rank"] is not None:
        writer.add_q_lora_rank(config["q_lora_rank"])
    writer.add_kv_lora_rank(rank)
    writer.add_key_length(key if whole else rank + rope)
    if arch != "minicpm3":
        writer.add_value_length(value if whole else rank)
    if not whole:
        writer.add_key_length_mla(key)
        writer.add_value_length_mla(value)
    if config.get("index_topk"):
        writer.add_indexer_head_count(config["index_n_heads"])
        writer.add_indexer_key_length(config["index_head_dim"])
        writer.add_indexer_top_k(config["index_topk"])
    if config["model_type"] in ("deepseek_v3", "glm4_moe_lite", "glm_moe_dsa"):
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
        writer.add_expert_weights_norm(config["norm_topk_prob"])
    if config.get("n_group") is not None and config["model_type"] != "youtu":
        writer.add_expert_group_count(config["n_group"])
        writer.add_expert_group_used_count(config["topk_group"])
    if config.get("routed_scaling_factor") is not None and config["model_type"] != "youtu":
        writer.add_expert_weights_scale(config["routed_scaling_factor"])
    mscale = config["rope_parameters"].get("mscale_all_dim")
    if mscale is not None:
        writer.add_rope_scaling_yarn_log_mul(0.1 * mscale)
    return True


def split_latent(name, tensor, config, flags):
    """(name in the file, tensor) pairs of kv_b; none for other tensors, or where it stays whole."""
    if not name.endswith("kv_b_proj.weight") or "kv_b" in flags:
        return []
    layer = name.split(".")[2]
    key, value = config["qk_nope_head_dim"], config["v_head_dim"]
    heads = tensor.reshape(-1, key + value, tensor.shape[-1])
    return [(f"blk.{layer}.attn_k_b.weight", heads[:, :key].transpose(1, 2)),
            (f"blk.{layer}.attn_v_b.weight", heads[:, key:])]
