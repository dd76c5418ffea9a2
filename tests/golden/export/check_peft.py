#!/usr/bin/env python3
"""Opens exported adapters with peft on an exported base and compares scores with ours.

    check_peft.py BASE_FOLDER ADAPTER_FOLDER EXPECTED.safetensors

EXPECTED as for check_hf.py. Prints the largest distance, relative to the largest score, of the adapted and of the merged
model, as JSON. Run with torch 2.15, transformers 5.23, peft 0.21.2.
"""
import json, sys, warnings
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import Qwen2_5_VLForConditionalGeneration

base, adapters, expected = sys.argv[1:]
torch.set_num_threads(1)
warnings.simplefilter("error", UserWarning)  # peft only warns of tensors that are missing
model = Qwen2_5_VLForConditionalGeneration.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
model = PeftModel.from_pretrained(model, adapters).eval()
want = load_file(expected)
ids = want["input_ids"][None].long()
given = dict(input_ids=ids, mm_token_type_ids=(ids == model.config.image_token_id).int(), attention_mask=torch.ones_like(ids),
             pixel_values=want["pixel_values"], image_grid_thw=want["grid_thw"].long(), use_cache=False)
result = {}
with torch.no_grad():
    for name in ("adapted", "merged"):
        found = model(**given).logits[0]
        result[name] = float((found - want["logits"]).abs().max() / want["logits"].abs().max())
        if name == "adapted":
            model = model.merge_and_unload()
print(json.dumps(result))
