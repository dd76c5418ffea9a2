"""Weights and predictions of scikit-learn's logistic regression on features made up here.

    python tests/golden/clip/make_probe.py

Made with scikit-learn 1.9.1 and numpy. Two regressions: to the very bottom (tol 1e-12), whose weights must
be met, and with the settings of Patho-CLIP's few-shot script (C 1.0, lbfgs, max_iter 1000), whose
predictions must be met.
"""

import json
from pathlib import Path

import numpy
from sklearn.linear_model import LogisticRegression

HERE = Path(__file__).parent
N_CLASS, D = 4, 6


def main():
    rng = numpy.random.default_rng(5)
    centres = rng.normal(size=(N_CLASS, D)) * 1.2
    # Not of one size: features of CLIP are not normalised either.
    spread = numpy.array([0.3, 1.0, 1.0, 2.0, 0.5, 4.0])

    def draw(n):
        labels = rng.integers(0, N_CLASS, n)
        rows = (centres[labels] + rng.normal(size=(n, D))) * spread
        return numpy.round(rows, 4).astype(numpy.float32), labels

    train, train_labels = draw(90)
    test, test_labels = draw(120)
    cases = []
    for c in [1.0, 0.05, 20.0]:
        exact = LogisticRegression(C=c, solver="lbfgs", max_iter=100000, tol=1e-12).fit(
            train.astype(numpy.float64), train_labels
        )
        script = LogisticRegression(C=c, solver="lbfgs", max_iter=1000, random_state=43).fit(train, train_labels)
        cases.append(
            {
                "c": c,
                "weights": exact.coef_.tolist(),
                "intercepts": exact.intercept_.tolist(),
                "predictions": exact.predict(test.astype(numpy.float64)).tolist(),
                "script_accuracy": float(script.score(test, test_labels)),
            }
        )
    document = {
        "n_class": N_CLASS,
        "train": train.tolist(),
        "train_labels": train_labels.tolist(),
        "test": test.tolist(),
        "test_labels": test_labels.tolist(),
        "cases": cases,
    }
    # Floats of f32 as short as they can be.
    text = json.dumps(document, default=float)
    (HERE / "probe.json").write_text(text + "\n")
    print(len(text), [case["script_accuracy"] for case in cases])


main()
