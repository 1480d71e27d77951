# SPDX-License-Identifier: Apache-2.0
"""The parts of llama.cpp's conversion that layers with a state have: their keys, decays as -exp(A_log),
Falcon H1's multipliers in the weights, Qwen's projections taken apart and put in its order of heads."""
import gguf
import torch

MAMBA2 = ("mamba2", "falcon-h1", "granitehybrid", "nemotron_h", "nemotron_h_moe")
QWEN = ("qwen3next", "qwen35", "qwen35moe")
ARCHS = MAMBA2 + QWEN + ("mamba", "jamba", "lfm2", "lfm2moe")


def first(config, *names):
    return next((config[n] for n in names if config.get(n) is not None), None)


def layer_kinds(config):
    if config["model_type"] == "jamba":
        period, offset = config["attn_layer_period"], config["attn_layer_offset"]
        return ["full_attention" if i % period == offset else "linear_attention" for i in range(config["num_hidden_layers"])]
    return first(config, "layer_types", "layers_block_type") or []


def add_state_metadata(writer, arch, config):
    """Keys of the recurrences, after the common ones."""
    if arch not in ARCHS:
        return
    kinds = layer_kinds(config)
    if arch in ("jamba", "lfm2", "lfm2moe", "granitehybrid", "nemotron_h", "nemotron_h_moe"):
        heads = config["num_key_value_heads"]
        writer.add_head_count_kv([heads if kind == "full_attention" else 0 for kind in kinds])
    if arch.startswith("nemotron_h"):
        widths = {"mlp": config["intermediate_size"], "moe": config["moe_intermediate_size"]}
        writer.add_feed_forward_length([widths.get(kind, 0) for kind in kinds])
    if arch == "nemotron_h_moe":
        writer.add_expert_shared_feed_forward_length(config["moe_shared_expert_intermediate_size"])
        writer.add_expert_weights_norm(config["norm_topk_prob"])
        writer.add_expert_weights_scale(config["routed_scaling_factor"])
        writer.add_expert_group_count(config["n_group"])
        writer.add_expert_group_used_count(config["topk_group"])
        if config["moe_latent_size"]:
            writer.add_moe_latent_size(config["moe_latent_size"])
    if arch.startswith("lfm2"):
        writer.add_layer_norm_rms_eps(config["norm_eps"])
        writer.add_shortconv_l_cache(config["conv_L_cache"])
    if arch == "lfm2moe":
        writer.add_leading_dense_block_count(config["num_dense_layers"])
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
        return
    if arch == "lfm2":
        width = int(config["block_ffn_dim_multiplier"] * int(2 * config["intermediate_size"] / 3))
        multiple = config["block_multiple_of"]
        writer.add_feed_forward_length((width + multiple - 1) // multiple * multiple)
        return
    if arch in QWEN:
        keys, values = config["linear_num_key_heads"], config["linear_num_value_heads"]
        writer.add_ssm_conv_kernel(config["linear_conv_kernel_dim"])
        writer.add_ssm_state_size(config["linear_key_head_dim"])
        writer.add_ssm_group_count(keys)
        writer.add_ssm_time_step_rank(values)
        writer.add_ssm_inner_size(values * config["linear_value_head_dim"])
        writer.add_full_attention_interval(2)
        if arch != "qwen3next":  # of time, height and width, which are one for text
            writer.add_rope_dimension_sections([1, 1, 0, 0])
        return
    writer.add_ssm_conv_kernel(first(config, "conv_kernel", "mamba_d_conv"))
    writer.add_ssm_state_size(first(config, "state_size", "mamba_d_state", "ssm_state_size"))
    if arch in MAMBA2:
        heads = first(config, "num_heads", "mamba_n_heads", "mamba_num_heads")
        head_dim = first(config, "mamba_d_head", "mamba_head_dim", "head_dim")
        writer.add_ssm_time_step_rank(heads)
        writer.add_ssm_inner_size(heads * head_dim)
        writer.add_ssm_group_count(first(config, "n_groups", "mamba_n_groups"))
    else:
        expand = first(config, "expand", "mamba_expand")
        writer.add_ssm_inner_size(expand * config["hidden_size"])
        writer.add_ssm_time_step_rank(first(config, "time_step_rank", "mamba_dt_rank"))
    if arch in ("mamba", "mamba2") or arch.startswith("nemotron_h"):
        writer.add_layer_norm_rms_eps(config["layer_norm_epsilon"])
    if arch in ("mamba", "mamba2"):
        writer.add_feed_forward_length(0)
        writer.add_head_count(0)
    if arch == "mamba":
        writer.add_ssm_dt_b_c_rms(config["model_type"] == "falcon_mamba")
    if arch == "granitehybrid":
        writer.add_rope_scaling_finetuned(False)
        if config["num_local_experts"]:
            writer.add_expert_shared_feed_forward_length(config["shared_intermediate_size"])


def multiplier(name, config):
    """What Falcon H1 multiplies this tensor's product by: a number, or one per row."""
    into, out = config["attention_in_multiplier"], config["attention_out_multiplier"]
    gate, down = config["mlp_multipliers"]
    if name.endswith("mamba.in_proj.weight"):
        inner, shared = config["mamba_d_ssm"], config["mamba_n_groups"] * config["mamba_d_state"]
        sizes = (inner, inner, shared, shared, config["mamba_n_heads"])
        rows = [torch.full((n,), m) for n, m in zip(sizes, config["ssm_multipliers"])]
        return torch.cat(rows)[:, None] * config["ssm_in_multiplier"]
    by_end = {"k_proj.weight": config["key_multiplier"] * into, "q_proj.weight": into, "v_proj.weight": into,
              "self_attn.o_proj.weight": out, "mamba.out_proj.weight": config["ssm_out_multiplier"],
              "feed_forward.gate_proj.weight": gate, "feed_forward.down_proj.weight": down,
              "lm_head.weight": config["lm_head_multiplier"], "embed_tokens.weight": config["embedding_multiplier"]}
    return next((m for end, m in by_end.items() if name.endswith(end)), 1.0)


def in_turn(tensor, config, dim, width):
    """Value heads of one key head after another: the first of each, then the second of each, ..."""
    keys = config["linear_num_key_heads"]
    shape = tensor.shape
    split = tensor.reshape(*shape[:dim], keys, config["linear_num_value_heads"] // keys, width, *shape[dim + 1:])
    return split.transpose(dim, dim + 1).reshape(shape)


def reordered(name, tensor, config):
    width = config["linear_value_head_dim"]
    keys = 2 * config["linear_num_key_heads"] * config["linear_key_head_dim"]
    if "in_proj_qkv." in name or "conv1d" in name:
        return torch.cat([tensor[:keys], in_turn(tensor[keys:], config, 0, width)])
    if "in_proj_z." in name:
        return in_turn(tensor, config, 0, width)
    if "out_proj." in name:
        return in_turn(tensor, config, 1, width)
    if any(part in name for part in ("in_proj_a.", "in_proj_b.", "A_log", "dt_bias")):
        return in_turn(tensor, config, 0, 1)
    return tensor


def split_qkvz(tensor, config):
    keys, dk, dv = (config[f"linear_{n}"] for n in ("num_key_heads", "key_head_dim", "value_head_dim"))
    shared = config["linear_num_value_heads"] // keys * dv
    parts = tensor.reshape(keys, -1, tensor.shape[-1]).split([dk, dk, shared, shared], dim=1)
    q, k, v, z = (part.reshape(-1, tensor.shape[-1]) for part in parts)
    return torch.cat([q, k, v]), z


def convert_state(state, arch, config):
    """The tensors under names that the gguf package's map knows, as the file has them, and the names
    of those that stay f32 whatever their rank."""
    if arch not in ARCHS:
        return state, set()
    converted, plain = {}, set()
    shared = "mlp.shared_expert" if config.get("num_local_experts") else "mlp"  # Granite's
    for name, tensor in state.items():
        if arch.startswith("nemotron_h") and name.startswith("model."):
            name = "backbone." + name.removeprefix("model.")
        if arch == "falcon-h1":
            tensor = tensor * multiplier(name, config)
        if arch in ("qwen35", "qwen35moe") and ".linear_attn." in name:
            tensor = reordered(name, tensor, config)
        if arch in QWEN and name.endswith("norm.weight") and not name.endswith("linear_attn.norm.weight"):
            tensor = tensor + 1
        if name.endswith("shared_mlp.input_linear.weight"):
            stem = name.removesuffix("shared_mlp.input_linear.weight")
            for part, half in zip(("gate", "up"), tensor.chunk(2)):
                converted[f"{stem}{shared}.{part}_proj.weight"] = half
            continue
        name = name.replace("shared_mlp.output_linear", f"{shared}.down_proj")
        if name.endswith("in_proj_qkvz.weight"):
            stem = name.removesuffix("in_proj_qkvz.weight")
            converted[stem + "in_proj_qkv.weight"], converted[stem + "in_proj_z.weight"] = split_qkvz(tensor, config)
            continue
        if name.endswith("A_log"):
            tensor = -tensor.exp()
        if name.endswith(("A_log", ".D")):
            tensor = tensor[:, None] if arch in MAMBA2 else tensor
            plain.add(name)
        if name.endswith((".conv1d.weight", ".conv.conv.weight")):
            tensor = tensor.squeeze(1)
            plain.add(name)
        if arch in MAMBA2 and name.endswith((".mamba.norm.weight", ".mixer.norm.weight")):
            tensor = tensor.reshape(first(config, "n_groups", "mamba_n_groups"), -1)
        if name.endswith(".dt_bias"):
            name = name.removesuffix("dt_bias") + "dt_proj.bias"
        # Products that bf16 cannot hold.
        if tensor.ndim > 1 and not torch.equal(tensor.to(torch.bfloat16).float(), tensor):
            plain.add(name)
        converted[name] = tensor
    return converted, plain
