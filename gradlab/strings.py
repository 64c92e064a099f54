"""Every visible string of panel and pictures, by language and key."""

from __future__ import annotations

STRINGS: dict[str, dict[str, str]] = {
    "en": {
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
        "kind.dead": "dead",
        "kind.saturated": "saturated",
        "row.zero": "0",
        "row.missing": "none",
        "row.nonfinite": "inf",
        "growth.now": "now x {total}, x {per_layer} per layer",
        "growth.first": "step 0 x {total}, x {per_layer} per layer",
        "button.play": "Play",
        "button.pause": "Pause",
        "button.step": "Step",
        "button.reset": "Reset",
        "button.new_seed": "New seed",
        "button.back": "Back to step {step}",
        "tip.play": "Train until you press Pause",
        "tip.pause": "Stop after the step that is running",
        "tip.step": "Take one step: all its micro-batches, one update",
        "tip.reset": "Start again from the same seeds",
        "tip.new_seed": "Start again with the next seed for weights, data and order",
        "tip.back": "Back to the last finite step, bit for bit, to take it again with other settings",
        "control.preset": "Preset",
        "control.measure": "Measure",
        "control.seed": "Seed",
        "control.rule": "Rule",
        "tip.preset": "Sets the controls to a known case",
        "tip.measure": "What the pictures show of every layer",
        "tip.seed": "Seed of weights, data and order of samples",
        "tip.accumulation": "On or off: add up the gradients of several micro-batches before one step",
        "tip.clipping": "On or off: bound the gradient before the step",
        "tip.accumulation_rule": "How micro-batch gradients become one",
        "tip.clipping_rule": "How gradients are bounded",
        "control.theory": "Theory",
        "tip.theory": "Draw what mean-field theory expects of the backward signal at step 0, with its band",
        "button.try": "Try {knobs}",
        "tip.try": "Apply the next experiment that the diagnosis suggests",
        "button.check": "Check gradients",
        "tip.check": "Compare autograd with finite differences on this network, in float64",
        "info.theory": "Theory",
        "info.diagnosis": "Diagnosis",
        "info.check": "Gradient check",
        "check.good": "autograd and finite differences agree; worst relative error {worst} in {layer}.",
        "check.bad": "autograd and finite differences DISAGREE; worst relative error {worst} in {layer}.",
        "check.nothing": "nothing could be compared: {why}",
        "preset.own": "(your own settings)",
        "group.network": "Network and data",
        "group.training": "Training",
        "group.closeup": "Look deeper",
        "control.units": "Dead and saturated units",
        "control.histogram": "Gradient histogram",
        "control.noise": "Gradient noise",
        "control.sharpness": "Sharpness",
        "tip.units": "Bars under each layer's dot: the share of dead units left, of saturated units right",
        "tip.histogram": "How large the entries of each layer's gradient are, exact zeros apart",
        "tip.noise": "The mean gradient of micro-batches and their spread around it",
        "tip.sharpness": "The largest curvature of the loss against the edge of stability",
        "closeup.failed": "No closer look: {error}",
        "status.counts": "step {step} | updates {updates} | micro-batches {micro_batches} | epoch {epoch} "
        "| samples {samples}",
        "status.loss": "loss {loss}",
        "status.speed": "{speed} steps/s",
        "status.ready": "Ready. Press Play or Step.",
        "status.skipped": "{text}",
        "status.diverged": "{sentence} The step was not applied; training is paused.",
        "status.continued": "{sentence} Training goes on, as Non-finite says.",
        "status.no_view": "Paused: no view of this panel was left.",
        "status.idle": "Paused after {minutes} minutes without a touch.",
        "status.rejected": "Not accepted, nothing was changed: {error}",
        "status.rewound": "Back at step {step}.",
        "status.closed": "This panel is closed.",
        "status.failed": "Stopped by an error: {error}",
        "alt.empty": "Three pictures, empty so far: no step was taken.",
        "alt.loss": "After {steps} steps the loss is {loss}.",
        "alt.profile": "{measure}: largest in layer {largest} at {largest_value}, "
        "smallest in layer {smallest} at {smallest_value}; "
        "layer {first} is {decades} decades {direction} layer {last}.",
        "alt.above": "above",
        "alt.below": "below",
        "alt.odd": "{count} layers {kind}.",
        "closeup.histogram": "Entries of dL/dW by size",
        "closeup.share": "of the layer",
        "closeup.noise": "Gradient and its noise",
        "closeup.mean": "mean of {k}",
        "closeup.spread": "spread at batch {size}",
        "closeup.left": "left by accumulating {k}",
        "closeup.note.scale": "signal / noise {ratio}; equal at {scale} samples",
        "closeup.note.drowned": "signal / noise {ratio}: the noise drowns the signal",
        "closeup.note.none": "no noise: the micro-batches do not differ",
        "closeup.sharpness": "Sharpness",
        "closeup.value": "largest eigenvalue",
        "closeup.preconditioned": "preconditioned eigenvalue",
        "closeup.edge": "edge of stability",
        "closeup.row.negative": "<= 0",
        "closeup.reason.cumulative": "No stability line known with a CumulativeGradient.",
        "closeup.reason.optimizer": "No stability line known for {optimizer}.",
        "closeup.reason.carry_over": "No stability line known for {carry_over} with {optimizer}.",
        "closeup.reason.no_step": "No stability line before the first step of {optimizer}.",
        "closeup.reason.derivative": "sharpness needs a network that can be differentiated twice",
    },
}


class Text:
    """The strings of one language; ``text("key", name=value)`` looks one up and fills it in.

    Parameters
    ----------
    lang : str
        A key of `STRINGS`.
    """

    def __init__(self, lang: str = "en") -> None:
        if lang not in STRINGS:
            raise ValueError(f"lang={lang!r}; expected one of {', '.join(STRINGS)}")
        self.lang = lang

    def __call__(self, key: str, **values: object) -> str:
        """Return the string `key` with `values` filled in."""
        return STRINGS[self.lang][key].format(**values)
