#!/usr/bin/env python3
"""Makes `clip_open_clip.pt` and `clip_open_clip.json`: a tiny CLIP as open_clip saves it, with transformers' features.

    python make_clip.py            # writes beside itself

Made with torch 2.15.0, transformers 5.23.0, numpy 2. The model is random (seed 11). The checkpoint is what
open_clip's trainer writes: `{"epoch", "name", "state_dict", "optimizer"}`, every name behind `module.`, matrices in
half precision, norms in single; attention matrices fused, projections transposed. The features come from
transformers' CLIPModel with the same numbers in 32 bits, once with exact GELU (open_clip's plain models) and once
with the quick form, so that the test can tell that the choice reaches both towers.
"""
import json, os, zlib
import numpy as np, torch
from transformers import CLIPConfig, CLIPModel

HERE = os.path.dirname(os.path.abspath(__file__))
WIDTH, MLP, EMBED, PATCH, SIDE, CONTEXT, VOCAB = 64, 96, 32, 8, 32, 16, 48
TEXTS = [[46, 3, 17, 5, 47], [46, 47], [46] + list(range(1, 15)) + [47]]


def pixels(n):
    """Values a test can compute again: no picture has to be stored."""
    idx = np.arange(n * 3 * SIDE * SIDE, dtype=np.int64)
    return ((idx * 7919 % 1009) / 504.5 - 1.0).astype(np.float32).reshape(n, 3, SIDE, SIDE)


def build(activation):
    tower = dict(hidden_size=WIDTH, intermediate_size=MLP, num_hidden_layers=1, num_attention_heads=1, hidden_act=activation, projection_dim=EMBED)
    return CLIPModel(CLIPConfig(
        projection_dim=EMBED, logit_scale_init_value=2.6592,
        vision_config=dict(image_size=SIDE, patch_size=PATCH, **tower),
        text_config=dict(vocab_size=VOCAB, max_position_embeddings=CONTEXT, bos_token_id=VOCAB - 2, eos_token_id=VOCAB - 1, pad_token_id=0, **tower))).eval()


def randomise(model):
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name == "logit_scale":
                continue
            noise = torch.randn(p.shape, generator=generator)
            if "norm" in name or "layrnorm" in name:
                p.copy_(noise * 0.1 + (1.0 if name.endswith("weight") else 0.0))
            else:  # rounded to half, as it will be stored
                p.copy_((noise * (0.15 if p.ndim > 1 else 0.05)).half().float())


def open_clip_names(sd):
    out = {}
    for tower, prefix, table in (
        ("vision_model", "visual.", {"embeddings.class_embedding": "class_embedding", "embeddings.patch_embedding.weight": "conv1.weight", "embeddings.position_embedding.weight": "positional_embedding",
                                     "pre_layrnorm.weight": "ln_pre.weight", "pre_layrnorm.bias": "ln_pre.bias", "post_layernorm.weight": "ln_post.weight", "post_layernorm.bias": "ln_post.bias"}),
        ("text_model", "", {"embeddings.token_embedding.weight": "token_embedding.weight", "embeddings.position_embedding.weight": "positional_embedding", "final_layer_norm.weight": "ln_final.weight", "final_layer_norm.bias": "ln_final.bias"})):
        for ours, theirs in table.items():
            out[prefix + theirs] = sd[f"{tower}.{ours}"]
        block, to = f"{tower}.encoder.layers.0.", f"{prefix}transformer.resblocks.0."
        for kind in ("weight", "bias"):
            out[f"{to}attn.in_proj_{kind}"] = torch.cat([sd[f"{block}self_attn.{c}_proj.{kind}"] for c in "qkv"])
            for ours, theirs in (("self_attn.out_proj", "attn.out_proj"), ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"), ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj")):
                out[f"{to}{theirs}.{kind}"] = sd[f"{block}{ours}.{kind}"]
    out["visual.proj"], out["text_projection"] = sd["visual_projection.weight"].T.contiguous(), sd["text_projection.weight"].T.contiguous()
    out["logit_scale"] = sd["logit_scale"]
    return out


def main():
    torch.set_num_threads(1)
    reference, state = {}, None
    for activation in ("gelu", "quick_gelu"):
        model = build(activation); randomise(model); state = model.state_dict()
        ids = torch.tensor([t + [0] * (CONTEXT - len(t)) for t in TEXTS])
        with torch.no_grad():
            image = model.visual_projection(model.vision_model(torch.from_numpy(pixels(2))).pooler_output)
            text = model.text_projection(model.text_model(input_ids=ids).pooler_output)
        reference[activation] = dict(image_features=image.tolist(), text_features=text.tolist())
    names = {f"module.{k}": (v.half() if v.ndim > 1 else v.float()).clone() for k, v in open_clip_names(state).items()}
    path = f"{HERE}/clip_open_clip.pt"
    torch.save({"epoch": 3, "name": "tiny", "state_dict": names, "optimizer": {"state": {}, "param_groups": []}}, path)
    json.dump(dict(made_with=f"torch {torch.__version__}", seed=11, image_px=SIDE, texts=TEXTS, features=reference), open(f"{HERE}/clip_open_clip.json", "w"))
    print(os.path.getsize(path), "bytes", hex(zlib.crc32(open(path, "rb").read())))


main()
