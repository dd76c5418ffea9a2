#!/usr/bin/env python3
"""Makes tests/golden/gguf.safetensors: what transformers computes with the weights of llama.cpp's GGUF files.

    python make_gguf.py <conformance kit>      # the folder that holds `gguf` and `qwen`

Made with torch 2.15.0, transformers 5.23.0, gguf 0.19.0, safetensors 0.8.0; CPU, float32, eager attention, one thread.

llama.cpp rounds activations to 8 bits before it multiplies by packed weights, so its own logits show the arithmetic of
llama.cpp as much as the file. Here the same files are unpacked by gguf-py and multiplied in float32: what is left is the
file. Keys, for each type and case of the kit: `<TYPE>.<case>.logits` [v] after the prompt, `.greedy` [24], `.margin` [24].
"""
import json, os, sys
import numpy as np, torch
from gguf import GGUFReader, dequantize
from safetensors.numpy import load_file, save_file
from transformers import Qwen2_5_VLForConditionalGeneration

KIT = sys.argv[1]
CASES = "square224 text_only landscape gray two_images multi_turn multi_turn_two_images".split()
BLOCK = dict(attn_norm="input_layernorm", ffn_norm="post_attention_layernorm", attn_q="self_attn.q_proj", attn_k="self_attn.k_proj",
             attn_v="self_attn.v_proj", attn_output="self_attn.o_proj", ffn_gate="mlp.gate_proj", ffn_up="mlp.up_proj", ffn_down="mlp.down_proj")


def name_of(gguf):
    if gguf == "token_embd.weight": return "embed_tokens.weight"
    if gguf == "output_norm.weight": return "norm.weight"
    _, layer, part, leaf = gguf.split(".")
    return f"layers.{layer}.{BLOCK[part]}.{leaf}"


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(f"{KIT}/qwen/realhead/model", dtype=torch.float32, attn_implementation="eager").eval()
    pad = model.config.image_token_id
    out = {}
    for kind in "Q8_0 Q4_0 Q4_K_M Q5_K_M Q6_K".split():
        text = dict(model.model.language_model.named_parameters())
        for tensor in GGUFReader(f"{KIT}/gguf/realhead-{kind}.gguf").tensors:
            values = dequantize(tensor.data, tensor.tensor_type).reshape(tuple(int(n) for n in reversed(tensor.shape)))
            text.pop(name_of(tensor.name)).copy_(torch.from_numpy(np.ascontiguousarray(values)))
        assert not text, text.keys()
        for case in CASES:
            folder = f"{KIT}/qwen/realhead/cases/{case}"
            references = load_file(f"{folder}/ref.safetensors")
            ids = torch.from_numpy(references["input_ids"])[None]
            images = dict(pixel_values=torch.from_numpy(references["pixel_values"]),
                          image_grid_thw=torch.from_numpy(references["image_grid_thw"])) if "pixel_values" in references else {}
            model.model.rope_deltas = None
            result = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=(ids == pad).int(), **images, do_sample=False,
                                    max_new_tokens=24, eos_token_id=None, output_logits=True, return_dict_in_generate=True)
            scores = torch.stack([x[0] for x in result.logits]).float()
            top = scores.topk(2, -1).values
            out[f"{kind}.{case}.logits"] = scores[0].numpy()
            out[f"{kind}.{case}.greedy"] = result.sequences[0, ids.shape[1]:].numpy().astype(np.int32)
            out[f"{kind}.{case}.margin"] = (top[:, 0] - top[:, 1]).numpy()
        print(kind, flush=True)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gguf.safetensors")
    save_file({k: np.ascontiguousarray(v) for k, v in out.items()}, path)
    print(os.path.getsize(path))


main()
