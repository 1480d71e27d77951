# SPDX-License-Identifier: Apache-2.0
"""Gives a tiny model BitNet's ternary matrices, in one of the forms that transformers reads."""
import json
import os

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")  # its packing is compiled else

import torch
from safetensors.torch import load_file, save_file
from transformers.integrations.bitnet import pack_weights
from transformers.quantizers import quantizer_bitnet

quantizer_bitnet.is_accelerate_available = lambda: True  # it is asked for, and not used

FORMS = {"bitlinear": {"linear_class": "bitlinear"},
         "autobitlinear": {"linear_class": "autobitlinear", "quantization_mode": "offline"},
         "online": {"linear_class": "autobitlinear", "quantization_mode": "online"}}


def make_ternary(folder, form):
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = dict(FORMS[form], quant_method="bitnet")
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    if form == "online":
        return
    path = folder / "model.safetensors"
    tensors = load_file(path)
    for name, weight in list(tensors.items()):
        if "_proj.weight" not in name:
            continue
        mean = weight.float().abs().mean()
        tensors[name] = pack_weights((weight.float() / mean).round().clamp(-1, 1))
        scale = mean if form == "autobitlinear" else 1 / mean
        tensors[name + "_scale"] = scale.reshape(1).to(torch.bfloat16)
    save_file(tensors, path, metadata={"format": "pt"})
