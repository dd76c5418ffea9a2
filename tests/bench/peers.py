#!/usr/bin/env python3
"""Eosin beside llama.cpp on the same GGUF file, in one run on one machine.

    python3 tests/bench/peers.py --eosin PATH --model M.gguf [--mmproj P.gguf] [--runs 3] [--threads 2]

Eosin is asked through its own command line; llama.cpp through llama-cpp-python, where that is installed for the
interpreter given with --peer-python (default: the one that runs this script). Both answer the same prompt of about
512 tokens (--words) greedily with 32 tokens (--new). Runs alternate, so that a machine whose speed drifts harms both alike; medians
are printed, and the peak resident memory that the operating system accounted to the process.
Nothing here is a dependency of the product.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

WORDS = "a gland with an even lumen beside stroma that holds plasma cells and few lymphocytes ".split()

PEER = r"""
import json, resource, sys, time
import llama_cpp
model, threads, n_new = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
ids = json.load(sys.stdin)
begun = time.perf_counter()
llm = llama_cpp.Llama(model, n_ctx=1024, n_batch=1024, n_ubatch=512, n_threads=threads, n_threads_batch=threads, verbose=False)
load = time.perf_counter() - begun
begun = time.perf_counter()
llm.eval(ids)
prefill = time.perf_counter() - begun
begun = time.perf_counter()
for _ in range(n_new):
    llm.eval([int(llm._scores[-1].argmax()) if llm._scores.size else 1])
decode = time.perf_counter() - begun
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps(dict(load_secs=load, prefill_tok_per_sec=len(ids) / prefill, decode_tok_per_sec=n_new / decode, peak_bytes=peak)))
"""


def measured(command, **kwargs):
    """Standard output of a command, and its peak resident bytes as the operating system accounts them."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **kwargs)
    out = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit(f"{command[0]} failed")
    return out, usage.ru_maxrss * 1024


def eosin(args, prompt):
    command = [args.eosin, "ask", prompt, "--model", args.model, "--device", args.device, "--greedy", "--json", "--max-tokens", str(args.new)]
    if args.mmproj:
        command += ["--mmproj", args.mmproj]
    out, peak = measured(command, env=dict(os.environ, RAYON_NUM_THREADS=str(args.threads)))
    answer = json.loads(out)
    times, usage = answer["timings"], answer["usage"]
    n_prompt, n_new = usage["prompt_tokens"], usage["generated_tokens"]
    row = dict(
        load_secs=times["load_secs"],
        prefill_tok_per_sec=n_prompt / times["prefill_secs"],
        decode_tok_per_sec=(n_new - 1) / times["decode_secs"] if n_new > 1 else float("nan"),
        peak_bytes=peak,
    )
    return row, answer["prompt_ids"]


def peer(args, ids):
    command = [args.peer_python, "-c", PEER, args.model, str(args.threads), str(args.new)]
    done = subprocess.run(command, input=json.dumps(ids), capture_output=True, text=True)
    if done.returncode != 0:
        return None
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--eosin", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--mmproj")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--new", type=int, default=32)
    parser.add_argument("--words", type=int, default=470, help="words of the prompt")
    parser.add_argument("--peer-python", default=sys.executable)
    args = parser.parse_args()
    prompt = " ".join(WORDS[idx % len(WORDS)] for idx in range(args.words))
    ours, theirs = [], []
    for _ in range(args.runs):
        row, ids = eosin(args, prompt)
        ours.append(row)
        row = peer(args, ids)
        if row:
            theirs.append(row)
    print(f"{os.path.basename(args.model)}, {args.threads} threads, {len(ids)} prompt tokens, {args.new} new, median of {args.runs}, {time.strftime('%Y-%m-%d')}")
    print("| | Eosin | llama.cpp | ratio |\n|---|---|---|---|")
    for key, unit, scale in [("load_secs", "s to load", 1), ("prefill_tok_per_sec", "tokens/s prefill", 1), ("decode_tok_per_sec", "tokens/s decode", 1), ("peak_bytes", "MiB peak RSS", 2**20)]:
        mine = statistics.median(row[key] for row in ours) / scale
        if theirs:
            other = statistics.median(row[key] for row in theirs) / scale
            print(f"| {unit} | {mine:.2f} | {other:.2f} | {mine / other:.2f} |")
        else:
            print(f"| {unit} | {mine:.2f} | llama-cpp-python is not installed here | |")


if __name__ == "__main__":
    main()
