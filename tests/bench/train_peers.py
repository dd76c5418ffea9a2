#!/usr/bin/env python3
"""Training steps of Eosin beside PyTorch and transformers, in one run on one machine.

    python3 tests/bench/train_peers.py --eosin PROGRAM [--peer-python PYTHON] [--what clip,sft,grpo] [--threads 1,2] [--runs 3] [--steps 4]

PROGRAM is the bench `train` (cargo xtask bench train builds it and calls this). PyTorch runs in the interpreter
given with --peer-python, or named by EOSIN_PYTHON, or in this one; it needs torch and transformers 5. Both sides
train models of the same sizes on batches of the same shapes, with random weights and data, in 32-bit floats:

  clip  contrastive step: towers of width 192 (6 and 4 blocks), 16 pairs of a 224 px picture and 77 tokens
  sft   fine-tuning step of a Qwen2.5-VL of 10 M parameters: 2 rows of 256 tokens, a 224 px picture in each, 176 taught
  grpo  one update of the same model: 4 answers of 64 tokens to one question of 128, reference divergence, one descent

Each run is a process of its own; runs alternate, so that a machine whose speed drifts harms both alike. Printed are
medians over the runs of the median step, of processor seconds a step, and of the peak resident memory that the operating
system accounted to the process. Nothing here is a dependency of the product.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

PEER = r'''
import json, os, sys, time
import torch
from transformers import CLIPConfig, CLIPModel, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
kind, threads, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
torch.manual_seed(1)
WORDS = 8192
PICTURE = WORDS - 1

def towers():
    tower = dict(hidden_size=192, num_attention_heads=3, intermediate_size=768)
    text = dict(vocab_size=WORDS, num_hidden_layers=4, bos_token_id=WORDS - 2, eos_token_id=WORDS - 1, pad_token_id=WORDS - 1, **tower)
    vision = dict(num_hidden_layers=6, image_size=224, patch_size=16, **tower)
    return CLIPModel(CLIPConfig(projection_dim=128, text_config=text, vision_config=vision))

def qwen():
    text = dict(vocab_size=WORDS, hidden_size=256, intermediate_size=704, num_hidden_layers=6, num_attention_heads=8, num_key_value_heads=2, rms_norm_eps=1e-6,
                max_position_embeddings=4096, rope_parameters=dict(rope_type="default", rope_theta=1e6, mrope_section=[4, 6, 6]), bos_token_id=1, eos_token_id=2,
                pad_token_id=0, tie_word_embeddings=True)
    vision = dict(depth=6, hidden_size=192, intermediate_size=512, num_heads=6, out_hidden_size=256, patch_size=14, window_size=112, fullatt_block_indexes=[2, 5])
    ids = dict(image_token_id=PICTURE, video_token_id=WORDS - 2, vision_start_token_id=WORDS - 3, vision_end_token_id=WORDS - 4)
    return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **ids))

def rows(count, length):
    ids = torch.randint(3, WORDS - 10, (count, length))
    ids[:, 4], ids[:, 5:69], ids[:, 69] = WORDS - 3, PICTURE, WORDS - 4
    return ids, torch.randn(count * 256, 1176), torch.tensor([[1, 16, 16]] * count)

def call(model, ids, patches, grid, **more):
    model.model.rope_deltas = None
    return model(input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=(ids == PICTURE).int(), pixel_values=patches, image_grid_thw=grid, use_cache=False, **more)

if kind == "clip":
    model = towers()
    descent = torch.optim.AdamW(model.parameters(), 1e-4)
    pictures, ids = torch.randn(16, 3, 224, 224), torch.randint(0, 8000, (16, 77))
    ids[:, -1] = WORDS - 1
    def step():
        descent.zero_grad()
        model(input_ids=ids, pixel_values=pictures, return_loss=True).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        descent.step()
elif kind == "sft":
    model = qwen()
    descent = torch.optim.AdamW(model.parameters(), 1e-4)
    ids, patches, grid = rows(2, 256)
    labels = ids.clone()
    labels[:, :80] = -100
    def step():
        descent.zero_grad()
        call(model, ids, patches, grid, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        descent.step()
else:
    ANSWERS, NEW, PROMPT = 4, 64, 128
    model, reference = qwen(), qwen()
    reference.load_state_dict(model.state_dict())
    reference.eval()
    descent = torch.optim.AdamW(model.parameters(), 1e-5)
    ids, patches, grid = rows(1, PROMPT)
    ids, patches, grid = ids.repeat(ANSWERS, 1), patches.repeat(ANSWERS, 1), grid.repeat(ANSWERS, 1)
    def scores(model, full):
        logits = call(model, full, patches, grid).logits[:, PROMPT - 1:-1].float()
        return torch.log_softmax(logits, -1).gather(-1, full[:, PROMPT:, None])[..., 0]
    def step():
        with torch.no_grad():
            model.model.rope_deltas = None
            full = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=(ids == PICTURE).int(), pixel_values=patches, image_grid_thw=grid,
                                  do_sample=True, top_k=0, max_new_tokens=NEW, min_new_tokens=NEW, suppress_tokens=list(range(WORDS - 4, WORDS)))
            old, far = scores(model, full), scores(reference, full)
        reward = torch.rand(ANSWERS)
        advantage = ((reward - reward.mean()) / (reward.std() + 1e-6))[:, None]
        near = scores(model, full)
        ratio, gap = (near - old).exp(), far - near
        loss = (torch.maximum(-advantage * ratio, -advantage * ratio.clamp(0.8, 1.2)) + 0.04 * (gap.exp() - gap - 1)).mean()
        descent.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        descent.step()

model.train()
step()
secs, before = [], time.process_time()
for _ in range(steps):
    begun = time.perf_counter()
    step()
    secs.append(time.perf_counter() - begun)
secs.sort()
print(json.dumps(dict(s_per_step=secs[steps // 2], cpu_s=(time.process_time() - before) / steps)))
'''

NAMES = dict(clip="CLIP step", sft="fine-tuning step", grpo="GRPO update")


def measured(command, threads):
    """What a process printed last, and its peak resident MiB as the operating system accounts them."""
    environment = dict(os.environ, RAYON_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads), TRANSFORMERS_VERBOSITY="error")
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    out, err = child.stdout.read(), child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = status
    if status != 0 or not out.strip():
        sys.exit(f"{command[0]} failed:\n{err[-2000:]}")
    row = json.loads(out.splitlines()[-1])
    return dict(wall=row["s_per_step"], cpu=row["cpu_s"], peak=usage.ru_maxrss / 1024)


def has_peer(python):
    """Whether an interpreter has what the other side needs; what lacks is said."""
    try:
        done = subprocess.run([python, "-c", "import torch, transformers; print(torch.__version__, transformers.__version__)"], capture_output=True, text=True)
    except OSError as error:
        print(f"{python}: {error}", file=sys.stderr)
        return None
    if done.returncode == 0:
        return done.stdout.split()
    reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    print(f"{python}: {reason}; name an interpreter that has torch and transformers 5 in EOSIN_PYTHON", file=sys.stderr)
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--eosin", required=True)
    parser.add_argument("--peer-python", default=os.environ.get("EOSIN_PYTHON", sys.executable))
    parser.add_argument("--what", default="clip,sft,grpo")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    args = parser.parse_args()
    peer = has_peer(args.peer_python)
    versions = f"torch {peer[0]}, transformers {peer[1]}" if peer else "PyTorch not found"
    print(f"{versions}; median of {args.runs} runs of {args.steps} steps, {time.strftime('%Y-%m-%d')}, load at the start {os.getloadavg()[0]:.1f}\n")
    print("| | threads | s a step | PyTorch | rate | CPU s | PyTorch | peak MiB | PyTorch | memory |\n|---|---|---|---|---|---|---|---|---|---|")
    for kind in args.what.split(","):
        for threads in map(int, args.threads.split(",")):
            ours, theirs = [], []
            for _ in range(args.runs):
                ours.append(measured([args.eosin, kind, "--steps", str(args.steps)], threads))
                if peer:
                    theirs.append(measured([args.peer_python, "-c", PEER, kind, str(threads), str(args.steps)], threads))
            def middle(side, key):
                return statistics.median(row[key] for row in side) if side else float("nan")
            (wall, cpu, peak), (wall_peer, cpu_peer, peak_peer) = ([middle(side, key) for key in ("wall", "cpu", "peak")] for side in (ours, theirs))
            print(f"| {NAMES[kind]} | {threads} | {wall:.3f} | {wall_peer:.3f} | {wall_peer / wall:.2f} | {cpu:.3f} | {cpu_peer:.3f} | {peak:.0f} | {peak_peer:.0f} | {peak / peak_peer:.2f} |", flush=True)


if __name__ == "__main__":
    main()
