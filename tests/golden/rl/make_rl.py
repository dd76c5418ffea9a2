#!/usr/bin/env python3
"""Vectors for tests/train_formulas.rs: what the formulas of GRPO, DAPO and Dr.GRPO give in PyTorch.

Versions: Python 3.11, torch 2.15.0. Run: python tests/golden/rl/make_rl.py > tests/golden/rl/rl.json

Everything is in float64 and written from the formulas as the papers and the documentation of verl and TRL
state them, with torch's own maximum, minimum, clamp and autograd, so that it shares nothing with the Rust.
"""

import itertools
import json
import math

import torch

torch.manual_seed(20)
torch.set_default_dtype(torch.float64)


def rounded(tensor, digits=5):
    return torch.round(tensor * 10**digits) / 10**digits


def values(tensor):
    return [float(f"{x:.10g}") for x in tensor.detach().reshape(-1).tolist()]


# ---- inputs: answers of unequal length, one row of them empty in `ragged` --------------------------------

B, T = 5, 7


def inputs(name):
    old = rounded(-torch.rand(B, T) * 3 - 0.05)
    lengths = [7, 4, 1, 6, 3]
    if name == "near":  # ratios inside and outside of usual bounds
        policy = rounded(old + torch.randn(B, T) * 0.25)
    elif name == "first":  # the first iteration: nothing has moved yet
        policy = old.clone()
    elif name == "far":  # clamps and the dual clip must act
        policy = rounded(old + torch.randn(B, T) * 3)
        policy[0, 0], policy[1, 1] = old[0, 0] + 30, old[1, 1] - 30
        policy[3, 2] = old[3, 2] + 25
    elif name == "ragged":  # an answer that was masked altogether
        policy = rounded(old + torch.randn(B, T) * 0.25)
        lengths = [5, 0, 7, 2, 1]
    reference = rounded(policy + torch.randn(B, T) * (4.0 if name == "far" else 0.4))
    if name == "far":
        reference[4, 0] = policy[4, 0] + 28
    advantages = torch.tensor([1.3, -0.7, 0.0, -1.9, 0.6])
    mask = torch.zeros(B, T)
    for row, length in enumerate(lengths):
        mask[row, :length] = 1
    return {"policy": policy, "old": old, "reference": reference, "advantages": advantages, "mask": mask}


INPUTS = {name: inputs(name) for name in ["near", "first", "far", "ragged"]}


# ---- formulas --------------------------------------------------------------------------------------------


def token_losses(x, policy, low, high, dual, level):
    difference = policy - x["old"]
    if level == "sequence":  # TRL: mean log ratio over the answer's tokens
        per_row = (difference * x["mask"]).sum(1) / x["mask"].sum(1).clamp(min=1)
        difference = per_row.unsqueeze(1).repeat(1, T)
    elif level == "sequence-product":  # pi(o|q) / pi_old(o|q) as PathVLM-R1 writes it
        difference = (difference * x["mask"]).sum(1).unsqueeze(1).repeat(1, T)
    ratio = torch.exp(torch.clamp(difference, -20, 20))
    a = x["advantages"].unsqueeze(1)
    first, second = -a * ratio, -a * torch.clamp(ratio, 1 - low, 1 + high)
    loss = torch.maximum(first, second)
    if dual:
        loss = torch.where(a < 0, torch.minimum(-a * dual, loss), loss)
    low_share = ((ratio < 1 - low) & (a < 0)).double()
    high_share = ((ratio > 1 + high) & (a > 0)).double()
    count = x["mask"].sum()
    return loss, (low_share * x["mask"]).sum() / count, (high_share * x["mask"]).sum() / count


def kl(policy, reference, kind):
    if kind == "k1":
        return policy - reference
    if kind == "k2":
        return 0.5 * (policy - reference) ** 2
    exponent = torch.clamp(reference - policy, -20, 20)
    return torch.clamp(torch.exp(exponent) - exponent - 1, -10, 10)


def aggregate(losses, mask, mode, longest):
    rows = mask.sum(1)
    n_answer = (rows > 0).sum()
    per_row = (losses * mask).sum(1)
    if mode == "token-mean":
        return per_row.sum() / mask.sum()
    if mode == "seq-mean-token-sum":
        return per_row.sum() / n_answer
    if mode == "seq-mean-token-mean":
        return (per_row[rows > 0] / rows[rows > 0]).mean()
    if mode == "seq-mean-token-sum-norm":  # verl
        return per_row.sum() / longest
    if mode == "token-sum-over-budget":  # TRL's dr_grpo
        return per_row.sum() / (n_answer * longest)
    raise ValueError(mode)


MODES = [
    "token-mean",
    "seq-mean-token-sum",
    "seq-mean-token-mean",
    "seq-mean-token-sum-norm",
    "token-sum-over-budget",
]
LONGEST = 9


def case(name, mode, low=0.2, high=0.2, dual=0.0, level="token", beta=0.0, kind="k3"):
    x = INPUTS[name]
    policy = x["policy"].clone().requires_grad_(True)
    losses, low_share, high_share = token_losses(x, policy, low, high, dual, level)
    if beta:
        losses = losses + beta * kl(policy, x["reference"], kind)
    loss = aggregate(losses, x["mask"], mode, LONGEST)
    loss.backward()
    return {
        "input": name,
        "aggregation": mode,
        "policy": {"clip_low": low, "clip_high": high, "clip_dual": dual, "ratio": level},
        "kl": {"coefficient": beta, "estimator": kind, "place": "loss"},
        "loss": float(loss.detach()),
        "gradient": values(policy.grad),
        "clip_low": float(low_share),
        "clip_high": float(high_share),
    }


cases = []
# GRPO, DAPO and Dr.GRPO as their authors set them.
for name in INPUTS:
    cases.append(case(name, "seq-mean-token-mean", beta=0.04))
    cases.append(case(name, "token-mean", high=0.28, dual=10.0))
    cases.append(case(name, "seq-mean-token-sum-norm"))
# Everything with everything, once.
for (name, mode), kind in zip(
    itertools.product(["near", "far", "ragged"], MODES), itertools.cycle(["k1", "k2", "k3", "k3"])
):
    cases.append(case(name, mode, dual=3.0, beta=0.1, kind=kind))
for name, level in itertools.product(["near", "far", "ragged"], ["sequence", "sequence-product"]):
    cases.append(case(name, "seq-mean-token-mean", level=level, beta=0.04))
    cases.append(case(name, "token-mean", level=level, high=0.28))


# ---- advantages ------------------------------------------------------------------------------------------


def advantage_case(rewards, groups, scale, epsilon):
    r, g = torch.tensor(rewards), torch.tensor(groups)
    out = torch.zeros_like(r)
    for group in g.unique():
        rows = g == group
        mine = r[rows]
        mean = mine.mean() if len(mine) > 1 else torch.tensor(0.0)
        std = mine.std() if len(mine) > 1 else torch.tensor(1.0)
        if scale == "group":
            out[rows] = (mine - mean) / (std + epsilon)
        elif scale == "batch":
            out[rows] = (mine - mean) / (r.std() + epsilon)
        else:
            out[rows] = mine - mean
    return {
        "rewards": rewards,
        "groups": groups,
        "settings": {"scale": scale, "epsilon": epsilon},
        "advantages": values(out),
    }


mixed = [1.0, 0.0, 0.1, 1.0, 0.0, 0.0, -1.0, 0.35, 0.35, 0.35, 2.5]
groups = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3]
advantages = [
    advantage_case(mixed, groups, scale, epsilon)
    for scale in ["group", "batch", "none"]
    for epsilon in [1e-6, 1e-4]
]


# ---- KL as plain numbers, overlong punishment, judge's scores ---------------------------------------------

far = INPUTS["far"]
kls = [
    {
        "estimator": kind,
        "policy": values(far["policy"]),
        "reference": values(far["reference"]),
        "values": values(kl(far["policy"], far["reference"], kind)),
    }
    for kind in ["k1", "k2", "k3"]
]


def overlong(length, longest, cache):
    expected = longest - cache
    if length <= expected:
        return 0.0
    return (expected - length) / cache if length <= longest else -1.0


overlongs = [
    {"max_tokens": longest, "cache_tokens": cache, "n_token": n, "punishment": overlong(n, longest, cache)}
    for longest, cache, ns in [
        (2048, 512, [0, 1, 1535, 1536, 1537, 1600, 2047, 2048, 2049, 4000]),
        (20480, 4096, [16384, 16385, 18432, 20480, 20481]),
        (64, 16, [47, 48, 49, 63, 64, 65]),
    ]
    for n in ns
]
judge = [
    {
        "missing": m,
        "errors": e,
        "integrity": max(0.0, 1 - 0.4 * m),
        "knowledge": max(0.0, 1 - 0.4 * e),
        "reward": (max(0.0, 1 - 0.4 * m) + max(0.0, 1 - 0.4 * e)) / 2,
    }
    for m in range(4)
    for e in range(4)
]


# ---- AdamW ------------------------------------------------------------------------------------------------


def adamw(lr, beta_1, beta_2, epsilon, decay):
    matrix = torch.nn.Parameter(rounded(torch.randn(3, 4)))
    vector = torch.nn.Parameter(rounded(torch.randn(4)))
    start = [values(matrix), values(vector)]
    optimiser = torch.optim.AdamW(
        [{"params": [matrix], "weight_decay": decay}, {"params": [vector], "weight_decay": 0.0}],
        lr=lr,
        betas=(beta_1, beta_2),
        eps=epsilon,
    )
    steps = []
    for step in range(6):
        size = 10.0 ** (1 - step)  # large gradients first, then ones near epsilon
        matrix.grad = rounded(torch.randn(3, 4) * size, 8)
        vector.grad = rounded(torch.randn(4) * size, 8)
        optimiser.step()
        steps.append(
            {
                "gradient": [values(matrix.grad), values(vector.grad)],
                "after": [values(matrix), values(vector)],
            }
        )
    return {
        "lr": lr,
        "beta_1": beta_1,
        "beta_2": beta_2,
        "epsilon": epsilon,
        "weight_decay": decay,
        "start": start,
        "steps": steps,
    }


def plain(x):
    return {key: [[float(v) for v in row] for row in t.tolist()] if t.dim() == 2 else t.tolist() for key, t in x.items()}


out = {
    "longest": LONGEST,
    "inputs": {name: plain(x) for name, x in INPUTS.items()},
    "cases": cases,
    "advantages": advantages,
    "kl": kls,
    "overlong": overlongs,
    "judge": judge,
    "adamw": [adamw(1e-2, 0.9, 0.999, 1e-8, 0.1), adamw(3e-3, 0.9, 0.95, 1e-6, 0.0)],
}
assert all(math.isfinite(x["loss"]) for x in cases)
print(json.dumps(out, separators=(",", ":")))
