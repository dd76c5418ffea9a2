#!/usr/bin/env python3
"""Makes `stains.json`: pixels, and single stains of them as scikit-image separates and mixes them.

    python make_stains.py          # writes beside itself

Made with scikit-image 0.26.0, numpy 2. The vectors are those of Ruifrok and Johnston (2001); the third of each pair
is the cross product of the first two, all of unit length. No value is zero: there the logarithm has no end, and each
program ends it elsewhere.
"""
import json, os
import numpy as np
from skimage.color import combine_stains, separate_stains

HERE = os.path.dirname(os.path.abspath(__file__))
H, E, D = (0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78)
PAIRS = {"h": (H, E), "e": (E, H), "hd": (H, D), "d": (D, H)}

rng = np.random.default_rng(5)
pixels = np.concatenate([
    rng.integers(1, 256, (180, 3)),
    [[255, 255, 255], [1, 1, 1], [128, 128, 128], [90, 60, 140], [220, 130, 170], [120, 80, 40]],
]).astype(np.float64)

views = {}
for code, pair in PAIRS.items():
    own, other = (np.array(v) / np.linalg.norm(v) for v in pair)
    rest = np.cross(own, other)
    mixing = np.stack([own, other, rest / np.linalg.norm(rest)])
    stains = separate_stains(pixels[None] / 255.0, np.linalg.inv(mixing))
    alone = stains * [1, 0, 0]
    views[code] = combine_stains(alone, mixing)[0]
    # Grey is the amount as a density of its own: a stain that takes the same of each channel.
    views[code + "-grey"] = combine_stains(alone, np.ones((3, 3)))[0]

as_list = lambda values: [int(v) for v in np.round(values).astype(int).ravel()]
out = {"pixels": as_list(pixels), "views": {code: as_list(light * 255.0) for code, light in views.items()}}
with open(os.path.join(HERE, "stains.json"), "w") as file:
    json.dump(out, file, separators=(",", ":"))
