#!/usr/bin/env python3
"""Makes the random models that `peers.py` measures: true shapes, no meaning. Runs in the peers' Python.

    python3 tests/bench/peers_models.py FOLDER NAME…      e.g. qwen25vl-3b-Q8_0.gguf clip-b16

Text models and the projector have the shapes of Qwen2.5-VL-3B. Blocks are drawn as stored (random codes, scales for a
standard deviation of 1/√columns), so nothing is rounded from floats; Q4_K_M alone is made by llama.cpp from the Q8_0
file, so that its mixture of types is llama.cpp's own. What is drawn follows from the seeds below.

`qwen25vl-3b-recite-Q4_0.gguf` costs what the others cost and answers by rote: its blocks add nothing to the stream, and
the rows of its output matrix are those of the embedding in another order, so that every token has one successor. A
question that holds the CYCLE below is answered by the same words; that is how the speed of prompt lookup is measured.

`clip-b16` and `clip-l14` are folders with a Hugging Face model and the same picture tower as ONNX.
"""
import ctypes
import json
import os
import sys

TEXT = dict(n_layer=36, d=2048, n_head=16, n_kv_head=2, d_ffn=11008, n_vocab=151936)
VISION = dict(n_layer=32, d=1280, d_ffn=3420, n_head=16)
# Each is one token, with the space before it; 48 words and a line end make a round.
WORDS = ("gland stroma lumen crypt nuclei cells mitosis mucin duct fibrous tissue focal border invasive margin lobule dense "
         "pale basal apical spindle round oval irregular hyperchromatic necrosis oedema capillary lymphocyte plasma "
         "eosinophil neutrophil macrophage fibroblast collagen elastin keratin squamous columnar cuboid papillary tubular "
         "cribriform solid cystic serous nodule septum").split()
CYCLE = "".join(" " + word for word in WORDS) + "\n"
# Words that follow the pairs of the misleading text.
OTHERS = "never often perhaps rarely".split()
MISLEADING = "".join(f" {WORDS[idx]} {WORDS[idx + 1]} {OTHERS[idx % 4]}" for idx in range(len(WORDS) - 1)) + "\n"
FIRST_SPECIAL = 151643
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>", "<|quad_start|>",
            "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
TEMPLATE = (
    "{% for turn in messages %}<|im_start|>{{ turn['role'] }}\n{% if turn['content'] is string %}{{ turn['content'] }}{% else %}"
    "{% for part in turn['content'] %}{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")


def byte_letters():
    """The letters that byte-level BPE writes bytes with: printable ones as they are, the others from 256 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {**{byte: chr(byte) for byte in plain}, **{byte: chr(256 + idx) for idx, byte in enumerate(others)}}


def words_of_bpe():
    """Tokens and merges in which every word, with the space before it, is one token, put together from its left."""
    letters = byte_letters()
    tokens, merges = [letters[byte] for byte in range(256)], []
    for word in WORDS + OTHERS:
        piece = letters[32]
        for letter in word:
            merge = f"{piece} {letter}"
            piece += letter
            if piece not in tokens:
                tokens.append(piece)
                merges.append(merge)
    return tokens, merges


def blocks(random, n_row, n_col, kind, scale=1.0):
    """Rows of random blocks as bytes; `scale` 0 makes every weight zero."""
    import gguf
    import numpy as np
    kinds = gguf.GGMLQuantizationType
    std = scale * n_col ** -0.5
    if kind == kinds.F16:
        # Uniform numbers of that standard deviation.
        values = (random.random((n_row, n_col), dtype=np.float32) - 0.5) * (std * 12 ** 0.5)
        return values.astype(np.float16)
    n_weight, n_byte = gguf.GGML_QUANT_SIZES[kind]
    n_block = n_row * n_col // n_weight
    rows = np.frombuffer(random.bytes(n_block * n_byte), np.uint8).reshape(n_block, n_byte).copy()
    # Standard deviations of the codes: 16 even steps; 256; 64 times a signed byte.
    at, spread = {kinds.Q4_0: (0, 4.61), kinds.Q8_0: (0, 73.9), kinds.Q6_K: (208, 18.5 * 73.9)}[kind]
    scales = (random.random(n_block, dtype=np.float32) * 0.5 + 0.75) * (std / spread)
    rows[:, at:at + 2] = scales.astype(np.float16).view(np.uint8).reshape(n_block, 2)
    return rows.reshape(n_row, -1)


class File:
    """A GGUF file whose tensors are drawn while they are written, so that none waits in memory."""

    def __init__(self, path, arch):
        import gguf
        self.path, self.writer, self.tensors = path, gguf.GGUFWriter(path + ".part", arch), []

    def add(self, name, shape, draw, kind=None):
        """A matrix of blocks, or a vector of floats where no kind is given."""
        import gguf
        import numpy as np
        if kind is None or kind == gguf.GGMLQuantizationType.F16:
            dtype = np.dtype(np.float32 if kind is None else np.float16)
            self.writer.add_tensor_info(name, shape, dtype, int(np.prod(shape)) * dtype.itemsize)
        else:
            n_weight, n_byte = gguf.GGML_QUANT_SIZES[kind]
            stored = (shape[0], shape[1] // n_weight * n_byte)
            self.writer.add_tensor_info(name, stored, np.dtype(np.uint8), int(np.prod(stored)), raw_dtype=kind)
        self.tensors.append((shape, kind, draw))

    def finish(self, random):
        import gguf
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_ti_data_to_file()
        for shape, kind, draw in self.tensors:
            values = draw(random)
            self.writer.write_tensor_data(values.reshape(shape) if kind == gguf.GGMLQuantizationType.F16 else values)
        self.writer.close()
        os.rename(self.path + ".part", self.path)


def vector(n, mean):
    import numpy as np
    return lambda random: (random.standard_normal(n, dtype=np.float32) * 0.1 + mean).astype(np.float32)


def matrix(shape, kind, scale=1.0):
    return lambda random: blocks(random, shape[0], shape[1], kind, scale)


def text_model(path, name, recites):
    """The decoder: Q4_0 keeps its embedding in Q6_K, as llama.cpp's own tool does."""
    import gguf
    import numpy as np
    kinds = gguf.GGMLQuantizationType
    kind, wide = (kinds.Q8_0, kinds.Q8_0) if name == "Q8_0" else (kinds.Q4_0, kinds.Q6_K)
    file = File(path, "qwen2vl")
    writer, text = file.writer, TEXT
    d, d_kv, d_ffn = text["d"], text["d"] // text["n_head"] * text["n_kv_head"], text["d_ffn"]
    writer.add_name(f"random Qwen2.5-VL-3B {name}")
    writer.add_context_length(32768)
    writer.add_embedding_length(d)
    writer.add_block_count(text["n_layer"])
    writer.add_feed_forward_length(d_ffn)
    writer.add_head_count(text["n_head"])
    writer.add_head_count_kv(text["n_kv_head"])
    writer.add_rope_freq_base(1e6)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_sections([16, 24, 24, 0])
    writer.add_quantization_version(2)
    tokens, merges = words_of_bpe()
    kinds_of = [gguf.TokenType.NORMAL] * len(tokens)
    for idx in range(len(tokens), text["n_vocab"]):
        special = SPECIALS[idx - FIRST_SPECIAL] if 0 <= idx - FIRST_SPECIAL < len(SPECIALS) else None
        tokens.append(special or f"[PAD{idx}]")
        # Words without a letter of their own, so that the vocabulary is as full as a real one.
        kinds_of.append(gguf.TokenType.CONTROL if special else gguf.TokenType.NORMAL if idx < FIRST_SPECIAL else gguf.TokenType.UNUSED)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds_of)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(FIRST_SPECIAL + 2)
    writer.add_bos_token_id(FIRST_SPECIAL)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    embedding = blocks(np.random.default_rng(7), text["n_vocab"], d, wide)
    file.add("token_embd.weight", (text["n_vocab"], d), lambda _: embedding, wide)
    if recites:
        # Row `after` of the output answers to the embedding of `before`.
        round_of = [tokens.index(byte_letters()[32] + word) for word in WORDS] + [tokens.index(byte_letters()[10])]
        before = np.arange(text["n_vocab"]) - 1
        before[[idx for idx in range(text["n_vocab"]) if idx - 1 in round_of or idx == 0]] = text["n_vocab"] - 2
        for idx, token in enumerate(round_of):
            before[token] = round_of[idx - 1]
        file.add("output.weight", (text["n_vocab"], d), lambda _: embedding[before], wide)
    file.add("output_norm.weight", (d,), vector(d, 1.0))
    silent = 0.0 if recites else 1.0
    for layer in range(text["n_layer"]):
        at = f"blk.{layer}."
        for part, shape, scale in [("attn_q", (d, d), 1.0), ("attn_k", (d_kv, d), 1.0), ("attn_v", (d_kv, d), 1.0), ("attn_output", (d, d), silent),
                                   ("ffn_gate", (d_ffn, d), 1.0), ("ffn_up", (d_ffn, d), 1.0), ("ffn_down", (d, d_ffn), silent)]:
            file.add(f"{at}{part}.weight", shape, matrix(shape, kind, scale), kind)
            if part in ("attn_q", "attn_k", "attn_v"):
                file.add(f"{at}{part}.bias", shape[:1], vector(shape[0], 0.0))
        for part in ("attn_norm", "ffn_norm"):
            file.add(f"{at}{part}.weight", (d,), vector(d, 1.0))
    file.finish(np.random.default_rng(0))


def projector(path):
    """The vision tower. 3420 columns are no multiple of a block, so that `ffn_down` stays F16, as in llama.cpp's files."""
    import gguf
    import numpy as np
    kinds = gguf.GGMLQuantizationType
    file = File(path, "clip")
    writer, d, d_ffn = file.writer, VISION["d"], VISION["d_ffn"]
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "qwen2.5vl_merger")
    writer.add_bool("clip.use_silu", True)
    sizes = dict(image_size=560, patch_size=14, embedding_length=d, feed_forward_length=d_ffn, block_count=VISION["n_layer"], projection_dim=TEXT["d"],
                 n_wa_pattern=8)
    for key, value in {**sizes, "attention.head_count": VISION["n_head"]}.items():
        writer.add_uint32("clip.vision." + key, value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-6)
    writer.add_array("clip.vision.image_mean", [0.48145466, 0.4578275, 0.40821073])
    writer.add_array("clip.vision.image_std", [0.26862954, 0.26130258, 0.27577711])

    def weight(name, shape, kind):
        kind = kind if shape[-1] % 32 == 0 and len(shape) == 2 else kinds.F16
        file.add(name, shape, matrix((shape[0], int(np.prod(shape[1:]))), kind), kind)

    weight("v.patch_embd.weight", (d, 3, 14, 14), kinds.F16)
    weight("v.patch_embd.weight.1", (d, 3, 14, 14), kinds.F16)
    for layer in range(VISION["n_layer"]):
        at = f"v.blk.{layer}."
        for part in ("ln1", "ln2"):
            file.add(f"{at}{part}.weight", (d,), vector(d, 1.0))
        for part, shape in [("attn_q", (d, d)), ("attn_k", (d, d)), ("attn_v", (d, d)), ("attn_out", (d, d)), ("ffn_gate", (d_ffn, d)), ("ffn_up", (d_ffn, d)),
                            ("ffn_down", (d, d_ffn))]:
            weight(f"{at}{part}.weight", shape, kinds.Q8_0)
            file.add(f"{at}{part}.bias", shape[:1], vector(shape[0], 0.0))
    file.add("v.post_ln.weight", (d,), vector(d, 1.0))
    for part, n_out in [("mm.0", 4 * d), ("mm.2", TEXT["d"])]:
        weight(f"{part}.weight", (n_out, 4 * d), kinds.Q8_0)
        file.add(f"{part}.bias", (n_out,), vector(n_out, 0.0))
    file.finish(np.random.default_rng(1))


def requantise(path, source):
    """Q4_K_M from Q8_0, by llama.cpp."""
    import llama_cpp
    quiet = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(quiet, None)
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M
    settings.allow_requantize = True
    settings.nthread = os.cpu_count() or 1
    if llama_cpp.llama_model_quantize(source.encode(), (path + ".part").encode(), ctypes.byref(settings)) != 0:
        sys.exit(f"llama.cpp could not make {os.path.basename(path)}")
    os.rename(path + ".part", path)


def clip(path, patch, d, d_ffn, n_layer, n_head, d_embed):
    """A Hugging Face folder and `tower.onnx`: pixels `[b, 3, 224, 224]` to features, 32-bit floats."""
    import torch
    from transformers import CLIPConfig, CLIPModel
    torch.manual_seed(1)
    text = dict(vocab_size=1000, hidden_size=512, intermediate_size=2048, num_hidden_layers=1, num_attention_heads=8, bos_token_id=998, eos_token_id=999, pad_token_id=999)
    vision = dict(hidden_size=d, intermediate_size=d_ffn, num_hidden_layers=n_layer, num_attention_heads=n_head, image_size=224, patch_size=patch)
    model = CLIPModel(CLIPConfig(projection_dim=d_embed, text_config=text, vision_config=vision, attn_implementation="eager")).eval()
    folder = path + ".part"
    model.save_pretrained(folder)
    with open(folder + "/preprocessor_config.json", "w") as file:
        json.dump(dict(crop_size=dict(height=224, width=224), do_center_crop=True, do_normalize=True, do_resize=True, do_rescale=True, rescale_factor=1 / 255,
                       do_convert_rgb=True, image_mean=[0.5] * 3, image_std=[0.25] * 3, resample=3, size=dict(shortest_edge=224),
                       image_processor_type="CLIPImageProcessor"), file)

    class Tower(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, pixels):
            return self.model.visual_projection(self.model.vision_model(pixel_values=pixels).pooler_output)

    with torch.no_grad():
        torch.onnx.export(Tower(), (torch.randn(2, 3, 224, 224),), folder + "/tower.onnx", input_names=["pixels"], output_names=["features"],
                          dynamic_axes={"pixels": {0: "batch"}, "features": {0: "batch"}}, dynamo=False)
    os.rename(folder, path)


def make(folder, name):
    path = os.path.join(folder, name)
    if os.path.exists(path):
        return
    print(f"making {name}", file=sys.stderr, flush=True)
    if name == "clip-b16":
        clip(path, 16, 768, 3072, 12, 12, 512)
    elif name == "clip-l14":
        clip(path, 14, 1024, 4096, 24, 16, 768)
    elif name.startswith("mmproj"):
        projector(path)
    elif "Q4_K_M" in name:
        source = name.replace("Q4_K_M", "Q8_0")
        make(folder, source)
        requantise(path, os.path.join(folder, source))
    else:
        text_model(path, name.removesuffix(".gguf").rsplit("-", 1)[1], "recite" in name)


if __name__ == "__main__":
    for wanted in sys.argv[2:]:
        make(sys.argv[1], wanted)
