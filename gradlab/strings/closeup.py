"""The section *Look deeper*."""

EN = {
    "closeup.failed": "No closer look: {error}",
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
}

ZH: dict[str, str] = {}
