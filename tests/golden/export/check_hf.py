#!/usr/bin/env python3
"""Opens an exported Hugging Face folder with transformers and compares its scores with ours.

    check_hf.py FOLDER EXPECTED.safetensors TEXT

EXPECTED has input_ids [t], pixel_values [p, 1176], grid_thw [n, 3], logits [t, v], and text_ids, our tokens of TEXT; all
as floats. Prints the largest distance, relative to the largest score, and whether the tokens are the same, as JSON. Run
with torch 2.15, transformers 5.23.
"""
import json, sys
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

folder, expected, text = sys.argv[1:]
torch.set_num_threads(1)
model, report = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
missing = [name for name in report["missing_keys"] if name != "lm_head.weight"]
assert not missing and not report["unexpected_keys"] and not report["mismatched_keys"], report
want = load_file(expected)
ids = want["input_ids"][None].long()
with torch.no_grad():
    found = model.eval()(input_ids=ids, mm_token_type_ids=(ids == model.config.image_token_id).int(), attention_mask=torch.ones_like(ids),
                         pixel_values=want["pixel_values"], image_grid_thw=want["grid_thw"].long(), use_cache=False).logits[0]
result = {"logits": float((found - want["logits"]).abs().max() / want["logits"].abs().max())}
tokenizer = AutoTokenizer.from_pretrained(folder)
result["tokenizer"] = tokenizer(text, add_special_tokens=False)["input_ids"] == want["text_ids"].long().tolist()
print(json.dumps(result))
