#!/usr/bin/env python3
"""Makes checkpoints for engine/weights: what torch.save writes, and what an attacker would.

    python tests/golden/make_torch.py

Made with torch 2.15.0, Python 3.11. Writes into weights/ beside itself:
- state.pt: a bare state dict of every kind of tensor; training.pt: the same inside a training checkpoint, with `module.` and the
  state of an optimiser; legacy.pt: the format from before torch 1.6; script.pt: a TorchScript program; expected.safetensors: what
  a reader should find in the first two.
- evil_*.pt: archives whose pickles would run a command (they name one that does nothing) or that lie.
"""
import collections, io, os, pickle, zipfile
import torch
from safetensors.torch import save_file

here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "weights")
os.makedirs(here, exist_ok=True)
torch.manual_seed(20251121)

base = torch.randn(6, 8)
state = collections.OrderedDict()
state["plain"] = torch.randn(3, 5)
state["half"] = torch.randn(4).half()
state["brain"] = torch.randn(4).bfloat16()
state["double"] = torch.randn(3).double()
state["scalar"] = torch.tensor(2.6592)
state["transposed"] = base.t()
state["sliced"] = base[1:5:2, 2:7]
state["shared"] = base
state["parameter"] = torch.nn.Parameter(torch.randn(2, 2))
state["empty"] = torch.empty(0, 4)
state["positions"] = torch.arange(7)
state["flag"] = torch.tensor([True, False])
floats = {k: v.detach().contiguous().clone() for k, v in state.items() if v.is_floating_point()}
floats["double"] = floats["double"].float()
save_file(floats, os.path.join(here, "expected.safetensors"))
state._metadata = collections.OrderedDict([("", {"version": 1})])
torch.save(state, os.path.join(here, "state.pt"))

model = torch.nn.Linear(4, 3)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
model(torch.randn(2, 4)).sum().backward()
optimizer.step()
training = {
    "epoch": 3, "name": "ViT-B-16", "state_dict": collections.OrderedDict((f"module.{k}", v) for k, v in state.items()),
    "optimizer": optimizer.state_dict(), "scaler": {"scale": 65536.0, "growth_factor": 2.0, "_growth_tracker": 0},
    "shape": torch.Size([2, 3]), "device": torch.device("cpu"), "dtype": torch.float32, "seed": 1 << 80, "none": None, "minus": -5,
}
torch.save(training, os.path.join(here, "training.pt"))
torch.save(state, os.path.join(here, "legacy.pt"), _use_new_zipfile_serialization=False)
torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), os.path.join(here, "script.pt"))


def archive(name, program, members=(), compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(os.path.join(here, f"evil_{name}.pt"), "w", compression) as z:
        z.writestr("archive/data.pkl", program)
        for key, data in members:
            z.writestr(f"archive/data/{key}", data)
        z.writestr("archive/byteorder", "little")


class Call:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


archive("system", pickle.dumps({"w": Call(os.system, "true")}, protocol=2))
archive("eval", pickle.dumps({"w": Call(eval, "1")}, protocol=4))
archive("getattr", pickle.dumps({"w": Call(getattr, "x", "upper")}, protocol=2))
archive("compressed", pickle.dumps({"w": 1}, protocol=2), compression=zipfile.ZIP_DEFLATED)
archive("proto5", pickle.dumps({"w": 1}, protocol=5))
archive("deep", b"\x80\x02" + b"]" * 20_000 + b"a" * 19_999 + b".")
archive("unfinished", b"\x80\x02}q\x00")
archive("no_dict", b"\x80\x02K\x01.")


def tensor(n_element, offset, shape, strides, n_byte=16):
    def tup(xs):
        return b"(" + b"".join(b"J" + x.to_bytes(4, "little", signed=True) for x in xs) + b"t"
    def text(s):
        return b"X" + len(s).to_bytes(4, "little") + s
    number = lambda n: b"\x8a\x08" + n.to_bytes(8, "little", signed=True)
    storage = b"(" + text(b"storage") + b"ctorch\nFloatStorage\n" + text(b"0") + text(b"cpu") + number(n_element) + b"tQ"
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + tup(shape) + tup(strides) + b"\x89}tR"
    return b"\x80\x02}" + text(b"w") + call + b"s.", [("0", bytes(n_byte))]


archive("outside", *tensor(4, 2, [3], [1]))
archive("stride", *tensor(4, 0, [2, 2], [3, 1]))
archive("repeat", *tensor(4, 0, [1_000_000_000, 1_000_000_000], [0, 0]))
archive("overflow", *tensor(4, 2**62, [2**31 - 1, 2**31 - 1, 2**31 - 1], [2**31 - 1] * 3))
archive("negative", *tensor(4, 0, [-2], [1]))
archive("claims", *tensor(1_000_000_000_000, 0, [4], [1]))
archive("fits", *tensor(4, 0, [2, 2], [1, 2]))
