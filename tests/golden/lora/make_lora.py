#!/usr/bin/env python3
"""Makes the files beside it: adapters on tests/golden/qwen, and what the peft library computes with them.

    python make_lora.py

Made with torch 2.15.0, transformers 5.23, peft 0.21.2; CPU, float32, eager attention, one thread. The case is `small` of
tests/golden/qwen, whose input_ids, taught tokens and pixel values are read from there.

    adapter_config.json, adapter_model.safetensors   rank 2, alpha 6, on all maps of decoder, tower and merger, as peft
                                                     saves them; B is not zero
    expected.safetensors   logits [t, v] and loss [1] with the adapters; merged.<name> of two merged matrices;
                           gradient.<name> of every adapter tensor, by the names of adapter_model.safetensors
"""
import os, tempfile
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

HERE = os.path.dirname(os.path.abspath(__file__))
BASE = os.path.join(HERE, "..", "qwen")
MAPS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "qkv", "attn.proj", "merger.mlp.0", "merger.mlp.2"]


def main():
    torch.set_num_threads(1)
    torch.manual_seed(21)
    config = Qwen2_5_VLConfig.from_pretrained(BASE)
    config._attn_implementation = "eager"
    model = Qwen2_5_VLForConditionalGeneration(config).float().eval()
    longer = lambda n: n.replace("visual.", "model.visual.") if n.startswith("visual.") else n.replace("model.", "model.language_model.")
    state = {longer(n): t.float() for n, t in load_file(f"{BASE}/model.safetensors").items()}
    print(model.load_state_dict(state, strict=True))
    model = get_peft_model(model, LoraConfig(r=2, lora_alpha=6, lora_dropout=0.0, target_modules=MAPS, bias="none"))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_" in name:
                p.copy_(torch.randn_like(p) * 0.2)
    with tempfile.TemporaryDirectory() as out:
        model.save_pretrained(out)
        adapters = load_file(f"{out}/adapter_model.safetensors")
        save_file(adapters, f"{HERE}/adapter_model.safetensors", metadata={"format": "pt"})
        open(f"{HERE}/adapter_config.json", "w").write(open(f"{out}/adapter_config.json").read())
    case = load_file(f"{BASE}/small.safetensors")
    ids, taught, pixels, grid = (case[n] for n in ("input_ids", "taught", "pixel_values", "grid_thw"))
    ids = ids[None].long()
    result = model(input_ids=ids, mm_token_type_ids=(ids == config.image_token_id).int(), attention_mask=torch.ones_like(ids),
                   pixel_values=pixels, image_grid_thw=grid.long(), use_cache=False)
    places = [i for i in range(1, ids.shape[1]) if taught[i]]
    loss = torch.nn.functional.cross_entropy(result.logits[0, [i - 1 for i in places]], ids[0, places])
    loss.backward()
    out = {"logits": result.logits[0].detach(), "loss": loss.detach().reshape(1)}
    for name, p in model.named_parameters():
        if "lora_" in name:
            out["gradient." + name.replace(".default.", ".")] = p.grad
    assert sorted(n[9:] for n in out if n.startswith("gradient.")) == sorted(adapters)
    merged = dict(model.merge_and_unload().named_parameters())
    for name in ("model.language_model.layers.1.self_attn.k_proj.weight", "model.visual.blocks.0.attn.qkv.weight"):
        out["merged." + name] = merged[name].detach()
    save_file({n: t.contiguous() for n, t in out.items()}, f"{HERE}/expected.safetensors")
    for f in sorted(os.listdir(HERE)):
        print(f, os.path.getsize(f"{HERE}/{f}"))


main()
