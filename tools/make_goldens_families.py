# SPDX-License-Identifier: Apache-2.0
"""The models of tests/golden: transformers' model type, what differs from its defaults, GGUF rules.

gguf: the architecture's name in GGUF, then flags for make_goldens_gguf.py.
"""

from make_goldens_families_state import STATE_FAMILIES

SMALL = {"vocab_size": 128, "hidden_size": 64, "intermediate_size": 80, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
         "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
# The old names of rope keys where they are not rope_theta and partial_rotary_factor.
V4 = {"gpt_neox": {"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"}}


def small(**changes):
    config = dict(SMALL, **changes)
    return {key: value for key, value in config.items() if value != "drop"}


def rope(kind, theta=10000.0, **keys):
    return dict({"rope_type": kind, "rope_theta": theta}, **keys)


LLAMA3 = rope("llama3", 500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=32)
FALCON = {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 128,
          "ffn_hidden_size": 80, "bos_token_id": 1, "eos_token_id": 2}
GPT2 = {"vocab_size": 128, "n_positions": 128, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_inner": 80,
        "bos_token_id": 1, "eos_token_id": 2}
OPT = {"vocab_size": 128, "hidden_size": 64, "num_hidden_layers": 2, "ffn_dim": 80,
       "max_position_embeddings": 128, "num_attention_heads": 4, "bos_token_id": 1,
       "eos_token_id": 2, "pad_token_id": 0}
MOE = {"num_experts": 6, "num_experts_per_tok": 3, "moe_intermediate_size": 16, "intermediate_size": 32}
PHI3_FACTORS = {"short_factor": [1.0, 1.05, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6],
                "long_factor": [1.0, 1.3, 1.9, 2.8, 4.0, 5.5, 7.5, 10.0]}

# Latent attention; the mixtures with it.
LATENT = {"num_hidden_layers": 3, "num_key_value_heads": 4, "kv_lora_rank": 32, "q_lora_rank": 48,
          "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 24}
DEEPSEEK = {"n_routed_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 32,
            "n_shared_experts": 2, "first_k_dense_replace": 1}
# Of few heads' scores several are 0, and transformers breaks ties by how long the prompt is.
INDEX = {"index_n_heads": 16, "index_head_dim": 16, "index_topk": 12}
DEEPSEEK_YARN = rope("yarn", factor=4.0, original_max_position_embeddings=32, beta_fast=32.0, beta_slow=1.0,
                     mscale=1.0, mscale_all_dim=1.0)

FAMILIES = {
    "arcee": dict(type="arcee", config=small(mlp_bias=True), gguf=("arcee", "permute")),
    "apertus": dict(type="apertus", config=small(rope_parameters=dict(LLAMA3)), gguf=("apertus",)),
    "bitnet": dict(type="bitnet", config=small(attention_bias=True)),
    "bitnet_silu": dict(type="bitnet", v4=False, gguf=("bitnet",), config=small(
        hidden_act="silu", tie_word_embeddings=True)),
    "bitnet_bitlinear": dict(type="bitnet", v4=False, ternary="bitlinear", config=small(attention_bias=True)),
    "bitnet_autobitlinear": dict(type="bitnet", v4=False, ternary="autobitlinear", config=small(
        attention_bias=True, tie_word_embeddings=True)),
    "bitnet_online": dict(type="bitnet", v4=False, ternary="online", config=small()),
    "cohere": dict(type="cohere", config=small(), gguf=("command-r",)),
    "cohere_qk_norm": dict(type="cohere", config=small(use_qk_norm=True, attention_bias=True),
                           gguf=("command-r",)),
    "cohere2": dict(type="cohere2", config=small(num_hidden_layers=4, sliding_window=8),
                    gguf=("cohere2",)),
    "cwm": dict(type="cwm", config=small(head_dim=32, num_hidden_layers=3, sliding_window=8,
                                         rope_parameters=dict(LLAMA3))),
    "diffllama": dict(type="diffllama", config=small(
        num_hidden_layers=3, num_attention_heads=8, num_key_value_heads=4, head_dim=16, attention_bias=True)),
    # Prompts and answers beyond what a query sees. In the first layer equal tokens have equal weights, and
    # transformers breaks ties by how long the prompt is.
    "doge": dict(type="doge", distinct=True, config=small(
        vocab_size=512, keep_window_size=12, attention_bias=True, mlp_bias=True)),
    "doge_window": dict(type="doge", config=small(sliding_window=8, tie_word_embeddings=True)),
    # Of several rows at once its router would mix them up (families/doge.cc).
    "doge_moe": dict(type="doge", whole=False, config=small(
        is_moe=True, num_experts=27, num_experts_per_tok=6, norm_topk_prob=True, mlp_bias=True)),
    "ernie4_5": dict(type="ernie4_5", config=small(head_dim=16, use_bias=True), gguf=("ernie4_5",)),
    "exaone4": dict(type="exaone4", config=small(num_hidden_layers=4, sliding_window=8, head_dim=16),
                    gguf=("exaone4",)),
    "falcon": dict(type="falcon", config=dict(FALCON, multi_query=True), gguf=("falcon",)),
    "falcon_40b": dict(type="falcon", gguf=("falcon",),
                       config=dict(FALCON, new_decoder_architecture=True, num_kv_heads=2, bias=True)),
    "falcon_11b": dict(type="falcon", gguf=("falcon",),
                       config=dict(FALCON, new_decoder_architecture=True, num_kv_heads=2,
                                   num_ln_in_parallel_attn=1)),
    # Its eager attention adds ALiBi twice.
    "falcon_rw": dict(type="falcon", attention="sdpa", config=dict(FALCON, multi_query=False, parallel_attn=False,
                                                                   alibi=True, bias=True)),
    # Slopes that are no powers of two.
    "falcon_rw_heads": dict(type="falcon", attention="sdpa", prompts=(5, 40, 300), config=dict(
        FALCON, hidden_size=128, num_attention_heads=32, multi_query=False, parallel_attn=False, alibi=True, bias=True)),
    "gemma": dict(type="gemma", config=small(head_dim=32), gguf=("gemma", "plus_one")),
    "gemma2": dict(type="gemma2", gguf=("gemma2", "plus_one"),
                   config=small(head_dim=16, sliding_window=8, query_pre_attn_scalar=16)),
    "gemma3_text": dict(type="gemma3_text", gguf=("gemma3", "plus_one"), v4=False,
                        config=small(head_dim=16, sliding_window=8, num_hidden_layers=6,
                                     query_pre_attn_scalar=16)),
    "glm": dict(type="glm", config=small(head_dim=16), gguf=("chatglm",)),
    "glm4": dict(type="glm4", config=small(head_dim=16), gguf=("glm4",)),
    "gpt2": dict(type="gpt2", config=GPT2, gguf=("gpt2",)),
    "gpt_neox": dict(type="gpt_neox", config=small(num_key_value_heads="drop"), gguf=("gptneox",)),
    "gpt_neox_sequential": dict(type="gpt_neox",
                                config=small(num_key_value_heads="drop", use_parallel_residual=False)),
    "granite": dict(type="granite", gguf=("granite", "permute"),
                    config=small(attention_multiplier=0.2, embedding_multiplier=3.0,
                                 residual_multiplier=0.7, logits_scaling=1.5)),
    "helium": dict(type="helium", config=small(head_dim=16)),
    "hunyuan_v1_dense": dict(type="hunyuan_v1_dense", config=small(head_dim=16),
                             gguf=("hunyuan-dense",)),
    "hunyuan_alpha": dict(type="hunyuan_v1_dense",
                          config=small(head_dim=16, rope_parameters=rope("dynamic", alpha=50.0, factor=1.0))),
    "llama": dict(type="llama", config=small(attention_bias=True, mlp_bias=True),
                  gguf=("llama", "permute")),
    "llama_tied": dict(type="llama", config=small(tie_word_embeddings=True, head_dim=24)),
    "llama_linear": dict(type="llama", config=small(rope_parameters=rope("linear", factor=4.0)),
                         gguf=("llama", "permute")),
    # Below, at and beyond the trained length, and across it.
    "llama_dynamic": dict(type="llama", prompts=(5, 40, 60, 64, 70, 100),
                          config=small(max_position_embeddings=64,
                                       rope_parameters=rope("dynamic", factor=4.0))),
    "llama_longrope": dict(type="llama", prompts=(5, 60, 70), config=small(
        rope_parameters=rope("longrope", original_max_position_embeddings=64, factor=8.0, **PHI3_FACTORS))),
    "llama3_rope": dict(type="llama", config=small(rope_parameters=dict(LLAMA3)),
                        old_type_key=False, gguf=("llama", "permute")),
    "ministral": dict(type="ministral", keep_layer_types=True,
                      config=small(sliding_window=8, head_dim=16,
                                  layer_types=["full_attention", "sliding_attention"])),
    "ministral3": dict(type="ministral3", v4=False, gguf=("mistral3", "permute"),
                       config=small(head_dim=32, rope_parameters=rope(
                           "yarn", 1e6, factor=16.0, original_max_position_embeddings=16,
                           beta_fast=32.0, beta_slow=1.0, mscale=1.0, mscale_all_dim=1.0,
                           llama_4_scaling_beta=0.1))),
    "mistral": dict(type="mistral", config=small(sliding_window=8)),
    "nemotron": dict(type="nemotron", gguf=("nemotron", "plus_one"),
                     config=small(attention_bias=True, mlp_bias=True)),
    "olmo": dict(type="olmo", config=small(clip_qkv=0.9), gguf=("olmo", "permute")),
    "olmo2": dict(type="olmo2", config=small(), gguf=("olmo2",)),
    "olmo3": dict(type="olmo3", gguf=("olmo2",), config=small(num_hidden_layers=4, sliding_window=8), v4=False),
    "olmo3_yarn": dict(type="olmo3", gguf=("olmo2",), v4=False, config=small(
        num_hidden_layers=4, sliding_window=8, rope_parameters={
            "sliding_attention": rope("default", 20000.0),
            "full_attention": rope("yarn", 20000.0, factor=8.0, original_max_position_embeddings=16,
                                   attention_factor=1.2079441541679836, beta_fast=32.0, beta_slow=1.0)})),
    "opt": dict(type="opt", config=OPT),
    "opt_350m": dict(type="opt", config=dict(OPT, do_layer_norm_before=False, word_embed_proj_dim=32)),
    "phi": dict(type="phi", config=small(), gguf=("phi2",)),
    "phi_qk_norm": dict(type="phi", config=small(qk_layernorm=True)),
    "phi3": dict(type="phi3", config=small(sliding_window=8), gguf=("phi3",)),
    # Short and long sequences, and one that becomes long: from there on all of it counts as long.
    "phi3_long": dict(type="phi3", prompts=(5, 17, 40, 60, 70, 100), v4=False, gguf=("phi3",), cached=False,
                      config=small(original_max_position_embeddings=64,
                                   rope_parameters=rope("longrope", **PHI3_FACTORS))),
    "phi3_short": dict(type="phi3", v4=False,
                       config=small(original_max_position_embeddings=512,
                                    rope_parameters=rope("longrope", **PHI3_FACTORS))),
    "phi4_partial": dict(type="phi3", config=small(tie_word_embeddings=True, rope_parameters=rope(
        "default", partial_rotary_factor=0.75))),
    "qwen2": dict(type="qwen2", config=small(), gguf=("qwen2", "mixed")),
    "qwen2_window": dict(type="qwen2", config=small(use_sliding_window=True, sliding_window=8,
                                                    max_window_layers=1)),
    "qwen2_yarn": dict(type="qwen2", gguf=("qwen2",), config=small(rope_parameters=rope(
        "yarn", factor=4.0, original_max_position_embeddings=32))),
    "qwen3": dict(type="qwen3", config=small(head_dim=24, attention_bias=True), gguf=("qwen3",)),
    "seed_oss": dict(type="seed_oss", config=small(head_dim=16, attention_out_bias=True),
                     gguf=("seed_oss",)),
    "smollm3": dict(type="smollm3", config=small(num_hidden_layers=4), gguf=("smollm3", "permute")),
    "stablelm": dict(type="stablelm", config=small(use_qkv_bias=True), gguf=("stablelm",)),
    "stablelm_12b": dict(type="stablelm", gguf=("stablelm",),
                         config=small(qk_layernorm=True, use_parallel_residual=True)),
    "starcoder2": dict(type="starcoder2", config=small(), gguf=("starcoder2",)),
    "afmoe": dict(type="afmoe", gguf=("afmoe",), config=small(
        num_hidden_layers=4, head_dim=16, sliding_window=8, mup_enabled=True, route_scale=1.7, **MOE)),
    "dots1": dict(type="dots1", gguf=("dots1",), config=small(
        num_hidden_layers=3, head_dim=16, n_shared_experts=2, first_k_dense_replace=1,
        routed_scaling_factor=1.5, norm_topk_prob=True, n_routed_experts=6, num_experts_per_tok=3,
        moe_intermediate_size=16, intermediate_size=32)),
    "ernie4_5_moe": dict(type="ernie4_5_moe", gguf=("ernie4_5-moe",), config=small(
        num_hidden_layers=3, use_bias=True, moe_num_experts=8, moe_k=3, moe_intermediate_size=16, intermediate_size=32,
        moe_num_shared_experts=2)),
    "exaone_moe": dict(type="exaone_moe", gguf=("exaone-moe",), keep_layer_types=True, config=small(
        num_hidden_layers=4, head_dim=16, sliding_window=8, n_group=4, topk_group=2, **dict(MOE, num_experts=8))),
    "flex_olmo": dict(type="flex_olmo", config=small(intermediate_size=32, num_experts=5, num_experts_per_tok=3)),
    "glm4_moe": dict(type="glm4_moe", gguf=("glm4moe",), config=small(
        num_hidden_layers=3, head_dim=16, use_qk_norm=True, attention_bias=True, n_group=4, topk_group=2,
        routed_scaling_factor=2.5, n_routed_experts=8, num_experts_per_tok=3, moe_intermediate_size=16, intermediate_size=32)),
    "gpt_oss": dict(type="gpt_oss", gguf=("gpt-oss",), keep_layer_types=True, config=small(
        intermediate_size=24, head_dim=16, sliding_window=8, num_local_experts=6, num_experts_per_tok=3,
        rope_parameters=rope("yarn", 150000.0, factor=8.0, beta_fast=32.0, beta_slow=1.0, truncate=False,
                             original_max_position_embeddings=16))),
    "granitemoe": dict(type="granitemoe", gguf=("granitemoe", "permute"), config=small(
        intermediate_size=24, num_local_experts=6, num_experts_per_tok=3, attention_multiplier=0.2, embedding_multiplier=3.0,
        residual_multiplier=0.7, logits_scaling=1.5)),
    "granitemoeshared": dict(type="granitemoeshared", config=small(
        intermediate_size=24, num_local_experts=6, num_experts_per_tok=3, shared_intermediate_size=48)),
    "hunyuan_v1_moe": dict(type="hunyuan_v1_moe", gguf=("hunyuan-moe",), config=small(
        intermediate_size=24, head_dim=16, num_experts=6, moe_topk=3)),
    # Three layers in chunks of 8, one that sees everything and whose queries grow.
    "llama4_text": dict(type="llama4_text", keep_layer_types=True, config=small(
        intermediate_size=24, num_hidden_layers=4, head_dim=16, intermediate_size_mlp=48, num_local_experts=4,
        interleave_moe_layer_step=2, attention_chunk_size=8, floor_scale=4, attn_scale=0.3)),
    "llama4_scout": dict(type="llama4_text", keep_layer_types=True, gguf=("llama4",), config=small(
        intermediate_size=24, num_hidden_layers=4, head_dim=16, intermediate_size_mlp=48, num_local_experts=4)),
    "minimax_m2": dict(type="minimax_m2", gguf=("minimax-m2",), config=small(
        intermediate_size=24, head_dim=16, num_local_experts=6, num_experts_per_tok=3,
        rope_parameters=rope("default", 5e6, partial_rotary_factor=0.5))),
    "mixtral": dict(type="mixtral", gguf=("llama", "permute"), config=small(
        intermediate_size=24, num_local_experts=6, num_experts_per_tok=3)),
    "olmoe": dict(type="olmoe", gguf=("olmoe",), config=small(
        intermediate_size=24, num_experts=6, num_experts_per_tok=3, clip_qkv=0.9)),
    "phimoe": dict(type="phimoe", gguf=("phimoe",), config=small(
        intermediate_size=24, num_local_experts=6, lm_head_bias=True, attention_bias=True)),
    "phimoe_long": dict(type="phimoe", prompts=(5, 12, 40), v4=False, cached=False, config=small(
        intermediate_size=24, num_local_experts=6, original_max_position_embeddings=16, rope_parameters=rope(
            "longrope", original_max_position_embeddings=16, short_mscale=1.1, long_mscale=1.3, **PHI3_FACTORS))),
    "qwen2_moe": dict(type="qwen2_moe", gguf=("qwen2moe",), config=small(
        shared_expert_intermediate_size=48, **MOE)),
    "qwen2_moe_mixed": dict(type="qwen2_moe", config=small(
        num_hidden_layers=3, mlp_only_layers=[1], shared_expert_intermediate_size=48, norm_topk_prob=True,
        use_sliding_window=True, sliding_window=8, max_window_layers=2, **MOE)),
    "qwen3_moe": dict(type="qwen3_moe", gguf=("qwen3moe",), config=small(
        head_dim=24, norm_topk_prob=True, **MOE)),
    "qwen3_moe_mixed": dict(type="qwen3_moe", config=small(
        num_hidden_layers=4, head_dim=16, decoder_sparse_step=2, **MOE)),
    # Names as transformers 5 has them in memory.
    "ernie4_5_moe_new": dict(type="ernie4_5_moe", v4=False, new_names=True, config=small(
        moe_num_experts=4, moe_k=2, moe_intermediate_size=16, intermediate_size=32)),
    "granitemoe_new": dict(type="granitemoe", v4=False, new_names=True, config=small(
        intermediate_size=24, num_local_experts=4, num_experts_per_tok=2)),
    "minimax_m2_new": dict(type="minimax_m2", v4=False, new_names=True, config=small(
        intermediate_size=24, head_dim=16, num_local_experts=4, num_experts_per_tok=2)),
    "phimoe_new": dict(type="phimoe", v4=False, new_names=True, config=small(
        intermediate_size=24, num_local_experts=4)),
    "solar_open": dict(type="solar_open", config=small(
        head_dim=16, n_shared_experts=2, n_routed_experts=6, num_experts_per_tok=3, moe_intermediate_size=16, intermediate_size=32)),
    "vaultgemma": dict(type="vaultgemma", config=small(head_dim=16, sliding_window=8, query_pre_attn_scalar=24)),
    "deepseek_v2": dict(type="deepseek_v2", gguf=("deepseek2", "kv_b"), config=small(
        topk_method="greedy", **LATENT, **DEEPSEEK)),
    "deepseek_v2_lite": dict(type="deepseek_v2", gguf=("deepseek2",), config=small(
        topk_method="group_limited_greedy", n_group=4, topk_group=2, routed_scaling_factor=1.7,
        rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=32, mscale=0.7,
                             mscale_all_dim=0.7, beta_fast=32.0, beta_slow=1.0),
        **dict(LATENT, q_lora_rank=None), **DEEPSEEK)),
    "deepseek_v3": dict(type="deepseek_v3", gguf=("deepseek2",), config=small(
        n_group=4, topk_group=2, routed_scaling_factor=2.5, attention_bias=True,
        rope_parameters=dict(DEEPSEEK_YARN), **LATENT, **DEEPSEEK)),
    # Queries straight from the stream, which have no bias; null flags mean no.
    "deepseek_v3_flat": dict(type="deepseek_v3", v4=False, config=small(
        n_group=2, topk_group=1, attention_bias=True, norm_topk_prob=None, rope_interleave=None,
        **dict(LATENT, q_lora_rank=None, num_hidden_layers=2), **DEEPSEEK)),
    "deepseek_v32": dict(type="deepseek_v32", config=small(
        n_group=4, topk_group=2, **LATENT, **DEEPSEEK, **INDEX)),
    "glm4_moe_lite": dict(type="glm4_moe_lite", gguf=("deepseek2",), config=small(
        routed_scaling_factor=1.8, **LATENT, **DEEPSEEK)),
    "glm_moe_dsa": dict(type="glm_moe_dsa", gguf=("glm-dsa",), config=small(**LATENT, **DEEPSEEK, **INDEX)),
    "glm_moe_dsa_shared": dict(type="glm_moe_dsa", config=small(
        indexer_types=["full", "shared", "full"], **LATENT, **DEEPSEEK, **INDEX)),
    "minicpm3": dict(type="minicpm3", gguf=("minicpm3", "kv_b"), config=small(
        tie_word_embeddings=True, dim_model_base=256, **dict(LATENT, v_head_dim=16))),
    # (Loading it with a padding id clears that row of the embedding.)
    "youtu": dict(type="youtu", gguf=("deepseek2",), config=small(
        tie_word_embeddings=True, pad_token_id="drop", **LATENT)),
}
FAMILIES.update(STATE_FAMILIES)
