# SPDX-License-Identifier: Apache-2.0
"""Writes a transformers model as GGUF the way llama.cpp's conversion does.

Tensor names come from the gguf package's own map. The rest are llama.cpp's rules:
  permute    q and k of Llama and its relatives reordered for rotation by neighbouring pairs
  mixed      v is f32: types within one layer differ in quantized files
  plus_one   norms stored as their distance from 1 get the 1 added
GPT-2's matrices transposed; fused q, k, v put apart by heads (GPT-NeoX, Falcon); Llama 3's rope
factors, longrope's and xIELU's scalars in their places. Matrices are bf16, vectors f32.
"""
import math

import gguf
import numpy as np
import torch

from make_goldens_gguf_latent import add_latent_metadata, split_latent
from make_goldens_gguf_moe import add_moe_metadata, split_moe
from make_goldens_gguf_state import add_state_metadata, convert_state

ARCH = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}


def first(config, *names, default=None):
    return next((config[n] for n in names if config.get(n) is not None), default)


class Facts:
    """A config's numbers whatever its family calls them."""

    def __init__(self, config):
        self.config = config
        self.layers = first(config, "num_hidden_layers", "n_layer", default=len(config.get("layers_block_type", [])))
        self.hidden = first(config, "hidden_size", "n_embd")
        self.heads = first(config, "num_attention_heads", "n_head", default=0)
        self.kv_heads = first(config, "num_key_value_heads", "num_kv_heads", default=self.heads)
        if config["model_type"] == "falcon" and not config["new_decoder_architecture"]:
            self.kv_heads = 1 if config["multi_query"] else self.heads
        self.head_dim = first(config, "head_dim", default=self.hidden // max(self.heads, 1))
        self.ffn = first(config, "intermediate_size_mlp", "intermediate_size", "ffn_hidden_size", "n_inner", default=4 * self.hidden)
        self.context = first(config, "max_position_embeddings", "n_positions", default=1 << 20)
        rope = config.get("rope_parameters") or {}
        self.rope = rope.get("full_attention", rope)
        self.rope_swa = rope.get("sliding_attention")
        self.rotated = int(config.get("qk_rope_head_dim") or
                           self.head_dim * self.rope.get("partial_rotary_factor", 1.0))


def add_metadata(writer, arch, f, flags):
    config = f.config
    writer.add_context_length(f.context)
    writer.add_embedding_length(f.hidden)
    writer.add_block_count(f.layers)
    writer.add_feed_forward_length(f.ffn)
    if arch != "nemotron_h" and config.get("num_local_experts") != 0:
        add_moe_metadata(writer, arch, config)
    writer.add_head_count(f.heads)
    latent = add_latent_metadata(writer, arch, config, flags)
    writer.add_head_count_kv(1 if latent and "kv_b" not in flags else f.kv_heads)
    writer.add_vocab_size(config["vocab_size"])
    if config.get("head_dim") and f.heads and not latent:
        writer.add_key_length(f.head_dim)
        writer.add_value_length(f.head_dim)
    if "rms_norm_eps" in config:
        writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    eps = first(config, "layer_norm_eps", "layer_norm_epsilon", "norm_eps", "norm_epsilon")
    if eps is not None:
        writer.add_layer_norm_eps(eps)
    if f.rope:
        add_rope(writer, arch, f)
    for key, add in (("logit_scale", writer.add_logit_scale), ("logits_scaling", writer.add_logit_scale),
                     ("attn_logit_softcapping", writer.add_attn_logit_softcapping),
                     ("final_logit_softcapping", writer.add_final_logit_softcapping),
                     ("sliding_window", writer.add_sliding_window),
                     ("clip_qkv", writer.add_clamp_kqv),
                     ("use_parallel_residual", writer.add_parallel_residual),
                     ("embedding_multiplier", writer.add_embedding_scale),
                     ("residual_multiplier", writer.add_residual_scale),
                     ("attention_multiplier", writer.add_attention_scale)):
        if config.get(key) is not None and arch != "falcon-h1":  # in its weights
            add(config[key])
    add_state_metadata(writer, arch, config)
    if arch == "olmo":
        writer.add_layer_norm_eps(1e-5)
    if arch == "olmo2" and config.get("sliding_window"):
        writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in config["layer_types"]])
    if arch == "mistral3":
        writer.add_attn_temperature_scale(f.rope["llama_4_scaling_beta"])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])


def add_rope(writer, arch, f):
    writer.add_rope_dimension_count(f.rotated)
    writer.add_rope_freq_base(f.rope["rope_theta"])
    if f.rope_swa:
        writer.add_rope_freq_base_swa(f.rope_swa["rope_theta"])
    kind = f.rope["rope_type"]
    if kind == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(f.rope["factor"])
    elif kind == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(f.rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(f.rope["original_max_position_embeddings"])
        if f.rope.get("attention_factor"):
            writer.add_rope_scaling_yarn_attn_factor(f.rope["attention_factor"])
        if arch in ("mistral3", "gpt-oss", "olmo2"):
            writer.add_rope_scaling_yarn_beta_fast(f.rope["beta_fast"])
            writer.add_rope_scaling_yarn_beta_slow(f.rope["beta_slow"])
        if arch == "mistral3":
            writer.add_rope_scaling_yarn_log_mul(f.rope["mscale_all_dim"])
    elif kind == "longrope":
        original = f.rope["original_max_position_embeddings"]
        scale = f.context / original
        factor = math.sqrt(1 + math.log(scale) / math.log(original)) if scale > 1 else 1.0
        writer.add_rope_scaling_orig_ctx_len(original)
        writer.add_rope_scaling_attn_factors(factor)


def rope_tensors(f):
    kind = f.rope.get("rope_type")
    if kind == "longrope":
        yield "rope_factors_long.weight", np.array(f.rope["long_factor"], np.float32)
        yield "rope_factors_short.weight", np.array(f.rope["short_factor"], np.float32)
    if kind == "llama3":
        length = f.rope["original_max_position_embeddings"]
        low, high = f.rope["low_freq_factor"], f.rope["high_freq_factor"]
        factors = []
        for i in range(0, f.rotated, 2):
            wavelength = 2 * math.pi * f.rope["rope_theta"] ** (i / f.rotated)
            if wavelength < length / high:
                factors.append(1.0)
            elif wavelength > length / low:
                factors.append(f.rope["factor"])
            else:
                smooth = (length / wavelength - low) / (high - low)
                factors.append(1 / ((1 - smooth) / f.rope["factor"] + smooth))
        yield "rope_freqs.weight", np.array(factors, np.float32)


def permute(tensor, heads):
    return tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, *tensor.shape[1:]).swapaxes(1, 2).reshape(tensor.shape)


def split_by_heads(tensor, f, groups):
    """[groups, (q..., k, v), head_dim] rows to all q, all k, all v."""
    grouped = tensor.reshape(groups, -1, f.head_dim, *tensor.shape[1:])
    q, k, v = grouped[:, :-2], grouped[:, -2:-1], grouped[:, -1:]
    return torch.cat([part.reshape(-1, *tensor.shape[1:]) for part in (q, k, v)])


def convert(name, tensor, arch, flags, f):
    if "permute" in flags and ".self_attn.q_proj." in name:
        return permute(tensor, f.heads)
    if "permute" in flags and ".self_attn.k_proj." in name:
        return permute(tensor, f.kv_heads)
    if "plus_one" in flags and name.endswith("norm.weight"):
        return tensor + 1
    if arch == "gpt2" and tensor.ndim == 2 and ".h." in name:
        return tensor.T
    if arch == "gptneox" and ".query_key_value." in name:
        return split_by_heads(tensor, f, f.heads)
    if arch == "falcon" and ".query_key_value." in name:
        return split_by_heads(tensor, f, f.kv_heads)
    return tensor


def add_xielu(writer, state, f):
    for which in ("alpha_p", "alpha_n", "beta", "eps"):
        names = [f"model.layers.{layer}.mlp.act_fn.{which}" for layer in range(f.layers)]
        writer.add_array(f"xielu.{which}", [state.pop(name).float().item() for name in names])


def add_matrix(writer, name, tensor):
    bits = tensor.to(torch.bfloat16)
    assert torch.equal(bits.float(), tensor), name
    data = bits.view(torch.uint16).numpy()
    writer.add_tensor(name, data.view(np.uint8), raw_shape=(*data.shape[:-1], data.shape[-1] * 2),
                      raw_dtype=gguf.GGMLQuantizationType.BF16)


def write_gguf(path, rules, model, config):
    arch, flags = rules[0], rules[1:]
    f = Facts(config)
    writer = gguf.GGUFWriter(path, arch)
    add_metadata(writer, arch, f, flags)
    names = gguf.get_tensor_name_map(ARCH[arch], f.layers)
    state = dict(model.state_dict())
    if config["tie_word_embeddings"]:
        for name in ("lm_head.weight", "embed_out.weight"):
            state.pop(name, None)
    if arch == "apertus":
        add_xielu(writer, state, f)
    if arch == "stablelm":
        stack_heads(state, f)
    if arch == "bitnet":  # the first models' names
        state = {name.replace("attn_sub_norm", "inner_attn_ln").replace("ffn_sub_norm", "ffn_layernorm"): tensor
                 for name, tensor in state.items()}
    state, f32 = convert_state(state, arch, config)
    tensors = list(rope_tensors(f))
    for name in list(state):
        parts = split_moe(name, state[name], arch) or split_latent(name, state[name], config, flags)
        for target, part in parts:
            add_matrix(writer, target, part.contiguous()) if part.ndim > 2 else writer.add_tensor(target, part.float().numpy())
        if parts:
            del state[name]
    for name, tensor in state.items():
        stem = name.removesuffix(".weight").removesuffix(".bias")
        target = names.get_name(stem)
        if target is None and names.get_name(name) is not None:  # without ".weight" (Falcon H1)
            stem, target = name, names.get_name(name)
        if target is None:
            raise ValueError(f"{arch} has no name for {name}")
        converted = convert(name, tensor, arch, flags, f).contiguous()
        plain = name in f32 or "norm" in name or "position_embd" in target or ("mixed" in flags and "attn_v" in target)
        if "ffn_gate_inp" in target and converted.ndim == 2:
            plain = True
            converted = converted.squeeze(0) if converted.shape[0] == 1 else converted
        if converted.ndim >= 2 and not plain:
            add_matrix(writer, target + name[len(stem):], converted)
        else:
            writer.add_tensor(target + name[len(stem):], converted.float().numpy())
    for name, data in tensors:
        writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def stack_heads(state, f):
    """StableLM's norms of each head become one tensor."""
    for layer in range(f.layers):
        for which, heads in (("q", f.heads), ("k", f.kv_heads)):
            stem = f"model.layers.{layer}.self_attn.{which}_layernorm"
            if f"{stem}.norms.0.weight" in state:
                parts = [state.pop(f"{stem}.norms.{h}.weight") for h in range(heads)]
                state[f"{stem}.weight"] = torch.stack(parts)
