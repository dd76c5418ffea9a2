#!/usr/bin/env python3
"""Makes tests/golden/qwen: a random Qwen2.5-VL of a few thousand weights, and what transformers computes with it.

    python make_qwen.py            # writes ./qwen beside this file

Made with torch 2.15.0, transformers 5.23, pillow 13.0.0, safetensors; CPU, float32, eager attention, one thread.
Weights are rounded to bfloat16 before anything is computed, so that the checkpoint is half the size and exact.

Files (each below 200 kB):
    config.json, preprocessor_config.json, model.safetensors
    <case>.png           the case's pictures, side by side order: <case>_0.png, <case>_1.png …
    <case>.safetensors   input_ids [t], taught [t] (1 where the token is a target), position_ids [3, t], rope_delta [1],
                         vision_out [k, d], logits [t, v], loss [1], greedy [8] and margin [8] (through the cache);
                         pixel_values [p, 1176] for the case `small`
    <case>.gradients.<part>.safetensors   every parameter's gradient of the loss, vision and text apart
"""
import json, os
import numpy as np, torch
from PIL import Image
from safetensors.numpy import save_file
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2VLImageProcessorPil

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "qwen")
SEED = 20
START, END, PAD, VOCAB = 297, 298, 299, 300


def configuration():
    text = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                vocab_size=VOCAB, rms_norm_eps=1e-6, rope_theta=1e6, max_position_embeddings=4096, hidden_act="silu",
                rope_scaling=dict(type="mrope", mrope_section=[1, 1, 2]), tie_word_embeddings=False)
    vision = dict(depth=2, hidden_size=16, intermediate_size=20, num_heads=2, out_hidden_size=32, in_channels=3, in_chans=3,
                  patch_size=14, temporal_patch_size=2, spatial_merge_size=2, window_size=112, fullatt_block_indexes=[1],
                  hidden_act="silu", tokens_per_second=2)
    return dict(architectures=["Qwen2_5_VLForConditionalGeneration"], model_type="qwen2_5_vl", vision_config=vision,
                vision_start_token_id=START, vision_end_token_id=END, image_token_id=PAD, video_token_id=296,
                bos_token_id=290, eos_token_id=291, **text)


def picture(rng, width, height):
    """Blobs of colour: smooth enough to show resampling, no two alike."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [128 + 100 * np.sin(x / rng.uniform(3, 20) + rng.uniform(0, 6)) * np.cos(y / rng.uniform(3, 20)) for _ in range(3)]
    return Image.fromarray(np.clip(np.stack(waves, -1) + rng.normal(0, 6, (height, width, 3)), 0, 255).astype(np.uint8))


def main():
    torch.set_num_threads(1)
    os.makedirs(HERE, exist_ok=True)
    json.dump(configuration(), open(f"{HERE}/config.json", "w"), indent=1)
    json.dump(dict(min_pixels=3136, max_pixels=28 * 28 * 40, patch_size=14, temporal_patch_size=2, merge_size=2,
                   image_mean=[0.48145466, 0.4578275, 0.40821073], image_std=[0.26862954, 0.26130258, 0.27577711]),
              open(f"{HERE}/preprocessor_config.json", "w"), indent=1)
    torch.manual_seed(SEED)
    config = Qwen2_5_VLConfig.from_pretrained(HERE)
    config._attn_implementation = "eager"
    model = Qwen2_5_VLForConditionalGeneration(config).float().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            std = 0.3 if "bias" in name else 1.4 / np.sqrt(p[0].numel()) if p.dim() > 1 else None
            p.copy_(torch.randn_like(p) * std if std else 1 + 0.2 * torch.randn_like(p))
            p.copy_(p.bfloat16().float())
    from safetensors.torch import save_file as save_torch
    short = lambda n: n.replace("model.visual.", "visual.").replace("model.language_model.", "model.")
    save_torch({short(n): p.detach().bfloat16().clone() for n, p in model.named_parameters()},
               f"{HERE}/model.safetensors", metadata={"format": "pt"})
    processor = Qwen2VLImageProcessorPil.from_pretrained(HERE)
    rng = np.random.default_rng(SEED)
    # One picture of one window, and two pictures with windows cut at the edge, several sizes, in one prompt.
    for case, sizes in dict(small=[(50, 61)], mixed=[(200, 120), (84, 84)]).items():
        pictures = [picture(rng, w, h) for w, h in sizes]
        for i, p in enumerate(pictures):
            p.save(f"{HERE}/{case}_{i}.png", optimize=True)
        batch = processor(images=pictures, return_tensors="pt")
        grid = batch["image_grid_thw"]
        ids = [5, 17]
        for g in grid:
            ids += [START] + [PAD] * int(g.prod() // 4) + [END] + rng.integers(0, 290, 3).tolist()
        n_prompt = len(ids)
        ids = torch.tensor([ids + rng.integers(0, 290, 7).tolist()])
        types = (ids == PAD).int()
        images = dict(pixel_values=batch["pixel_values"], image_grid_thw=grid)
        out = {"input_ids": ids[0].numpy(), "grid_thw": grid.numpy()}
        if case == "small":
            out["pixel_values"] = batch["pixel_values"].numpy()
        position_ids, delta = model.model.get_rope_index(ids, mm_token_type_ids=types, image_grid_thw=grid, attention_mask=torch.ones_like(ids))
        out["position_ids"], out["rope_delta"] = position_ids[:, 0].numpy(), delta.reshape(1).numpy()
        model.model.rope_deltas = None
        model.zero_grad()
        result = model(input_ids=ids, mm_token_type_ids=types, attention_mask=torch.ones_like(ids), use_cache=False, **images)
        taught = torch.zeros_like(ids[0]); taught[n_prompt:] = 1
        loss = torch.nn.functional.cross_entropy(result.logits[0, n_prompt - 1:-1], ids[0, n_prompt:])
        loss.backward()
        with torch.no_grad():
            out["vision_out"] = model.model.visual(batch["pixel_values"], grid_thw=grid).pooler_output.numpy()
            model.model.rope_deltas = None
            greedy = model.generate(input_ids=ids[:, :n_prompt], mm_token_type_ids=types[:, :n_prompt], attention_mask=torch.ones(1, n_prompt, dtype=torch.long),
                                    do_sample=False, max_new_tokens=8, eos_token_id=None, output_logits=True, return_dict_in_generate=True, **images)
        scores = torch.stack([x[0] for x in greedy.logits]).float()
        top = scores.topk(2, -1).values
        out.update(taught=taught.numpy(), logits=result.logits[0].detach().numpy(), loss=loss.detach().reshape(1).numpy(),
                   n_prompt=np.array([n_prompt]), greedy=greedy.sequences[0, n_prompt:].numpy(), margin=(top[:, 0] - top[:, 1]).numpy())
        save_file({k: np.ascontiguousarray(v) for k, v in out.items()}, f"{HERE}/{case}.safetensors")
        gradients = {short(n): p.grad.numpy() for n, p in model.named_parameters()}
        for part in ("visual", "text"):
            save_file({n: np.ascontiguousarray(g) for n, g in gradients.items() if n.startswith("visual.") == (part == "visual")},
                      f"{HERE}/{case}.gradients.{part}.safetensors")
        print(case, "tokens", ids.shape[1], "loss", float(loss), "smallest margin", float(out["margin"].min()))
    for f in sorted(os.listdir(HERE)):
        print(f, os.path.getsize(f"{HERE}/{f}"))


main()
