#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/gguf: blocks of every GGML type that we read, and their values.

  TYPE.bin    blocks with random bits and finite scales (some subnormal, some of the largest)
  TYPE.f32    what the `gguf` package's own dequantization makes of them, little-endian f32
  types.gguf  the same blocks as one file, tensors named by type

Needs: pip install gguf==0.19.0
"""

import argparse
import pathlib

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T

ROWS, COLS = 2, 768

# Byte offsets of the f16 scales within a block.
SCALES = {
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
    T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
}


def random_scales(rng, count):
    """Finite f16 bit patterns: mostly ordinary weights' scales, every third anything finite."""
    ordinary = rng.normal(0, 0.02, count).astype(np.float16).view(np.uint16)
    anything = rng.integers(0, 1 << 16, count, dtype=np.uint16)
    anything[(anything & 0x7C00) == 0x7C00] &= 0x83FF  # no infinity, no NaN: subnormals instead
    return np.where(np.arange(count) % 3 == 2, anything, ordinary)


def make_blocks(kind, rng):
    if kind == T.F32:
        return rng.normal(0, 1, (ROWS, COLS)).astype(np.float32).view(np.uint8)
    if kind in (T.F16, T.BF16):
        bits = rng.integers(0, 1 << 16, (ROWS, COLS), dtype=np.uint16)
        exponent = 0x7C00 if kind == T.F16 else 0x7F80
        bits[(bits & exponent) == exponent] &= 0xFFFF ^ exponent
        return bits.view(np.uint8)
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (ROWS * COLS // elements, size), dtype=np.uint8)
    for offset in SCALES[kind]:
        blocks[:, offset:offset + 2] = random_scales(rng, len(blocks))[:, None].view(np.uint8)
    return blocks.reshape(ROWS, -1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    default = pathlib.Path(__file__).parent.parent / "tests" / "golden" / "gguf"
    parser.add_argument("--out", type=pathlib.Path, default=default)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)

    writer = gguf.GGUFWriter(out / "types.gguf", "llama")
    for kind in [T.F32, T.F16, T.BF16, *SCALES]:
        rng = np.random.default_rng(int(kind))
        blocks = np.ascontiguousarray(make_blocks(kind, rng))
        values = gguf.quants.dequantize(blocks, kind).astype(np.float32)
        assert values.shape == (ROWS, COLS) and np.isfinite(values).all(), kind.name
        name = kind.name.replace("_K", "_k").lower().replace("_k", "_K")
        blocks.tofile(out / f"{name}.bin")
        values.astype("<f4").tofile(out / f"{name}.f32")
        if kind == T.F32:
            writer.add_tensor(name, blocks.view(np.float32))
        else:
            writer.add_tensor(name, blocks, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
