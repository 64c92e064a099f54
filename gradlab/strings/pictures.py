"""What stands in the pictures."""

EN = {
    "measure.both": "Backward signal and gradient norm",
    "measure.delta_norm": "Backward signal |dL/dz|",
    "measure.grad_norm": "Gradient norm |dL/dW|",
    "measure.update_ratio": "Update / weight ratio",
    "measure.activation_std": "Activation spread (std)",
    "axis.step": "step",
    "axis.layer": "layer (1 = next to the input)",
    "axis.layer_short": "layer",
    "axis.loss": "loss",
    "kind.plain": "now",
    "kind.first": "step 0",
    "kind.after": "after clipping",
    "kind.underflow": "underflow",
    "kind.zero": "exactly 0",
    "kind.nonfinite": "inf or NaN",
    "kind.missing": "no gradient",
    "kind.ghost": "pinned",
    "kind.theory": "theory",
    "kind.guess": "prediction",
    "kind.dead": "dead",
    "kind.saturated": "saturated",
    "row.zero": "0",
    "row.missing": "none",
    "row.nonfinite": "inf",
    "growth.now": "now x {total}, x {per_layer} per layer",
    "growth.first": "step 0 x {total}, x {per_layer} per layer",
}

ZH: dict[str, str] = {}
