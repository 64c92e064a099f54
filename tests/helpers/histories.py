"""Histories with numbers put in by hand."""

import numpy as np

from gradlab.history import History, StepRecord


def record(step, grads, *, loss=0.5, clipped=None, has_gradient=None):
    """Return a step whose gradient norm and backward signal are both `grads`."""
    grads = np.array(grads, dtype=float)
    ones = np.ones(len(grads))
    return StepRecord(
        step=step,
        epoch=0,
        samples=step + 1,
        micro_batches=step + 1,
        updates=step + 1,
        applied=True,
        loss=loss,
        seconds=0.0,
        total_norm=1.0,
        clipped_total_norm=1.0,
        clip_coef=1.0,
        clip_cosine=1.0,
        grad_norm=grads,
        clipped_norm=grads if clipped is None else np.array(clipped, dtype=float),
        weight_norm=ones,
        update_ratio=ones,
        delta_norm=grads,
        activation_std=ones,
        saturated=0 * ones,
        dead=0 * ones,
        has_gradient=ones if has_gradient is None else np.array(has_gradient, dtype=float),
        zero_share=0 * ones,
        subnormal_share=0 * ones,
        overflow_share=0 * ones,
    )


def history_of(*rows, losses=None, **kwargs):
    """Return a history with a step for each row."""
    history = History([f"layer {i + 1}" for i in range(len(rows[0]))])
    for step, row in enumerate(rows):
        history.append(record(step, row, **({"loss": losses[step]} if losses is not None else {}), **kwargs))
    return history
