#!/usr/bin/env python3
"""Tiles a second of `eosin index add` beside ONNX Runtime, in one run on one machine, with the same weights.

    python3 tests/bench/index_peers.py --eosin PROGRAM [--peer-python PYTHON] [--patch 32] [--tiles 256] [--runs 3] [--threads 2]

PROGRAM is the binary (cargo xtask bench index builds it and calls this). The peer runs in the interpreter given with
--peer-python, or named by EOSIN_PYTHON, or in this one; it needs torch, transformers 5, onnx, onnxruntime and Pillow.
A CLIP of the shape of ViT-B with random weights is saved once as a Hugging Face folder, which Eosin reads, and once as
ONNX (picture tower and projection, 32-bit floats). Both sides read the same JPEG tiles of 224 px from the same folder:
Eosin lists, decodes, embeds, stores and indexes them; the peer decodes and prepares them in a thread of its own ahead
of the model, embeds them in batches of 32 and keeps the vectors in memory. Clocks run from the first file to the last
vector, models being loaded. Runs alternate, so that a machine whose speed drifts harms both alike; printed are medians,
processor time a tile (which a busy machine changes less; Eosin's with its start and the loading of the model), and how
far the two sides' vectors of one tile differ. Nothing here is a dependency of the product.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile

MAKE = r'''
import json, os, sys
import numpy as np, torch
from PIL import Image
from transformers import CLIPConfig, CLIPModel
folder, patch, n_tile = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.manual_seed(1)
text = dict(vocab_size=1000, hidden_size=512, intermediate_size=2048, num_hidden_layers=1, num_attention_heads=8, bos_token_id=998, eos_token_id=999, pad_token_id=999)
vision = dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, image_size=224, patch_size=patch)
model = CLIPModel(CLIPConfig(projection_dim=512, text_config=text, vision_config=vision)).eval()
os.makedirs(folder + "/model")
model.save_pretrained(folder + "/model")
mean, std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
json.dump(dict(crop_size=dict(height=224, width=224), do_center_crop=True, do_normalize=True, do_resize=True, do_rescale=True, rescale_factor=1 / 255, do_convert_rgb=True,
               image_mean=mean, image_std=std, resample=3, size=dict(shortest_edge=224), image_processor_type="CLIPImageProcessor"), open(folder + "/model/preprocessor_config.json", "w"))
class Tower(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model
    def forward(self, pixels):
        return self.model.visual_projection(self.model.vision_model(pixel_values=pixels).pooler_output)
pixels = torch.randn(2, 3, 224, 224)
with torch.no_grad():
    torch.onnx.export(Tower(model), (pixels,), folder + "/clip.onnx", input_names=["pixels"], output_names=["features"], dynamic_axes={"pixels": {0: "batch"}, "features": {0: "batch"}}, dynamo=False)
os.makedirs(folder + "/tiles")
random = np.random.default_rng(1)
for index in range(n_tile):
    ground = np.array([225, 150, 190]) + random.integers(-20, 20, 3)
    picture = np.clip(ground + random.normal(0, 12, (224, 224, 1)), 0, 255)
    y, x = np.mgrid[:224, :224]
    for _ in range(60):
        cy, cx, r = random.integers(0, 224), random.integers(0, 224), random.integers(4, 9)
        picture[(y - cy) ** 2 + (x - cx) ** 2 < r * r] = [105, 70, 150]
    Image.fromarray(picture.astype(np.uint8)).save(f"{folder}/tiles/{index:05}.jpg", quality=90)
'''

PEER = r'''
import glob, json, queue, sys, threading, time
import numpy as np, onnxruntime
from PIL import Image
folder, threads, tiles = sys.argv[1], int(sys.argv[2]), sys.argv[3]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
session = onnxruntime.InferenceSession(folder + "/clip.onnx", options, providers=["CPUExecutionProvider"])
mean, std = (np.array(v, np.float32).reshape(3, 1, 1) for v in ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]))
session.run(None, {"pixels": np.zeros((32, 3, 224, 224), np.float32)})
clock, cpu = time.perf_counter(), time.process_time()
files = sorted(glob.glob(tiles + "/*.jpg"))
ready = queue.Queue(2)
def read():
    for first in range(0, len(files), 32):
        batch = []
        for file in files[first:first + 32]:
            picture = Image.open(file).convert("RGB")
            if picture.size != (224, 224):
                picture = picture.resize((224, 224), Image.BICUBIC)
            batch.append((np.asarray(picture, np.float32).transpose(2, 0, 1) / 255 - mean) / std)
        ready.put(np.stack(batch))
    ready.put(None)
threading.Thread(target=read, daemon=True).start()
vectors = []
while (batch := ready.get()) is not None:
    features = session.run(None, {"pixels": batch})[0]
    vectors.append(features / np.linalg.norm(features, axis=1, keepdims=True))
secs, cpu_secs = time.perf_counter() - clock, time.process_time() - cpu
vectors = np.concatenate(vectors)
print(json.dumps(dict(n=len(vectors), secs=secs, cpu_secs=cpu_secs, first=vectors[0].tolist())))
'''


def run_peer(python, folder, tiles, threads):
    return json.loads(subprocess.run([python, "-c", PEER, folder, str(threads), tiles], check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def run_eosin(program, folder, tiles, threads):
    with tempfile.TemporaryDirectory() as data:
        environment = dict(os.environ, EOSIN_DATA=data, RAYON_NUM_THREADS=str(threads))
        command = [program, "index", "add", tiles, "--clip", folder + "/model", "--device", "cpu", "--json"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        tally = json.loads(done.stdout)
        # Of the whole process, its start and the loading of the model included.
        cpu_secs = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return dict(n=tally["n_item"], secs=tally["secs"], cpu_secs=cpu_secs)


def first_vector(program, folder, tiles):
    tile = sorted(os.listdir(tiles))[0]
    command = [program, "embed", "--model", folder + "/model", "--device", "cpu", os.path.join(tiles, tile)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["embedding"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--eosin", required=True)
    parser.add_argument("--peer-python", default=os.environ.get("EOSIN_PYTHON", sys.executable))
    parser.add_argument("--patch", type=int, default=32)
    parser.add_argument("--tiles", type=int, default=256)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([args.peer_python, "-c", MAKE, folder, str(args.patch), str(args.tiles)], check=True, stdout=subprocess.DEVNULL)
        tiles = folder + "/tiles"
        rates, cpu = {"eosin": [], "onnxruntime": []}, {"eosin": [], "onnxruntime": []}
        for _ in range(args.runs):
            for name, run in [("eosin", lambda: run_eosin(args.eosin, folder, tiles, args.threads)), ("onnxruntime", lambda: run_peer(args.peer_python, folder, tiles, args.threads))]:
                outcome = run()
                assert outcome["n"] == args.tiles, outcome
                rates[name].append(outcome["n"] / outcome["secs"])
                cpu[name].append(outcome["cpu_secs"] / outcome["n"])
                last = outcome
        differ = max(abs(a - b) for a, b in zip(first_vector(args.eosin, folder, tiles), last["first"]))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(json.dumps(dict(model=f"ViT-B/{args.patch}", tiles=args.tiles, threads=args.threads, runs=args.runs, tiles_per_sec={k: round(v, 2) for k, v in medians.items()},
                          ratio=round(medians["eosin"] / medians["onnxruntime"], 3), cpu_ms_per_tile={k: round(statistics.median(v) * 1e3, 1) for k, v in cpu.items()}, vectors_differ_by=differ)))


if __name__ == "__main__":
    main()
