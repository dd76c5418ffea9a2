"""Opens an exported CLIP folder with transformers and compares it with what Eosin computed.

    python tests/golden/clip/check_clip_export.py FOLDER EXPECTED.json

Written for transformers 5.23.0 and torch 2.15.0. EXPECTED.json holds the path of a picture, texts, their token
ids, and the features of both; tests/train_clip.rs writes it where EOSIN_PYTHON names a Python that has both
libraries.
"""

import json
import sys

import torch
from PIL import Image
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer


def close(found, expected, what):
    expected = torch.tensor(expected)
    worst = (found - expected).abs().max() / expected.abs().max()
    print(f"{what}: off by {worst:.2e} of the largest")
    if not worst < 2e-4:
        sys.exit(f"{what} differ")


def main():
    folder, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        expected = json.load(file)
    model = CLIPModel.from_pretrained(folder).eval()
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    processor = CLIPImageProcessorPil.from_pretrained(folder)

    for text, ids in zip(expected["texts"], expected["ids"], strict=True):
        found = tokenizer(text, truncation=True)["input_ids"]
        if found != ids:
            sys.exit(f"tokens of {text!r} differ: {found} {ids}")

    pixels = processor(Image.open(expected["picture"]).convert("RGB"), return_tensors="pt")["pixel_values"]
    batch = tokenizer(expected["texts"], padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        image = model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)
        text = model.text_projection(
            model.text_model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).pooler_output
        )
    close(image, expected["image_features"], "picture features")
    close(text, expected["text_features"], "text features")
    close(model.logit_scale.detach().reshape(1), [expected["logit_scale"]], "temperature")


main()
