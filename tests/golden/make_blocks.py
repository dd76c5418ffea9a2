#!/usr/bin/env python3
"""Makes the references of engine/weights: blocks, quantised rows and hashes, all computed by gguf-py.

    python tests/golden/make_blocks.py [--kit ../shared/conformance/kit/gguf]

Made with gguf 0.19.0, numpy 2.4.6, Python 3.11. Writes beside itself:
- weights/blocks.gguf: for each type T, `T` random blocks and `T.f32` what gguf-py makes of them; `rows` and `rows.T`, floats and
  gguf-py's quantisation of them (it has one for Q8_0 and Q4_0, and roundings for F16 and BF16).
- weights/kit_tensors.json (with --kit): for each tensor of each file there, the SHA-256 of its elements as float32.
"""
import argparse, hashlib, json, os
import numpy as np
import gguf
from gguf import GGMLQuantizationType as T

ap = argparse.ArgumentParser()
ap.add_argument("--kit")
a = ap.parse_args()
here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "weights")
os.makedirs(here, exist_ok=True)
rng = np.random.default_rng(20251121)

TYPES = [T.F16, T.BF16, T.Q8_0, T.Q4_0, T.Q4_K, T.Q5_K, T.Q6_K]
# Where the f16 scales of a block lie, in bytes.
SCALES = {T.Q8_0: [0], T.Q4_0: [0], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208]}


def scales(n):
    """Finite halves of every size: normal, subnormal, negative, zero, the largest."""
    x = rng.integers(0, 2**16, n, dtype=np.uint16)
    x = np.where((x & 0x7C00) == 0x7C00, x & 0x83FF, x)
    x[:4] = [0x0000, 0x8000, 0x0001, 0x7BFF]
    return x


writer = gguf.GGUFWriter(os.path.join(here, "blocks.gguf"), "test")
for t in TYPES:
    n_element, n_byte = gguf.GGML_QUANT_SIZES[t]
    if n_element == 1:
        raw = rng.integers(0, 2**16, 1024, dtype=np.uint16)
        nan = 0x7C00 if t == T.F16 else 0x7F80
        raw = np.where((raw & nan) == nan, raw & np.uint16(~nan & 0xFFFF), raw)
        raw[:6] = [0, 0x8000, 1, 0x03FF, nan, 0x8000 | nan]
        raw = raw.view(np.uint8).reshape(1, -1)
    else:
        n = 12 if n_element == 256 else 64
        raw = rng.integers(0, 256, (n, n_byte), dtype=np.uint8)
        for at in SCALES[t]:
            raw[:, at : at + 2] = scales(n).view(np.uint8).reshape(n, 2)
        raw = raw.reshape(1, -1)
    values = gguf.quants.dequantize(raw, t).astype(np.float32)
    writer.add_tensor(t.name, raw, raw_dtype=t)
    writer.add_tensor(f"{t.name}.f32", values)

rows = rng.standard_normal((40, 64)).astype(np.float32)
rows[0] = 0
rows[1] = 1
rows[2] = -3
rows[3] *= np.float32(1e-7)
rows[4] *= np.float32(1e4)
rows[5] = np.arange(64) - 32
rows[6] = (np.arange(64) - 32) * 0.5
rows[7, 1:] = 0
rows[8] = np.abs(rows[8])
rows[9] *= np.float32(1e-35)
rows[10] = np.repeat([-1, 1], 32)
writer.add_tensor("rows", rows)
for t in [T.Q8_0, T.Q4_0, T.F16, T.BF16]:
    writer.add_tensor(f"rows.{t.name}", gguf.quants.quantize(rows, t), raw_dtype=t)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

if a.kit:
    hashes = {}
    for name in sorted(os.listdir(a.kit)):
        if name.endswith(".gguf"):
            of_file = hashes[name] = {}
            for tensor in gguf.GGUFReader(os.path.join(a.kit, name)).tensors:
                values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype("<f4")
                shape = [int(n) for n in reversed(tensor.shape)]
                of_file[tensor.name] = [tensor.tensor_type.name, shape, hashlib.sha256(values.tobytes()).hexdigest()]
    with open(os.path.join(here, "kit_tensors.json"), "w") as f:
        json.dump(hashes, f, indent=0)
        f.write("\n")
