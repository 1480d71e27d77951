#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/models: tiny random checkpoints of every family with transformers' answers.

    python3 -m venv env && env/bin/pip install -r tools/requirements-goldens.txt
    env/bin/python tools/make_goldens.py                 # all of them
    env/bin/python tools/make_goldens.py llama phi3      # some
    env/bin/python tools/make_goldens.py --model DIR --answers FILE   # answers for a checkpoint

A folder holds config.json and model.safetensors (bf16) as transformers 5 writes them, golden.json
(prompt logprobs, greedy ids with logprobs, top 10 and gap; f32, eager attention), and where they
exist config_v4.json (the same model in transformers 4's names) and model.gguf (as llama.cpp
converts it). Everything follows from the seed.
"""
import argparse
import json
import pathlib
import zlib

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.doge.modeling_doge import DogeCDMoE

from make_goldens_families import FAMILIES, V4
from make_goldens_gguf import write_gguf
from make_goldens_ternary import make_ternary

ROOT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "models"
PROMPTS = (5, 17, 40)
NEW_TOKENS = 16

# It gives its router's logits beside its output, and its layers take both for the output.
both = DogeCDMoE.forward
DogeCDMoE.forward = lambda self, hidden_states, **arguments: both(self, hidden_states, **arguments)[0]


def randomize(model, generator):
    """Weights of a spread that makes answers differ, with norms and biases away from 1 and 0."""
    for name, parameter in model.named_parameters():
        data = parameter.data
        noise = torch.randn(data.shape, generator=generator)
        if data.ndim >= 2 and "norm" not in name:
            spread = 1.0 if "embed" in name or "wte" in name or "wpe" in name else 1.5
            data.copy_(noise * spread / data.shape[-1] ** 0.5)
        else:
            data.add_(noise * 0.2)


def prompt_logits(model, ids, cached, whole):
    """A prompt's logits, and the last output, whole or token by token."""
    if whole:
        output = model(torch.tensor([ids]), use_cache=cached)
        return output.logits[0], output
    cache, rows = None, []
    for token in ids:
        output = model(torch.tensor([[token]]), use_cache=True, past_key_values=cache)
        cache = output.past_key_values
        rows.append(output.logits[0])
    return torch.cat(rows), output


def answers(model, prompts, new_tokens, cached=True, whole=True):
    """The cases of golden.json: each prompt, then token by token with a cache (or all anew)."""
    cases = []
    for ids in prompts:
        with torch.no_grad():
            model(torch.tensor([ids[:1]]))  # a dynamic rope remembers the longest text until a short one comes
            logits, output = prompt_logits(model, ids, cached, whole)
            logprobs = torch.log_softmax(logits.float(), -1)
            case = {
                "prompt_ids": ids,
                "prompt_logprobs": [None] + [round(logprobs[i, t].item(), 6) for i, t in enumerate(ids[1:])],
                "greedy_ids": [], "greedy_logprobs": [], "greedy_top10": [], "gap": [],
            }
            row = logprobs[-1]
            for _ in range(new_tokens):
                top = torch.topk(row, 10)
                best = [[i, round(v, 6)] for v, i in zip(top.values.tolist(), top.indices.tolist())]
                case["greedy_ids"].append(best[0][0])
                case["greedy_logprobs"].append(best[0][1])
                case["greedy_top10"].append(best)
                case["gap"].append(round(best[0][1] - best[1][1], 6))
                if cached:
                    output = model(torch.tensor([[best[0][0]]]), use_cache=True, past_key_values=output.past_key_values)
                else:
                    output = model(torch.tensor([ids + case["greedy_ids"]]), use_cache=False)
                row = torch.log_softmax(output.logits[0, -1].float(), -1)
        cases.append(case)
    return cases


def load(folder, attention="eager"):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention).eval()


def prompts_of(lengths, vocab_size, generator, distinct=False):
    if distinct:  # no id twice in a prompt
        return [(torch.randperm(vocab_size - 3, generator=generator)[:n] + 3).tolist() for n in lengths]
    return [torch.randint(3, vocab_size, (n,), generator=generator).tolist() for n in lengths]


def config_v4(config, spec):
    """The same config under transformers 4's names."""
    config = dict(config)
    rope = config.pop("rope_parameters", None)
    if rope is not None:
        names = {"rope_theta": "rope_theta", "partial_rotary_factor": "partial_rotary_factor"}
        names.update(V4.get(config["model_type"], {}))
        rope = dict(rope)
        for new, old in names.items():
            if new in rope:
                config[old] = rope.pop(new)
        config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
        if config["rope_scaling"] and spec.get("old_type_key", True):
            rope["type"] = rope.pop("rope_type")
    config["torch_dtype"] = config.pop("dtype")
    config.pop("layer_types", None) if not spec.get("keep_layer_types") else None
    config["transformers_version"] = "4.44.0"
    return config


def make(name, spec):
    folder = ROOT / name
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    config = AutoConfig.for_model(spec["type"], **spec["config"])
    model = AutoModelForCausalLM.from_config(config)
    randomize(model, generator)
    model.to(torch.bfloat16).save_pretrained(folder, save_original_format=not spec.get("new_names", False))
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "model.safetensors").chmod(0o644)

    prompts = prompts_of(spec.get("prompts", PROMPTS), config.vocab_size, generator, spec.get("distinct", False))
    if "drop" in spec:
        path = folder / "model.safetensors"
        save_file({n: t for n, t in load_file(path).items() if n.rsplit(".", 1)[-1] not in spec["drop"]}, path)
    if "ternary" in spec:
        make_ternary(folder, spec["ternary"])
    model = load(folder, spec.get("attention", "eager"))
    cases = answers(model, prompts, NEW_TOKENS, spec.get("cached", True), spec.get("whole", True))
    (folder / "golden.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")
    written = json.loads((folder / "config.json").read_text())
    if spec.get("v4", True):
        old = config_v4(written, spec)
        (folder / "config_v4.json").write_text(json.dumps(old, indent=1) + "\n")
    if "gguf" in spec:
        write_gguf(folder / "model.gguf", spec["gguf"], model, written)
    size = sum(f.stat().st_size for f in folder.iterdir())
    gaps = [g for c in cases for g in c["gap"]]
    print(f"{name:24} {size / 1024:6.0f} KiB, smallest gap {min(gaps):.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="families; all of them when none is named")
    parser.add_argument("--model", help="a checkpoint to answer for, instead of making one")
    parser.add_argument("--answers", help="the file to write its answers to")
    arguments = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(1)
    if arguments.model:
        model = load(arguments.model)
        prompts = prompts_of((5, 17, 40, 96), model.config.vocab_size, torch.Generator().manual_seed(1))
        cases = answers(model, prompts, 32, cached=False)
        pathlib.Path(arguments.answers).write_text(json.dumps(cases) + "\n")
        return
    for name in arguments.names or FAMILIES:
        make(name, FAMILIES[name])


if __name__ == "__main__":
    main()
