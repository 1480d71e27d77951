# SPDX-License-Identifier: Apache-2.0
"""The models of tests/golden with layers that carry a state. As in make_goldens_families.py."""

TOKENS = {"vocab_size": 128, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
SMALL = dict(TOKENS, hidden_size=64, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=512)
MAMBA = dict(TOKENS, hidden_size=48, num_hidden_layers=2, state_size=12)
MAMBA2 = dict(TOKENS, hidden_size=64, num_hidden_layers=2, state_size=16, num_heads=8, head_dim=16, chunk_size=8)
SSM = {"mamba_d_state": 16, "mamba_n_heads": 8, "mamba_d_head": 16, "mamba_expand": 2, "mamba_chunk_size": 8}
EXPERTS = {"num_local_experts": 6, "num_experts_per_tok": 3, "intermediate_size": 24}
DELTA = {"num_hidden_layers": 4, "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 12,
         "linear_value_head_dim": 12}
QWEN = dict(DELTA, head_dim=16, layer_types=["linear_attention", "full_attention"] * 2)
QWEN_MOE = {"num_experts": 6, "num_experts_per_tok": 3, "moe_intermediate_size": 16,
            "shared_expert_intermediate_size": 24}
NEMOTRON = dict(SMALL, num_hidden_layers=4, head_dim=16, mamba_num_heads=8, mamba_head_dim=16, ssm_state_size=16,
                n_groups=2, chunk_size=8, time_step_min=1e-20)


def hybrid(**changes):
    return dict(SMALL, **dict(SSM, **changes))


def delta(**changes):
    return dict(SMALL, **dict(QWEN, **changes))


# Answers without a cache: transformers does not always make one for these models.
STATE_FAMILIES = {
    "mamba": dict(type="mamba", gguf=("mamba",), config=dict(MAMBA, time_step_rank=5)),
    "mamba_bias": dict(type="mamba", config=dict(MAMBA, use_bias=True, use_conv_bias=False, conv_kernel=2,
                                                 tie_word_embeddings=False)),
    "falcon_mamba": dict(type="falcon_mamba", gguf=("mamba",), config=dict(MAMBA, intermediate_size=96)),
    "mamba2": dict(type="mamba2", gguf=("mamba2",), config=dict(MAMBA2, n_groups=1)),
    "mamba2_groups": dict(type="mamba2", config=dict(MAMBA2, n_groups=2, use_bias=True, conv_kernel=3,
                                                     tie_word_embeddings=True)),
    "bamba": dict(type="bamba", config=hybrid(
        num_hidden_layers=3, attn_layer_indices=[1])),
    "bamba_bias": dict(type="bamba", config=hybrid(
        attn_layer_indices=[1], mamba_proj_bias=True, mamba_n_groups=2, attention_bias=True, mlp_bias=True)),
    "falcon_h1": dict(type="falcon_h1", gguf=("falcon-h1",), config=hybrid(
        mamba_d_ssm=128, head_dim=16, embedding_multiplier=1.3, lm_head_multiplier=0.7, key_multiplier=0.8,
        attention_in_multiplier=1.2, attention_out_multiplier=0.9, ssm_in_multiplier=1.1, ssm_out_multiplier=0.6,
        ssm_multipliers=[1.2, 0.7, 0.9, 1.3, 0.8], mlp_multipliers=[0.9, 1.4])),
    "falcon_h1_norm": dict(type="falcon_h1", gguf=("falcon-h1",), config=hybrid(
        mamba_d_ssm=128, head_dim=16, mamba_rms_norm=True, mamba_norm_before_gate=False, mamba_n_groups=2)),
    "falcon_h1_norm_first": dict(type="falcon_h1", config=hybrid(
        mamba_d_ssm=None, head_dim=16, mamba_rms_norm=True, mamba_n_groups=2, mamba_proj_bias=True, projectors_bias=True)),
    "granitemoehybrid": dict(type="granitemoehybrid", keep_layer_types=True, gguf=("granitehybrid", "permute"), config=hybrid(
        layer_types=["mamba", "attention", "mamba"], shared_intermediate_size=40,
        attention_multiplier=0.2, embedding_multiplier=3.0, residual_multiplier=0.7, logits_scaling=1.5, **EXPERTS)),
    "granite_hybrid_dense": dict(type="granitemoehybrid", keep_layer_types=True, gguf=("granitehybrid", "permute"),
                                 config=hybrid(layer_types=["mamba", "attention", "mamba"], num_local_experts=0, intermediate_size=40,
                                               shared_intermediate_size=40)),
    "granite_hybrid_rope": dict(type="granitemoehybrid", config=hybrid(
        num_hidden_layers=2, layer_types=["attention", "mamba"], num_local_experts=0, intermediate_size=40,
        shared_intermediate_size=40, position_embedding_type="rope", mamba_n_groups=2, mamba_proj_bias=True),
        keep_layer_types=True),
    "jamba": dict(type="jamba", gguf=("jamba",), config=dict(
        SMALL, num_hidden_layers=4, mamba_d_state=12, mamba_dt_rank=5, attn_layer_period=2, attn_layer_offset=1,
        num_experts=4, num_experts_per_tok=2, expert_layer_period=2, expert_layer_offset=0)),
    "lfm2": dict(type="lfm2", gguf=("lfm2",), keep_layer_types=True, config=dict(
        SMALL, block_multiple_of=8, block_ffn_dim_multiplier=1.1, layer_types=["conv", "full_attention", "conv"])),
    "lfm2_moe": dict(type="lfm2_moe", gguf=("lfm2moe",), keep_layer_types=True, config=dict(
        SMALL, num_experts=6, num_experts_per_tok=3, moe_intermediate_size=24, num_dense_layers=1,
        layer_types=["conv", "full_attention", "conv"])),
    "lfm2_bias": dict(type="lfm2", config=dict(
        SMALL, block_auto_adjust_ff_dim=False, full_attn_idxs=[1], conv_bias=True, conv_L_cache=4)),
    "minimax_saved": dict(type="minimax", v4=False, config=dict(
        dict(SMALL, **EXPERTS), head_dim=16, block_size=8)),
    # Its decays are saved, rounded to bf16; without them they are computed.
    "minimax": dict(type="minimax", keep_layer_types=True, drop=("slope_rate", "query_decay", "key_decay", "diagonal_decay"), config=dict(
        dict(SMALL, **EXPERTS), num_hidden_layers=4, head_dim=16, block_size=8, full_attn_alpha_factor=1.3,
        full_attn_beta_factor=0.8, linear_attn_alpha_factor=1.2, linear_attn_beta_factor=0.9, mlp_alpha_factor=1.1,
        mlp_beta_factor=0.7)),
    "nemotron_h": dict(type="nemotron_h", gguf=("nemotron_h_moe",), config=dict(
        NEMOTRON, layers_block_type=["mamba", "moe", "attention", "mlp"], n_routed_experts=8, num_experts_per_tok=3,
        moe_intermediate_size=24, moe_shared_expert_intermediate_size=40, n_group=4, topk_group=2,
        routed_scaling_factor=1.7)),
    "nemotron_h_dense": dict(type="nemotron_h", gguf=("nemotron_h",), config=dict(
        NEMOTRON, layers_block_type=["mamba", "mlp", "attention", "mamba"])),
    "nemotron_h_bias": dict(type="nemotron_h", config=dict(
        dict(NEMOTRON, time_step_min=0.3), layers_block_type=["mamba", "mlp"], use_bias=True, mlp_bias=True)),
    "nemotron_h_latent": dict(type="nemotron_h", gguf=("nemotron_h_moe",), config=dict(
        NEMOTRON, layers_block_type=["mamba", "moe", "attention", "moe"], n_routed_experts=6, num_experts_per_tok=2,
        moe_intermediate_size=24, moe_shared_expert_intermediate_size=40, moe_latent_size=32)),
    "nemotron_h_latent_bias": dict(type="nemotron_h", config=dict(
        NEMOTRON, layers_block_type=["mamba", "moe"], n_routed_experts=6, num_experts_per_tok=2, mlp_bias=True,
        moe_intermediate_size=24, moe_shared_expert_intermediate_size=40, moe_latent_size=32)),
    "qwen3_next": dict(type="qwen3_next", gguf=("qwen3next",), keep_layer_types=True, config=delta(**QWEN_MOE)),
    "qwen3_next_bias": dict(type="qwen3_next", keep_layer_types=True, config=delta(attention_bias=True, **QWEN_MOE)),
    "qwen3_next_mixed": dict(type="qwen3_next", config=dict(
        SMALL, num_hidden_layers=4, head_dim=16, mlp_only_layers=[1], norm_topk_prob=False, linear_num_key_heads=2,
        linear_num_value_heads=2, linear_key_head_dim=16, linear_value_head_dim=24, linear_conv_kernel_dim=2,
        **QWEN_MOE)),
    "qwen3_5_text": dict(type="qwen3_5_text", gguf=("qwen35",), keep_layer_types=True, config=delta()),
    "qwen3_5_moe_text": dict(type="qwen3_5_moe_text", gguf=("qwen35moe",), keep_layer_types=True,
                             config=delta(**QWEN_MOE)),
    "olmo_hybrid": dict(type="olmo_hybrid", keep_layer_types=True, config=dict(
        SMALL, num_hidden_layers=4, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=12,
        linear_value_head_dim=24, layer_types=["linear_attention", "full_attention"] * 2)),
    # Names as transformers 5 has them in memory.
    "nemotron_h_new": dict(type="nemotron_h", v4=False, new_names=True, config=dict(
        NEMOTRON, layers_block_type=["mamba", "moe", "attention", "mlp"], n_routed_experts=4, num_experts_per_tok=2,
        moe_intermediate_size=24, moe_shared_expert_intermediate_size=40)),
    "olmo_hybrid_new": dict(type="olmo_hybrid", v4=False, new_names=True, config=dict(
        SMALL, num_hidden_layers=2, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=12,
        linear_value_head_dim=24, layer_types=["linear_attention", "full_attention"])),
    "olmo_hybrid_nope": dict(type="olmo_hybrid", config=dict(
        SMALL, num_hidden_layers=4, rope_parameters=None, linear_allow_neg_eigval=False, attention_bias=True)),
}
for family in STATE_FAMILIES.values():
    family["cached"] = False
