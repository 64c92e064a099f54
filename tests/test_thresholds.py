"""What a threshold would have clipped, against clipping itself and against numbers by hand."""

import dataclasses

import numpy as np
import pytest
import torch

from gradlab import Config, History, Trainer
from gradlab.inspect.thresholds import clip_curve


def history_of(norms):
    """Return a history whose gradients have these norms."""
    plain = Trainer(Config(depth=0, n_samples=32)).step()
    found = History(plain_names(plain))
    for step, norm in enumerate(norms):
        found.append(dataclasses.replace(plain, step=step, total_norm=norm))
    return found


def plain_names(record):
    return tuple(f"layer {number + 1}" for number in range(len(record.grad_norm)))


def test_shares_and_factors_are_those_counted_by_hand():
    curve = clip_curve(history_of([1.0, 2.0, 4.0, 8.0]), np.array([0.5, 3.0, 8.0, 9.0]))
    assert curve.share.tolist() == [1.0, 0.5, 0.0, 0.0]
    assert curve.factor.tolist() == [np.median([0.5, 0.25, 0.125, 0.0625]), np.median([0.75, 0.375]), 1.0, 1.0]
    assert curve.hardest.tolist() == [0.0625, 0.375, 1.0, 1.0]


@pytest.mark.parametrize("threshold", [0.05, 0.3, 1.0, 30.0])
def test_it_says_what_torch_would_have_clipped(threshold):
    trainer = Trainer(Config(depth=4, width=16, n_samples=128, gain=1.3))
    clipped, factors = [], []
    for _ in range(12):
        rows = trainer.next_window().micro_batches[0]
        trainer.network.zero_grad()
        trainer.data.loss(trainer.network(trainer.data.x[rows]), trainer.data.y[rows]).backward()
        norm = float(torch.nn.utils.clip_grad_norm_(trainer.network.parameters(), threshold))
        clipped.append(norm > threshold)
        factors.append(threshold / norm)
        trainer.step()
    curve = clip_curve(trainer.history, np.array([threshold / 2, threshold]))
    assert curve.share[1] == np.mean(clipped)
    if any(clipped):
        assert curve.factor[1] == pytest.approx(np.median([f for f in factors if f < 1]), rel=1e-5)  # float32 norms


def test_steps_that_are_not_finite_are_counted_apart_and_zeros_are_never_clipped():
    curve = clip_curve(history_of([1.0, np.inf, np.nan, 0.0]), np.array([0.5]))
    assert (curve.steps, curve.nonfinite) == (2, 2)
    assert curve.share.tolist() == [0.5]


def test_the_default_thresholds_run_from_all_clipped_to_none():
    curve = clip_curve(history_of([1e-3, 1.0, 1e5]))
    assert (curve.share[0], curve.share[-1]) == (1.0, 0.0)
    assert (np.diff(curve.share) <= 0).all()
    assert curve.at(1.0e-4)[0] == 1.0


@pytest.mark.parametrize("bad", [[0.0, 1.0], [2.0, 1.0], [], [[1.0]]])
def test_thresholds_that_do_not_rise_from_above_0_are_refused(bad):
    with pytest.raises(ValueError, match=r"thresholds=.*expected rising numbers > 0"):
        clip_curve(history_of([1.0]), np.array(bad))


def test_a_history_without_a_finite_gradient_is_refused():
    with pytest.raises(ValueError, match="expected a step whose gradient is finite and not 0"):
        clip_curve(history_of([np.inf]))
