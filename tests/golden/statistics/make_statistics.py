#!/usr/bin/env python3
"""Makes statistics.json: values that training/src/evaluate/statistics is held to (tests/train_evaluate.rs).

    python tests/golden/statistics/make_statistics.py

Made with scipy 1.17.1, numpy 2.4.6, Python 3.11. Wilson's interval is scipy's `proportion_ci`, McNemar's exact p is its binomial
test, t quantiles and intervals are its `t`. The bootstrap is drawn here with numpy's own random numbers: ends agree up to the
noise of the draws, so a tolerance stands beside them.
"""
import json, os
import numpy as np
from scipy import stats

here = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(20251121)

wilson = []
for right, n in [(0, 1), (1, 1), (0, 20), (8, 10), (50, 100), (333, 1385), (907, 1385), (4226, 8454), (8454, 8454)]:
    ends = stats.binomtest(right, n).proportion_ci(0.95, method="wilson")
    wilson.append({"right": right, "n": n, "low": ends.low, "high": ends.high})

mcnemar = []
for first, second in [(0, 0), (1, 0), (2, 9), (9, 2), (10, 10), (25, 41), (100, 140), (700, 640), (0, 1200), (3000, 3100)]:
    p = stats.binomtest(first, first + second, 0.5).pvalue if first + second else 1.0
    mcnemar.append({"first": first, "second": second, "p": p})

quantile = [
    {"probability": p, "n_degree": n, "t": stats.t.ppf(p, n)} for n in [1, 2, 4, 9, 30, 200] for p in [0.6, 0.9, 0.975, 0.995]
]

interval = []
for n in [2, 3, 5, 10]:
    runs = rng.normal(0.6, 0.02, n).round(4).tolist()
    low, high = stats.t.interval(0.95, n - 1, loc=np.mean(runs), scale=stats.sem(runs))
    interval.append({"runs": runs, "mean": np.mean(runs), "std": np.std(runs, ddof=1), "low": low, "high": high})

bootstrap = []
for n_picture, n_question, spread in [(40, 3, 0.0), (120, 4, 1.5), (200, 1, 0.0)]:
    pictures = []
    for _ in range(n_picture):
        p = 1 / (1 + np.exp(-(0.5 + spread * rng.normal())))
        pictures.append((rng.random(rng.integers(1, n_question + 1)) < p).astype(int).tolist())
    sums = np.array([[sum(picture), len(picture)] for picture in pictures])
    draws = sums[rng.integers(0, n_picture, (100_000, n_picture))].sum(1)
    low, high = np.quantile(draws[:, 0] / draws[:, 1], [0.025, 0.975])
    bootstrap.append({"pictures": pictures, "low": low, "high": high, "tolerance": 0.01})

with open(os.path.join(here, "statistics.json"), "w") as file:
    vectors = {"wilson": wilson, "mcnemar": mcnemar, "quantile": quantile, "interval": interval, "bootstrap": bootstrap}
    json.dump(vectors, file)
    file.write("\n")
