"""Clipping and accumulation against the optimizers of Keras on its torch backend."""

import importlib.util

import numpy as np
import pytest

from gradlab import ACCUMULATIONS

RULES = {"clipnorm": "per_layer_norm", "clipvalue": "value", "global_clipnorm": "global_norm"}
THRESHOLDS = [1e-3, 1.0, 1e6]
SETS = ["ordinary", "tiny", "huge", "zero"]


@pytest.fixture(scope="module")
def answers(ask, gradient_sets):
    if importlib.util.find_spec("keras") is None:
        return {}
    arrays = {f"{name}|{i}": g for name, pairs in gradient_sets.items() for i, (_, g) in enumerate(pairs)}
    clips = [(name, rule, threshold) for name in SETS for rule in RULES for threshold in THRESHOLDS]
    return ask("answer_keras.py", arrays, {"clips": clips, "accumulate": SETS})


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("rule", RULES)
def test_clipping_is_that_of_keras(rule, threshold, name, installed, answers, gradient_sets, clipped, worst):
    installed("keras")
    pairs = gradient_sets[name]
    mine = clipped(RULES[rule], pairs, threshold)
    norms = [float(np.linalg.norm(g)) for _, g in pairs]
    for i, gradient in enumerate(mine):
        norm = {"clipnorm": norms[i], "global_clipnorm": float(np.linalg.norm(norms))}.get(rule, np.inf)
        # Keras rounds its factor to float32, 6e-8, twice; gradlab, like torch, adds 1e-6 to the norm
        allowed = 0.0 if norm == np.inf else 1.2e-7 + (1e-6 / norm if norm > threshold else 0.0)
        assert worst(gradient, answers[f"{name}|{rule}|{threshold}|{i}"]) <= allowed


def test_the_naive_mean_is_kerass_accumulation(installed, answers, gradient_sets, worst):
    """Keras averages micro-batches, not samples: gradlab's naive_mean, whatever their sizes."""
    installed("keras")
    weights = ACCUMULATIONS["naive_mean"]([7, 1, 5, 3])
    for i in range(len(gradient_sets["zero"])):
        mine = sum(w * gradient_sets[name][i][1] for w, name in zip(weights, SETS, strict=True))
        assert worst(mine, answers[f"accumulated|{i}"]) < 1e-15  # four products and sums in float64
