"""Loss and gradients of one contrastive batch, by a formula of our own in PyTorch.

    python tests/golden/clip/make_clip_loss.py

Made with torch 2.15.0 and transformers 5.23.0, which gives the two towers; the loss is written out below.
The script also computes the gradients as open_clip's `--accum-freq` does (part by part, the other parts'
features held constant) and stops if they differ from those of the whole batch, so that what is saved holds
for both ways.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel

HERE = Path(__file__).parent
N_PAIR, N_PART = 10, 4


def config():
    tower = {"hidden_size": 24, "intermediate_size": 48, "num_attention_heads": 2, "hidden_act": "quick_gelu"}
    return CLIPConfig(
        projection_dim=12,
        text_config=tower
        | {
            "num_hidden_layers": 2,
            "vocab_size": 40,
            "max_position_embeddings": 9,
            "eos_token_id": 39,
            "bos_token_id": 38,
            "pad_token_id": 39,
        },
        vision_config=tower | {"num_hidden_layers": 2, "image_size": 16, "patch_size": 8},
    )


def cross_entropy_of_own(logits):
    """Mean over rows of log sum exp minus the diagonal."""
    return (torch.logsumexp(logits, dim=1) - torch.diagonal(logits)).mean()


def loss_of(image, text, logit_scale):
    image = image / image.square().sum(1, keepdim=True).sqrt()
    text = text / text.square().sum(1, keepdim=True).sqrt()
    logits = logit_scale.exp() * image @ text.T
    return 0.5 * (cross_entropy_of_own(logits) + cross_entropy_of_own(logits.T))


def features(model, pixels, ids):
    vision = model.vision_model(pixel_values=pixels).pooler_output
    text = model.text_model(input_ids=ids).pooler_output
    return model.visual_projection(vision), model.text_projection(text)


def gradients(model):
    found = {name: param.grad.clone() for name, param in model.named_parameters()}
    model.zero_grad()
    return found


def main():
    torch.manual_seed(11)
    model = CLIPModel(config()).eval()
    with torch.no_grad():
        for name, param in model.named_parameters():
            if "norm" not in name and name != "logit_scale":
                param.add_(torch.randn_like(param) * 0.15)
        model.logit_scale.fill_(2.0)
    pixels = torch.randn(N_PAIR, 3, 16, 16)
    ids = torch.full((N_PAIR, 9), 39)
    for row in range(N_PAIR):
        n = 2 + row % 6
        ids[row, 0] = 38
        ids[row, 1 : 1 + n] = torch.randint(0, 38, (n,))

    loss = loss_of(*features(model, pixels, ids), model.logit_scale)
    loss.backward()
    whole = gradients(model)

    with torch.no_grad():
        kept_image, kept_text = features(model, pixels, ids)
    for start in range(0, N_PAIR, N_PART):
        part = slice(start, start + N_PART)
        image, text = features(model, pixels[part], ids[part])
        images = torch.cat([kept_image[:start], image, kept_image[start + N_PART :]])
        texts = torch.cat([kept_text[:start], text, kept_text[start + N_PART :]])
        loss_of(images, texts, model.logit_scale).backward()
    accumulated = gradients(model)
    # The temperature is in every part's graph, the features in one each.
    n_part = -(-N_PAIR // N_PART)
    accumulated["logit_scale"] /= n_part
    for name, gradient in whole.items():
        torch.testing.assert_close(accumulated[name], gradient, rtol=1e-4, atol=1e-6, msg=name)

    weights = {name: param.detach().contiguous() for name, param in model.named_parameters()}
    save_file(weights, HERE / "loss.model.safetensors")
    reference = {f"grad.{name}": value.contiguous() for name, value in whole.items()}
    reference |= {"pixels": pixels, "ids": ids.to(torch.float32), "loss": loss.detach().reshape(1)}
    save_file(reference, HERE / "loss.expected.safetensors")
    config().to_json_file(HERE / "loss.config.json")
    print(float(loss.detach()), {path.name: path.stat().st_size for path in HERE.glob("loss.*")})


main()
